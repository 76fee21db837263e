"""Matrices on crossbars: how they are cut into tiles, the netlist of these, its files, and what can be deleted."""
