"""Samples: where they come from, whether they fit the network, and some made of nothing where there are none."""
