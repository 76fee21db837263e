"""Units that are the same wherever they are met, and the spaces they make up."""

from __future__ import annotations

import numpy as np

from gscompile.channels.union_find import UnionFind


def test_units_that_lie_side_by_side_keep_their_spaces() -> None:
    sets = UnionFind()
    a, b = sets.new(2), sets.new(3)
    views = {number: units.tolist() for number, units in sets.settled().views(np.concatenate([b[1:], a]))}
    assert views == {0: [-1, -1, 0, 1], 1: [1, 2, -1, -1]}
    assert sets.settled().sizes == (2, 3)


def test_units_that_meet_are_one_and_their_spaces_as_well() -> None:
    sets = UnionFind()
    a, b, c = sets.new(2), sets.new(3), sets.new(1)
    sets.unite(a, b[1:])
    assert sets.settled().sizes == (3, 1)
    assert {n: units.tolist() for n, units in sets.settled().views(b)} == {0: [2, 0, 1]}
    sets.pin(b[:1], "seen")
    sets.pin(a, "seen again")
    assert sets.settled().pinned == ("seen again", None)  # that of the earlier block
    sets.unite(c, a[:1])
    assert sets.settled().sizes == (3,)


def test_a_unit_may_meet_itself() -> None:
    sets = UnionFind()
    a = sets.new(3)
    sets.unite(a[:2], a[1:])
    assert sets.settled().sizes == (1,)
    assert [units.tolist() for _, units in sets.settled().views(a)] == [[0, 0, 0]]
