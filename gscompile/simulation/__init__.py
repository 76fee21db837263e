"""Simulation of compiled networks from their tiles, with the devices of a target."""
