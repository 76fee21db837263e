"""A graph that is cut computes what it does whole."""

from __future__ import annotations

import numpy as np

from gscompile.scoring.graph_parts import GraphParts
from gscompile.scoring.runner import Runner
from tests.small_networks import model

BRANCHED = """
agraph (float[2] x, bool first) => (float[2] early, float[2] y)
<float[2] two = {2, 2}> {
    three = Constant <value = float[2] {3, 3}> ()
    early = Mul (x, two)
    shifted = Add (early, three)
    chosen = If (first) <
        then_branch = one () => (float[2] a) { a = Add (shifted, early) },
        else_branch = other () => (float[2] b) { b = Mul (shifted, two) }
    >
    y = Mul (chosen, three)
}
"""
X = np.array([1.0, 10.0], np.float32)


def test_what_crosses_a_cut_is_what_later_nodes_and_their_branches_read() -> None:
    """Before the If, number 2 without the constant: 2 x, which is an output as well, and 2 x + 3."""
    parts = GraphParts(model(BRANCHED))
    assert parts.crossing(2) == ["early", "shifted"]
    assert parts.first_read["two"] == 0
    assert parts.first_read["three"] == 1


def test_the_nodes_behind_a_cut_compute_the_rest() -> None:
    """((2 x + 3) + 2 x) 3 is 21 and 129; the other branch gives (2 x + 3) 2 * 3, 30 and 138."""
    parts = GraphParts(model(BRANCHED))
    for first, y in ((True, [21, 129]), (False, [30, 138])):
        given = {"x": X, "first": np.array(first)}
        crossing = Runner(parts.before(2).SerializeToString(), optimise=False)(given)
        np.testing.assert_array_equal(crossing["shifted"], [5, 23])
        rest = Runner(parts.behind(2, crossing).SerializeToString(), optimise=False)({**given, **crossing})
        assert rest.keys() == {"y"}
        np.testing.assert_array_equal(rest["y"], y)
