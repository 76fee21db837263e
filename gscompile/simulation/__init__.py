"""Compiled networks run from their tiles, with the devices of a target."""
