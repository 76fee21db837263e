"""A network run piece by piece: each batch's values, kept or computed again, and weights that change on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from gscompile.execute.stages import Stages
from tests.small_networks import network

# r = |2 x|, y = 3 r + x
TWICE = """g (float[n, 1] x) => (float[n, 1] y) <float[1, 1] a, float[1, 1] b>
{ h = MatMul(x, a)  r = Abs(h)  s = MatMul(r, b)  y = Add(s, x) }"""


def feeds() -> Iterator[Mapping[str, Tensor]]:
    return ({"x": torch.tensor([[value]])} for value in (-1.0, 5.0))


@pytest.mark.parametrize("most_held", [0, 1 << 20])
def test_each_batch_goes_on_from_where_it_was_left_with_the_weights_of_then(most_held: int) -> None:
    net = network(TWICE, a=np.array([[2.0]]), b=np.array([[3.0]]))
    stages = Stages(net.model, feeds, most_held)
    x, (h, r, s, y) = net.graph.inputs[0], [node.outputs[0] for node in net.graph]
    assert [stages.place(node) for node in net.graph] == [0, 1, 2, 3]
    assert [env[r].item() for env in stages.run(2)] == [2.0, 10.0]
    (second,) = [layer for layer in net.layers if layer.uses[0].node is s.producer()]
    stages.set_constant(second.value, torch.tensor([[4.0]]))
    after = [*stages.run(4)]
    assert [env[y].item() for env in after] == [7.0, 45.0]  # 4 times 2 less 1; 4 times 10 and 5
    assert all(value not in env for env in after for value in (x, h, r, s))  # nobody reads them any more
