"""A search without data ends with the smallest network that was confirmed, whatever later rounds find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gscompile.compression.passes import Context, PassResult
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Network
from gscompile.judging.error_budget import ErrorBudget
from gscompile.judging.samples import Draw, Samples
from tests.small_networks import model

X = np.linspace(0, 1, 64, dtype=np.float32).reshape(64, 1)


def scaled(factor: float, cells: int) -> Network:
    """y = factor * x, of `cells` cells. The output error is 1 - factor."""
    rest = "".join(f"z{n} = MatMul (x, w) " for n in range(cells - 1))
    outputs = ", ".join(["float[n,1] y", *(f"float[n,1] z{n}" for n in range(cells - 1))])
    return Network.from_proto(
        model(
            f"g (float[n,1] x) => ({outputs}) <float[1,1] v = {{{factor}}}, float[1,1] w = {{1}}> {{ y = MatMul (x, v) {rest} }}"
        )
    )


def test_a_network_of_an_earlier_round_is_kept_where_later_ones_save_nothing() -> None:
    """Asked for 0.1: the first finds an error of 0.4; the tighter one finds 0.02; those between find nothing."""
    samples = Samples([Draw({"x": X}, {"y": X}, "")])
    judge = ErrorBudget(lambda inputs: {"y": inputs["x"]}, samples, samples, 0.1, ())
    asked = []

    def run(context: Context) -> Sequence[PassResult]:
        asked.append(context.max_error)
        found = {1: scaled(0.6, 1), 2: scaled(0.98, 2)}.get(len(asked))
        return [] if found is None else [PassResult(found)]

    results = judge.search(run, Context(MapOptions(Crossbar(16, 16)), 0.1))
    assert asked[0] == 0.1
    np.testing.assert_allclose(asked[1], 0.1 / 4.4, rtol=1e-4)
    assert asked[1] < asked[2] < asked[0]
    assert [judge.fits(each.network) for each in results] == [True]
