"""One price for all layers, against brute force and by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gscompile.compression.lagrangian import Choice, choose, choose_within

choices = st.lists(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@given(choices, st.integers(1, 60))
def test_choosing_meets_the_budget_where_anything_does_and_wastes_nothing(
    options: list[list[tuple[int, int]]], budget: int
) -> None:
    layers = [Choice(tuple(float(a) for a, _ in o), tuple(float(b) for _, b in o)) for o in options]
    pick = choose(layers, budget)
    cells = sum(layer.sizes[i] for layer, i in zip(layers, pick, strict=True))
    loss = sum(layer.loss[i] for layer, i in zip(layers, pick, strict=True))
    least = sum(min(layer.sizes) for layer in layers)
    assert cells <= budget or cells == least
    for other in product(*(range(len(layer.loss)) for layer in layers)):
        other_cells = sum(layer.sizes[i] for layer, i in zip(layers, other, strict=True))
        other_loss = sum(layer.loss[i] for layer, i in zip(layers, other, strict=True))
        assert other_cells > cells or other_loss > loss - 1e-6 or other_cells > budget or cells > budget


def test_a_generous_budget_changes_nothing() -> None:
    layer = Choice((0.0, 1.0, 5.0), (100.0, 50.0, 10.0))
    assert choose([layer, layer], 1000) == [0, 0]
    assert choose([layer, layer], 100) == [1, 1]
    assert choose([layer, layer], 0) == [2, 2]


@st.composite
def falling(draw: st.DrawFn) -> Choice:
    """Options that cost more and take fewer cells, one by one."""
    count = draw(st.integers(1, 5))
    steps = st.lists(st.integers(0, 9), min_size=count - 1, max_size=count - 1)
    loss = np.append(0, np.cumsum(draw(steps)))
    cells = 50 - np.append(0, np.cumsum(draw(steps)))
    return Choice(tuple(loss.tolist()), tuple(cells.tolist()))


@given(st.lists(falling(), min_size=1, max_size=4), st.integers(0, 30))
def test_losses_stay_within_what_may_be_lost_and_no_single_option_saves_more(choices: list[Choice], most: int) -> None:
    pick = choose_within(choices, most)
    losses = [c.loss[n] for c, n in zip(choices, pick, strict=True)]
    assert sum(losses) <= most
    for choice, loss, chosen in zip(choices, losses, pick, strict=True):
        spare = most - sum(losses) + loss
        assert choice.sizes[chosen] == min(
            n for n, cost in zip(choice.sizes, choice.loss, strict=True) if cost <= spare
        )


def test_a_layer_whose_first_saving_is_too_dear_does_not_keep_others_from_theirs() -> None:
    fat = Choice((0.0, 100.0), (1000.0, 10.0))  # by far the most cells for its loss
    thin = [Choice((0.0, 1.0), (10.0, 8.0)), Choice((0.0, 1.0), (10.0, 6.0))]
    assert choose([fat, *thin], 1019) == [1, 0, 0]
    assert choose_within([fat, *thin], 1.5) == [0, 0, 1]
    assert choose_within([fat, *thin], 101.5) == [1, 0, 1]
