"""Tiles placed and routed on a die: engines, congestion, pictures, and the chip before and after."""
