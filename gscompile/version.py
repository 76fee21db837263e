"""The version of the package, which checkpoints and reports record."""

__version__ = "0.1.0"
