"""Rounds of pruning: when a trajectory ends, and when ranks are clipped instead of deleting groups."""

from __future__ import annotations

import pytest

from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import Footprint, footprint
from gscompile.search import rounds as module
from gscompile.search.rounds import prune_rounds
from gscompile.search.settings import SearchSettings
from gscompile.search.step_size import next_step, smallest_step
from gscompile.search.stop_rules import (
    approaches_failed,
    has_no_time,
    is_score_too_low,
    is_unchanged,
    saving_of_failed,
)
from tests.search.coach import MAPPING, Coach, coached, without

SETTINGS = SearchSettings(clip_ranks=False)


def each_takes_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every round take one more output column."""
    smaller = iter([without(n) for n in range(1, 9)])
    monkeypatch.setattr(module, "ranked", lambda *_: ({}, {}))
    monkeypatch.setattr(module, "without_groups", lambda *_: next(smaller))


@pytest.mark.parametrize(("gone", "rounds"), [(0, 4), (2, 1), (3, 2)])
def test_rounds_end_before_they_come_to_the_size_that_was_not_recovered(
    gone: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would go on until a score is below 89."""
    each_takes_a_column(monkeypatch)
    context = coached(Coach(89.5, 89.5, 89.5, 88.0, 88.0))
    failed = without(gone) if gone else None
    assert len([*prune_rounds(without(0), 0.1, 89.0, context, SETTINGS, failed)]) == rounds


@pytest.mark.parametrize(("left", "rounds"), [(44.0, 0), (46.0, 1), (77.0, 1), (79.0, 4)])
def test_the_first_round_needs_the_time_of_half_a_recovery_and_others_that_of_a_whole_one(
    left: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six epochs of 10 s: 45 s are 0.75 of a recovery, 78 s are 1.3."""
    each_takes_a_column(monkeypatch)
    context = coached(Coach(89.5, 89.5, 89.5, 88.0), time_left=lambda: left)
    assert len([*prune_rounds(without(0), 0.1, 89.0, context, SETTINGS)]) == rounds


def test_a_round_that_takes_nothing_away_is_the_last_and_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ranked", lambda *_: ({}, {}))
    monkeypatch.setattr(module, "without_groups", lambda *_: without(1))
    assert len([*prune_rounds(without(0), 0.1, 89.0, coached(Coach(89.5, 89.5)), SETTINGS)]) == 1


def test_each_rule_that_ends_a_trajectory() -> None:
    assert is_score_too_low(88.9, lowest=89.0)
    assert not is_score_too_low(89.0, lowest=89.0)
    assert has_no_time(coached(Coach(), time_left=lambda: 10.0), seconds=10.0)
    assert not has_no_time(coached(Coach(), time_left=lambda: 10.1), seconds=10.0)
    assert is_unchanged(Footprint(10, 1, 4), Footprint(10, 1, 4))
    assert not is_unchanged(Footprint(10, 1, 4), Footprint(10, 1, 3))
    price, (start, before, after) = Price(0.01, 0.0), (Footprint(cells, 1, 8) for cells in (100, 80, 60))
    assert approaches_failed(
        start, before, after, price, 0.60, SETTINGS
    )  # 0.4 is saved, and another round would save 0.2
    assert not approaches_failed(start, before, after, price, 0.65, SETTINGS)


def test_what_a_failed_network_saves_is_infinite_if_it_is_not_smaller() -> None:
    context, start = coached(Coach()), footprint(without(2), MAPPING)
    assert saving_of_failed(None, start, context) == saving_of_failed(without(1), start, context) == float("inf")
    assert 0 < saving_of_failed(without(4), start, context) < 1


def test_steps_grow_to_twice_the_first_within_the_budget_and_fall_back_outside() -> None:
    settings = SearchSettings(step_growth=1.5, max_step_growth=2.0)
    assert next_step(0.25, first=0.25, is_met=True, settings=settings) == 0.375
    assert next_step(0.375, first=0.25, is_met=True, settings=settings) == 0.5
    assert next_step(0.5, first=0.25, is_met=False, settings=settings) == 0.25


def test_more_effort_than_usual_ends_with_smaller_steps() -> None:
    settings = SearchSettings(min_step=0.1)
    assert [smallest_step(effort, settings) for effort in (0.5, 1.0, 2.0)] == [0.1, 0.1, 0.05]
