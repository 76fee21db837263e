"""Reduction of a model on which a command fails to the smallest part on which the command still fails."""
