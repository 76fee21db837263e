"""The step of pruning: how much of the network one round removes, as a share of its price."""

from __future__ import annotations

from gscompile.search.settings import SearchSettings


def next_step(current: float, first: float, is_met: bool, settings: SearchSettings) -> float:
    """Return the step of the next round: larger while the budget is met, `first` as soon as it is not.

    What goes in small steps can be recovered better, so only a network within the budget takes large ones.

    >>> settings = SearchSettings(step_growth=1.5, max_step_growth=2.0)
    >>> next_step(0.2, 0.2, True, settings), next_step(0.3, 0.2, True, settings), next_step(0.4, 0.2, False, settings)
    (0.30000000000000004, 0.4, 0.2)
    """
    if not is_met:
        return first
    return min(settings.max_step_growth * first, settings.step_growth * current)


def step_after_failure(step: float) -> float:
    """Return the first step of the trajectory after one whose smallest candidate was not recovered."""
    return step / 2


def smallest_step(effort: float, settings: SearchSettings) -> float:
    """Return the step below which the search ends: smaller in proportion if more effort than usual is allowed."""
    return settings.min_step / max(1.0, effort)
