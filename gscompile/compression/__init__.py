"""Passes and the mathematics they share: spectra, choices under a budget, deletion, recovery."""
