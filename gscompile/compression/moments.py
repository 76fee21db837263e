"""Second moments of a layer's inputs and of the loss gradients at its outputs: what a change of its weights costs.

In the Kronecker-factored approximation (K-FAC; Martens and Grosse 2015), loss(W + D) - loss(W) is about the squared
Frobenius norm of A^(1/2) D G^(1/2), with A = E[x x'] over the inputs x and G = E[g g'] over the gradients g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gscompile.graph.network import Layer


@dataclass(frozen=True, eq=False)
class Moments:
    """`inputs` [parts, inputs, inputs] and `outputs` [parts, outputs, outputs], both symmetric and not negative."""

    inputs: NDArray[np.float64]
    outputs: NDArray[np.float64]


def white(layer: Layer) -> Moments:
    """Without data, every input and output counts alike: the error of the weights themselves."""
    parts, inputs, outputs = layer.layout.parts, layer.layout.inputs, layer.layout.outputs
    ones = np.eye(inputs)[None].repeat(parts, 0), np.eye(outputs)[None].repeat(parts, 0)
    return Moments(*ones)
