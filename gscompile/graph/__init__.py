"""The network that is compiled: its graph, its weighted layers as matrices, and the edits that compress it."""
