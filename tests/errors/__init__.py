"""Errors that users see: each file holds commands, their exit codes and their whole text on stderr.

`python -m tests.errors` runs all commands again and writes what they print; read the difference before committing it.
"""
