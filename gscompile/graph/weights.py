"""What weights must be before they are compiled."""

from __future__ import annotations

import numpy as np

from gscompile.errors import ModelError
from gscompile.graph.network import Network


def check_weights(network: Network) -> None:
    """Raise ModelError, naming the weight, where a layer holds a NaN or an infinity."""
    for layer in network.layers:
        bad = ~np.isfinite(layer.matrices)
        if bad.any():
            raise ModelError(
                f"weight {layer.value.name!r} of {layer.op} {layer.name!r}: {int(bad.sum())} of {bad.size} values are "
                "NaN or infinite; nothing can be programmed with them"
            )
