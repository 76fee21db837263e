"""`python -m gscompile`."""

from gscompile.cli import main

main()
