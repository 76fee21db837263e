"""The search for the smallest network within the accuracy budget: iterative pruning with fine-tuning in between."""
