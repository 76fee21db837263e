"""The search as a whole: where rounds start from, where they end, and how steps are halved."""

from __future__ import annotations

from typing import Any

import pytest

from gscompile.graph.network import Network
from gscompile.search import strategy as module
from gscompile.search.settings import SearchSettings
from gscompile.search.strategy import prune_within, stop_score
from tests.search.coach import Coach, coached, without


@pytest.fixture
def trajectories(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The (step, lowest score) of each trajectory of a search whose rounds find nothing."""
    asked = list[tuple[float, float]]()

    def rounds(_net: Network, step: float, lowest: float, *_: Any) -> tuple[()]:
        asked.append((step, lowest))
        return ()

    monkeypatch.setattr(module, "prune_rounds", rounds)
    monkeypatch.setattr(module, "recover", lambda *_: (without(0), 90.0))
    monkeypatch.setattr(module, "smallest_untuned", lambda network, *_: network)
    return asked


@pytest.mark.parametrize(("score", "lowest"), [(89.5, 88.0), (85.0, 89.0)])
def test_before_any_recovery_rounds_go_twice_as_far_below_the_budget(
    score: float, lowest: float, trajectories: list[tuple[float, float]]
) -> None:
    """90 is within the budget, a standard error is a point: a network that starts too far below is recovered first."""
    prune_within(without(0), coached(Coach(score)), SearchSettings())
    assert [asked for _, asked in trajectories] == pytest.approx([lowest] * 3)


@pytest.mark.parametrize(("effort", "steps"), [(1.0, [0.25, 0.125]), (2.0, [0.25, 0.125, 0.0625])])
def test_steps_are_halved_down_to_the_smallest(
    effort: float, steps: list[float], trajectories: list[tuple[float, float]]
) -> None:
    prune_within(without(0), coached(Coach(91.0), effort=effort), SearchSettings(min_step=0.1))
    assert [step for step, _ in trajectories] == steps


def test_the_tuning_loss_lowers_every_threshold_from_the_first_comparison_on(
    trajectories: list[tuple[float, float]],
) -> None:
    """The learning rate costs the original half a point: 88.6 is then within a standard error of 89.5."""
    prune_within(without(0), coached(Coach(88.6, tuning_loss=0.5)), SearchSettings())
    assert [lowest for _, lowest in trajectories] == pytest.approx([87.5] * 3)  # no recovery came before the rounds


def test_a_context_gets_the_tuning_loss_when_a_pass_asks_for_it_and_never_by_itself() -> None:
    context = coached(Coach(tuning_loss=0.5))
    ready = context.ready_for_training()
    assert context.budget.recoverable_score - ready.budget.recoverable_score == pytest.approx(0.5)
    assert stop_score(ready, SearchSettings(), is_recovered=True) == pytest.approx(88.5)
