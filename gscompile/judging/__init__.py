"""What fits the budget, and whether what was written is what was promised."""
