"""A recovery: when it is given up, how far the rate is annealed, and how long it lasts."""

from __future__ import annotations

import pytest

from gscompile.search.recovery import recover
from gscompile.search.settings import SearchSettings
from tests.search.coach import Coach, coached, without

SETTINGS = SearchSettings(recovery_epochs=6.0)  # epochs of 10 s
NET = without(0)


def test_the_learning_rate_is_annealed_after_a_third() -> None:
    coach = Coach(89.0, 91.0)
    _, score = recover(NET, 85.0, coached(coach), SETTINGS)
    assert (score, coach.epochs, coach.annealed) == (91.0, 6.0, 4.0)
    assert coach.rates == [3.0, 3.0]


@pytest.mark.parametrize(
    ("scores", "annealed", "best"),
    [
        ((89.5, 90.5), 4.0 + 8.0, 90.5),  # from 85 to 89.5: half a point is missing
        ((89.5, 89.8, 90.1), 4.0 + 8.0 + 16.0, 90.1),
        ((89.5, 89.6), 4.0 + 8.0, 89.6),  # 0.1 was gained, 0.4 is missing
        ((89.5, 89.2), 4.0 + 8.0, 89.5),
        ((87.0, 88.4, 89.2, 89.4), 4.0 + 8.0 + 16.0 + 32.0, 89.4),  # 0.2 was gained, 0.6 is missing
    ],
)
def test_annealing_restarts_for_twice_as_long_while_it_gains_half_of_what_is_missing(
    scores: tuple[float, ...], annealed: float, best: float
) -> None:
    coach = Coach(89.0, *scores)
    _, score = recover(NET, 85.0, coached(coach), SETTINGS)
    assert (score, coach.annealed) == (best, annealed)


def test_annealing_does_not_restart_for_less_time_than_before() -> None:
    """Two epochs of 10 s and four; then nine tenths of the time that is left are 36 s, or 45."""
    for left, annealed in ((40.0, 4.0), (50.0, 4.0 + 4.5)):
        coach, times = Coach(89.0, 89.5, 90.5), iter((1000.0, left, left))
        recover(NET, 85.0, coached(coach, time_left=lambda t=times: next(t)), SETTINGS)
        assert coach.annealed == pytest.approx(annealed)


def test_a_recovery_that_gains_nothing_is_given_up_after_a_third() -> None:
    coach = Coach(85.25)  # not half of the way from 85 to 90, even with two standard errors of a point
    _, score = recover(NET, 85.0, coached(coach), SETTINGS)
    assert (score, coach.epochs, coach.annealed) == (85.25, 2.0, 0.0)


def test_a_rate_that_does_harm_is_replaced_by_the_plain_one_from_then_on() -> None:
    coach = Coach(84.5, 88.0, 91.0)  # from 85 to 84.5 in large steps; to 88 at a third of the rate
    _, score = recover(NET, 85.0, coached(coach), SETTINGS)
    assert (score, coach.rates, coach.max_lr_scale) == (91.0, [3.0, 1.0, 1.0], 1.0)


@pytest.mark.parametrize(
    ("asked", "can", "normalized"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_batch_norm_is_reinserted_if_that_is_possible_and_not_switched_off(
    asked: bool, can: bool, normalized: bool
) -> None:
    """There is time for nine epochs of ten seconds, or six that take half as long again."""
    coach = Coach(89.0, 91.0)
    coach.can_reinsert_batch_norm = can
    settings = SearchSettings(recovery_epochs=9.0, reinsert_batch_norm=asked)
    recover(NET, 85.0, coached(coach, max_recovery_seconds=90.0), settings)
    assert coach.normalized == [normalized, normalized]
    assert coach.epochs == (6.0 if normalized else 9.0)


def test_a_recovery_plans_for_its_share_of_the_time_and_is_extended_while_it_gains() -> None:
    for scores, epochs in (((90.0, 90.0), 3.0), ((89.5, 89.6, 90.0), 3.0 + 4.0)):  # of 10 s
        coach = Coach(*scores)
        recover(NET, 89.0, coached(coach, max_recovery_seconds=30.0), SETTINGS)
        assert coach.epochs == pytest.approx(epochs)


def test_a_recovery_takes_the_time_that_is_left() -> None:
    coach = Coach(90.0, 90.0)  # six epochs of 10 s are planned; nine tenths of 20 s are left
    recover(NET, 85.0, coached(coach, time_left=lambda: 20.0), SETTINGS)
    assert coach.epochs == pytest.approx(1.8)


@pytest.mark.parametrize(("left", "epochs"), [(500.0, 6.0 + 8.0), (140.0, 6.0 + 4.5), (130.0, 9.0), (60.0, 5.4)])
def test_annealing_does_not_restart_in_the_time_of_a_candidate_that_waits(left: float, epochs: float) -> None:
    """Six epochs of 10 s; half a point is missing. 30 s are reserved; nine tenths of the rest allow eight more."""
    coach = Coach(89.0, 89.5, 90.5)
    context = coached(coach, time_left=lambda: left - 10 * coach.epochs)
    recover(NET, 85.0, context, SETTINGS, is_last=False)
    assert coach.epochs == pytest.approx(epochs)


@pytest.mark.parametrize(("left", "epochs"), [(140.0, 6.0), (138.0, 12.42), (100.0, 9.0)])
def test_the_last_recovery_takes_the_time_in_which_no_round_would_start(left: float, epochs: float) -> None:
    """Six epochs of 10 s; 78 s after them, 1.3 times as much, would be needed for a round and its recovery."""
    coach = Coach(90.0, 90.0)
    recover(NET, 85.0, coached(coach, time_left=lambda: left), SETTINGS)
    assert coach.epochs == pytest.approx(epochs)
