"""Numbers of runs and epochs: every run has samples in an order of its own, unless augmentations repeat."""

from __future__ import annotations

from gscompile.training.run_spec import RunNumbers, RunSpec


def next_spec(numbers: RunNumbers, steps: int, period: int = 0) -> RunSpec:
    return numbers.next_spec(
        steps=steps, steps_per_epoch=4, lr=0.1, shrink=None, anneal=False, augmented=True, period=period
    )


def test_each_run_has_a_seed_of_its_own_and_counts_epochs_that_were_begun() -> None:
    numbers = RunNumbers(seed=5)
    first, second = next_spec(numbers, steps=9), next_spec(numbers, steps=4)
    assert (first.seed, first.epoch) == (1005, 0)
    assert (second.seed, second.epoch) == (2005, 3)  # nine steps of four an epoch begin three
    assert (numbers.runs, numbers.epochs) == (2, 4)


def test_epochs_that_repeat_have_the_seed_of_the_command() -> None:
    numbers = RunNumbers(seed=5, epochs=11)
    spec = next_spec(numbers, steps=8, period=12)
    assert [spec.seed_of(epoch) for epoch in (0, 1)] == [5 + 11, 5 + 0]
