"""Shared names are found in windows, and too many of them stand for all."""

from __future__ import annotations

from gscompile.crossbars.name_collisions import MAX_LISTED, twins


def test_a_window_finds_what_all_at_once_find() -> None:
    """1,000 things under 900 names: every tenth name from 0 to 990 is that of the thing before it."""
    things = [(f"name{k - 1 if k % 10 == 9 else k}", f"thing{k}") for k in range(1000)]
    shared = {f"name{k}" for k in range(8, 1000, 10)}
    for window in (7, 100, 10_000):
        found = twins(lambda: things, len(things), window)
        assert {name for name, _ in things if name in found} == shared


def test_a_thing_that_comes_twice_is_one() -> None:
    assert not twins(lambda: [("a", "x"), ("a", "x"), ("b", "y")], 3)


def test_beyond_the_most_every_name_is_shared() -> None:
    things = [(f"{k // 2}", f"{k}") for k in range(2 * MAX_LISTED + 2)]
    assert "never seen" in twins(lambda: things, len(things))
    assert "never seen" not in twins(lambda: things[:-2], len(things))
