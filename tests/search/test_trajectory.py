"""The choice of a candidate on a trajectory."""

from __future__ import annotations

from typing import Any

import pytest

from gscompile.graph.network import Network
from gscompile.search import trajectory as module
from gscompile.search.settings import SearchSettings
from gscompile.search.trajectory import next_candidate, smallest_recoverable
from tests.search.coach import Coach, coached, without

SETTINGS = SearchSettings(recovery_epochs=6.0)  # epochs of 10 s


@pytest.mark.parametrize("new_score", [91.5, 90.5])
def test_a_network_within_the_budget_is_trained_for_long_all_the_same(new_score: float) -> None:
    within, end = without(0), without(0)
    coach = Coach(85.25, 91.0, new_score)  # the end gains nothing; then the network within the budget is trained
    best, failed = smallest_recoverable(without(0), [(within, 91.0), (end, 85.0)], coached(coach), SETTINGS)
    assert (coach.epochs, failed) == (2.0 + 6.0, end)
    assert best is within  # a coach returns the network that it is given


@pytest.mark.parametrize(("new_score", "tried"), [(89.0, [3, 1]), (89.75, [3, 2])])
def test_after_a_failure_the_next_candidate_is_the_one_for_which_as_large_a_gain_is_enough(
    new_score: float, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 85 the end must come to 90: if it came to 89.75, then 85.25 is close enough, else the middle is tried."""
    trajectory, order = [(without(0), score) for score in (88.0, 87.0, 85.25, 85.0)], list[int]()

    def recovered(net: Network, score: float, *_: Any, **_more: Any) -> tuple[Network, float]:
        order.append(trajectory.index((net, score)))
        return net, new_score

    monkeypatch.setattr(module, "recover", recovered)
    context = coached(Coach(), time_left=lambda: 2.0 - len(order))  # for two recoveries
    assert smallest_recoverable(without(0), trajectory, context, SETTINGS)[1] is trajectory[tried[-1]][0]
    assert order == tried


def test_a_smaller_candidate_leaves_time_for_the_larger_one() -> None:
    larger, smaller = without(0), without(0)
    coach = Coach(89.0, 89.5, 91.0, 91.0)  # half a point is missing: twice as long might bring it
    context = coached(coach, time_left=lambda: 100.0 - 10 * coach.epochs)
    best, failed = smallest_recoverable(without(0), [(larger, 85.0), (smaller, 85.0)], context, SETTINGS)
    assert (best, failed) == (larger, smaller)
    assert coach.epochs == pytest.approx(6.3 + 3.33)  # of 10 s: nine tenths of 70 s, and of 37


def test_the_next_candidate_is_in_the_middle_unless_a_later_one_scores_enough() -> None:
    trajectory = [(without(0), score) for score in (89.0, 88.0, 87.0, 86.0)]
    assert next_candidate(trajectory, low=-1, high=3, enough=89.5) == 1
    assert next_candidate(trajectory, low=-1, high=3, enough=87.0) == 2
