"""Compression by closed form: least squares for the weights that stay, without gradients."""
