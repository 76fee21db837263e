"""Cut matrices into crossbar tiles, and describe the tiles and their wiring as a netlist with its files."""
