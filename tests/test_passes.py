"""The passes on networks whose answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gscompile.compression import rank_allocation as clipper
from gscompile.compression.linear_maps import cells, linear_maps
from gscompile.compression.passes import Context
from gscompile.compression.pricing import Pricing
from gscompile.compression.ranking import Ranking, ranked
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import Family, GroupMember
from gscompile.crossbars.mapping import Footprint, MapOptions, footprint
from gscompile.data.dataset import Batch, input_specs, load_data
from gscompile.errors import UsageError
from gscompile.graph.network import Network
from gscompile.passes import rank_clip
from gscompile.passes.delete_groups import DeleteGroups
from gscompile.passes.drop_dead_units import DropDeadUnits
from gscompile.passes.rank_clip import RankClip
from gscompile.scoring.runner import Runner, max_output_error
from gscompile.scoring.score_budget import ScoreBudget
from gscompile.search.rounds import clipped_if_cheaper
from gscompile.training.kfac_moments import measure_moments
from gscompile.training.make_trainer import make_trainer
from gscompile.training.training_options import TrainingOptions
from tests.search.coach import Coach, coached
from tests.small_networks import network

CHAIN = """
chain (float[n, 20] x) => (float[n, 4] y) <float[20, 16] w, float[16, 4] v> {
  h = MatMul(x, w)
  r = Relu(h)
  y = MatMul(r, v)
}
"""
MAPPING = MapOptions(Crossbar(8, 8))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rank_two() -> Network:
    rng = np.random.default_rng(3)
    return network(CHAIN, w=rng.standard_normal((20, 2)) @ rng.standard_normal((2, 16)))


def with_data(net: Network, lowest: float = 0.0, effort: float = 0.1) -> Context:
    rng = np.random.default_rng(0)
    data = load_data({"x": rng.standard_normal((256, 20)).astype(np.float32)}, input_specs(net.model))
    trainer = make_trainer(net, data, data, TrainingOptions(batch_size=32))
    return Context(
        MAPPING,
        trainer=trainer,
        budget=ScoreBudget(base=lowest, max_drop=0.0),
        effort=effort,
        moments=lambda n: measure_moments(trainer, n, n.layers),
    )


def by_error(net: Network, max_error: float) -> Context:
    original = Runner(net)
    rng = np.random.default_rng(0)
    batch = load_data({"x": rng.standard_normal((64, 20)).astype(np.float32)}, input_specs(net.model))
    batches = [*batch.batches(64)]
    return Context(MAPPING, max_error, drift=lambda n: max_output_error(Runner(n), original, batches))


def test_without_data_a_matrix_of_rank_two_becomes_two_thin_ones() -> None:
    net = rank_two()
    result = RankClip().run(net.copy(), by_error(net, 1e-4))
    assert [layer.matrix.shape for layer in result.network.layers][:2] == [(20, 2), (2, 16)]
    assert [(c.layer, c.before, c.after) for c in result.changes] == [("n0", "16", "2")]


def test_without_data_what_the_outputs_hardly_feel_is_clipped_first() -> None:
    """Two random matrices alike, one of whose outputs counts a tenth."""
    net = network("""g (float[n,20] x) => (float[n,20] y) <float[20,20] w, float[20,20] v, float c = {0.1}>
        { a = MatMul (x, w)  b = MatMul (x, v)  s = Mul (b, c)  y = Add (a, s) }""")
    result = RankClip().run(net.copy(), by_error(net, 0.06))
    loud, faint = linear_maps(result.network)
    assert (loud.rank, faint.rank) == (20, 1)


def test_without_data_a_branch_not_taken_keeps_its_rank() -> None:
    net = network("""g (float[n,20] x, bool c) => (float[n,20] y) <float[20,20] w, float[20,20] v> {
        y = If (c) <then_branch = t () => (float[n,20] a) { a = MatMul (x, w) },
                    else_branch = e () => (float[n,20] b) { b = MatMul (x, v) }> }""")
    batch = Batch(
        {"x": np.random.default_rng(0).standard_normal((64, 20)).astype(np.float32), "c": np.array(True)}, None
    )
    original = Runner(net)
    context = Context(MAPPING, 0.3, drift=lambda n: max_output_error(Runner(n), original, [batch]))
    taken, other = linear_maps(RankClip().run(net.copy(), context).network)
    assert taken.rank < 10  # where two factors begin to pay
    assert other.rank == 20


def test_without_data_a_bound_larger_than_what_fits_is_no_reason_to_find_nothing() -> None:
    """The more may be lost, the fewer cells; a bound at which nothing is saved yet is not one at which nothing fits."""
    net = network(CHAIN, v=np.random.default_rng(5).standard_normal((16, 4)))
    found = [cells(RankClip().run(net.copy(), by_error(net, error)).network) for error in (0.001, 0.1, 0.2, 0.3, 0.5)]
    assert found == sorted(found, reverse=True)
    assert found[0] == cells(net)
    assert found[-1] < 0.8 * cells(net)


MINIMIZED = ("area", "cells", "wires", "tiles")


def minimized(net: Network, max_error: float, what: str, crossbar: Crossbar) -> tuple[Footprint, Footprint]:
    """What a network takes before and after."""
    mapping = MapOptions(crossbar)
    context = replace(by_error(net, max_error), mapping=mapping, price=Pricing(what))
    return footprint(net, mapping), footprint(RankClip().run(net.copy(), context).network, mapping)


@pytest.mark.parametrize("what", MINIMIZED)
def test_without_data_blocks_on_the_diagonal_are_not_filled_by_factors(what: str) -> None:
    """Four blocks of 5 x 5 and rank 2, each on a tile: 100 live cells of 400, where factors of rank 8 take 320."""
    rng = np.random.default_rng(0)
    w = np.zeros((20, 20))
    for i in range(0, 20, 5):
        w[i : i + 5, i : i + 5] = rng.standard_normal((5, 2)) @ rng.standard_normal((2, 5))
    net = network("g (float[n, 20] x) => (float[n, 20] y) <float[20, 20] w> { y = MatMul (x, w) }", w=w)
    before, after = minimized(net, 1e-5, what, Crossbar(5, 5))
    assert before == Footprint(100, 4, 40)
    assert after == before


@pytest.mark.parametrize("what", MINIMIZED)
def test_without_data_a_rank_that_costs_a_tile_and_wires_for_few_cells_is_not_taken(what: str) -> None:
    """20 x 64 of rank 15: 1,260 of 1,280 cells, but a tile and 30 wires more on arrays of 64x64."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((20, 15)) @ rng.standard_normal((15, 64))
    net = network("g (float[n, 20] x) => (float[n, 64] y) <float[20, 64] w> { y = MatMul (x, w) }", w=w)
    before, after = minimized(net, 1e-5, what, Crossbar(64, 64))
    assert after == before == Footprint(1280, 1, 84)


def test_without_data_the_area_takes_no_wire_more_where_it_takes_fewer_cells() -> None:
    """20 x 20 of rank 2 is one tile with 40 wires; its factors are two tiles of 80 cells with 44.

    Alone the matrix stays, for `cells` it goes, and for `area` it goes where another matrix saves more than 4 wires.
    """
    rng = np.random.default_rng(0)
    w = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 20))
    alone = network("g (float[n, 20] x) => (float[n, 20] y) <float[20, 20] w> { y = MatMul (x, w) }", w=w)
    before, after = minimized(alone, 1e-5, "area", Crossbar(20, 20))
    assert after == before == Footprint(400, 1, 40)
    assert minimized(alone, 1e-5, "cells", Crossbar(20, 20))[1] == Footprint(80, 2, 44)
    v = rng.standard_normal((20, 1)) @ rng.standard_normal((1, 100))
    text = """g (float[n, 20] x) => (float[n, 100] y) <float[20,20] w, float[20,100] v> {
        h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, v) }"""
    before, after = minimized(network(text, w=w, v=v), 1e-5, "area", Crossbar(20, 20))
    assert before == Footprint(400 + 2000, 1 + 5, 40 + 200)
    assert after == Footprint(80 + 120, 2 + 6, 44 + 21 + 105)


def test_without_data_a_saturated_output_is_no_reason_to_find_nothing() -> None:
    """Eight layers whose softmax does not move for small cuts, and leaps for large ones: rank 4 of all of them fits."""
    rng = np.random.default_rng(0)
    names = [f"w{k}" for k in range(8)]
    body = "".join(f"m{k} = MatMul (r{k}, {name})  r{k + 1} = Relu (m{k})  " for k, name in enumerate(names))
    held = ", ".join(f"float[20,20] {name}" for name in names)
    text = (
        f"g (float[n,20] r0) => (float[n,2] y) <{held}, float[20,2] l> {{ {body} z = MatMul (r8, l)  y = Softmax (z) }}"
    )
    falling = np.arange(1, 21) ** -2.0
    weights = {name: _orthogonal(rng) * falling @ _orthogonal(rng) * 6 for name in names}
    net = network(text, l=1e6 * rng.standard_normal((20, 2)), **weights)
    original, batch = Runner(net), Batch({"r0": rng.standard_normal((4, 20)).astype(np.float32)}, None)
    context = Context(MapOptions(Crossbar(4, 4)), 0.05, drift=lambda n: max_output_error(Runner(n), original, [batch]))
    plain = net.copy()
    plain.factor_all((n.name, u[None], v[None]) for n in net.layers[:-1] for u, v in [_cut(n.matrix, 4)])
    assert context.drift is not None
    assert context.drift(plain) <= 0.05
    found = RankClip().run(net.copy(), context).network
    assert context.drift(found) <= 0.05
    assert context.saving(net)(found) >= context.saving(net)(plain) > 0


def _orthogonal(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.linalg.qr(rng.standard_normal((20, 20)))[0])


def _cut(w: NDArray[np.float64], rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, s, v = np.linalg.svd(w)
    return u[:, :rank] * s[:rank], v[:rank]


def test_without_data_a_weight_and_its_transpose_are_factored_together() -> None:
    """Each alone leaves the stored weight where it is: 400 numbers. Both of rank 1: 4 x 20."""
    rng = np.random.default_rng(0)
    net = network(
        """g (float[n,20] x) => (float[n,20] y) <float[20,20] w> {
        h = MatMul (x, w)  r = Relu (h)  t = Transpose (w)  y = MatMul (r, t) }""",
        w=rng.standard_normal((20, 1)) @ rng.standard_normal((1, 20)),
    )
    clipped = RankClip().run(net, by_error(net, 0.01)).network
    assert sorted(np.prod(t.dims) for t in clipped.to_proto().graph.initializer) == [20, 20, 20, 20]


def test_without_data_a_weight_that_a_lookup_reads_as_well_is_not_stored_twice() -> None:
    """Rank 2 of 20 x 16 would take 72 weights beside the 320 that stay for the Gather."""
    text = """g (float[n,20] x, int64[n] i) => (float[n,16] y, float[n,16] e) <float[20,16] w> {
        y = MatMul (x, w)  e = Gather (w, i) }"""
    net = network(text, w=rank_two().layers[0].matrix)
    batch = Batch({"x": np.eye(20, dtype=np.float32), "i": np.arange(20)}, None)
    context = replace(by_error(rank_two(), 1e-4), drift=lambda n: max_output_error(Runner(n), Runner(net), [batch]))
    assert len(RankClip().run(net.copy(), context).network.layers) == 1


def test_a_factorisation_that_saves_nothing_is_not_made() -> None:
    net = network(CHAIN)  # random: full rank
    result = RankClip().run(net.copy(), by_error(net, 1e-6))
    assert [layer.name for layer in result.network.layers] == ["n0", "n2"]


def test_the_papers_rule_clips_every_layer_but_the_last() -> None:
    net = rank_two()
    result = RankClip(method="pca", epsilon=1e-6).run(net.copy(), Context(MAPPING))
    assert [m.rank for m in linear_maps(result.network)] == [2, 4]


def test_ranks_can_be_asked_for_as_the_paper_lists_them() -> None:
    net = network(CHAIN)
    result = RankClip(method="pca", ranks="5").run(net.copy(), Context(MAPPING))
    assert linear_maps(result.network)[0].rank == 5
    with pytest.raises(UsageError, match="2 ranks for 1 layers"):
        RankClip(method="pca", ranks="5/12").run(net.copy(), Context(MAPPING))


def test_with_data_clipping_finds_the_rank_too() -> None:
    net = rank_two()
    result = RankClip().run(net.copy(), with_data(net, lowest=99.0))
    assert linear_maps(result.network)[0].rank <= 2
    assert cells(result.network) < cells(net)


def test_where_inputs_matter_little_and_all_directions_matter_ranks_are_left_to_deletion() -> None:
    """Ten of twenty inputs weigh a hundredth of the others: they can go, while a lower rank would lose much."""
    rng = np.random.default_rng(3)
    net = network(CHAIN, w=rng.standard_normal((20, 16)) * np.repeat([1.0, 0.01], 10)[:, None])
    context = with_data(net, lowest=80.0)
    assert linear_maps(RankClip().run(net.copy(), context).network)[0].v is not None
    later = replace(context, later=("delete-groups",))
    assert linear_maps(RankClip().run(net.copy(), later).network)[0].v is None
    flat = rank_two()  # here the ranks cost nothing
    found = RankClip().run(flat.copy(), replace(with_data(flat, lowest=99.0), later=("delete-groups",))).network
    assert linear_maps(found)[0].rank <= 2


def test_a_pair_is_clipped_further_without_a_third_factor() -> None:
    net = rank_two()
    once = RankClip(method="pca", ranks="8").run(net.copy(), Context(MAPPING)).network
    twice = RankClip(method="pca", ranks="2").run(once.copy(), Context(MAPPING)).network
    assert [layer.matrix.shape for layer in twice.layers] == [(20, 2), (2, 16), (16, 4)]


def test_a_layer_whose_gradient_is_no_number_is_measured_by_its_weights() -> None:
    """The root of nothing is infinitely steep, and here that meets its opposite."""
    net = network("""g (float[n,20] x) => (float[n,4] y) <float[20,16] w, float[16,4] v>
        { h = MatMul (x, w)  d = Sub (h, h)  s = Sqrt (d)  r = Add (h, s)  y = MatMul (r, v) }""")
    context = with_data(net, lowest=99.0)
    assert context.moments is not None
    assert [*context.moments(net)] == ["n4"]
    assert cells(RankClip().run(net.copy(), context).network) <= cells(net)


def test_groups_go_until_the_budget_is_met() -> None:
    net = network(CHAIN)
    context = with_data(net, lowest=60.0, effort=0.3)
    result = DeleteGroups(recovery_epochs=1.0, min_step=0.2).run(net.copy(), context)
    assert context.trainer is not None
    assert context.trainer.score(result.network) >= 60.0
    assert footprint(result.network, MAPPING).wires < footprint(net, MAPPING).wires


@pytest.mark.slow
@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_groups_of_a_state_go_in_both_directions(op: str, gates: int) -> None:
    """Columns and rows of the matrices that a recurrent layer multiplies its own state by."""
    net = network(f"""g (float[n,20] x) => (float[n,4] y)
        <float[2,{16 * gates},5] w, float[2,{16 * gates},16] r, float[32,4] v> {{
        s = Constant <value = int64[3] {{0,4,5}}> ()  a = Reshape (x, s)  t = Transpose <perm = [1,0,2]> (a)
        h, e = {op} <hidden_size = 16, direction = "bidirectional"> (t, w, r)
        f = Transpose <perm = [1,0,2]> (e)  z = Constant <value = int64[2] {{0,32}}> ()  c = Reshape (f, z)
        y = MatMul (c, v) }}""")
    state = next(layer for layer in net.layers if layer.name.endswith(".R"))
    assert state.matrices.shape == (2, 16, 16 * gates)
    result = DeleteGroups(recovery_epochs=1.0, curve_slack=20.0, min_step=0.2).run(
        net.copy(), with_data(net, lowest=50.0, effort=0.3)
    )
    pruned = result.network.layer(state.name).matrices.reshape(2, 2, 8, 2 * gates, 8)  # tiles of 8x8
    gone = [(~part.any(axis=3)).sum() + (~part.any(axis=1)).sum() for part in pruned]
    assert min(gone) > 0


def test_without_data_deletion_leaves_the_network_alone() -> None:
    net = network(CHAIN)
    result = DeleteGroups().run(net.copy(), Context(MAPPING))
    assert result.changes == ()


def test_a_neuron_without_inputs_disappears_from_both_neighbours() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((20, 16))
    w[:, 3] = 0
    result = DropDeadUnits().run(network(CHAIN, w=w), Context(MAPPING))
    assert [layer.matrix.shape for layer in result.network.layers] == [(20, 15), (15, 4)]


def test_the_cheapest_groups_are_those_with_least_harm_for_their_worth() -> None:
    index = np.arange(4)
    family = Family("row group", (GroupMember("w", 0, index, np.zeros(1, np.int64)),))
    worth = np.array([0.4, 0.1, 0.2, 0.0])  # the last one saves nothing: never chosen
    groups = Ranking({family: np.array([8.0, 1.0, 3.0, 0.5])}, {family: worth})
    assert groups.cheapest(0.35)[family].tolist() == [False, True, True, False]
    assert groups.cheapest(0.7)[family].tolist() == [True, True, True, False]
    assert groups.cheapest(0.01)[family].tolist() == [False, True, False, False]  # one at least


@pytest.mark.parametrize(
    ("now", "at_half", "over"),
    [
        ((89.0, 85.0), (50.0, 20.0), True),
        ((89.0, 85.0), (50.0, 80.0), False),
        ((85.0, 89.0), (50.0, 20.0), False),
        ((89.0, 88.5), (50.0, 20.0), False),
    ],
)
def test_ranks_are_over_where_groups_cost_less_both_now_and_at_half(
    now: tuple[float, float], at_half: tuple[float, float], over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores without groups, and clipped; a point is chance. Of a few per cent there are always groups for nothing."""
    monkeypatch.setattr(rank_clip, "ranked", lambda *_: ({}, {}))
    monkeypatch.setattr(clipper, "without_cheapest", lambda net, *_: net)
    net, context = network(CHAIN), coached(Coach(*now, *at_half), later=("delete-groups",))
    assert RankClip._is_over(net, (net, net), context) == over


def test_a_round_of_deletion_clips_ranks_where_that_costs_less() -> None:
    flat = rank_two()
    context = with_data(flat, lowest=99.0)
    clipped = clipped_if_cheaper(flat, ranked(flat, context), context, 0.25)
    assert clipped is not None
    assert context.saving(flat)(clipped) >= 0.25
    assert 2 <= linear_maps(clipped)[0].rank < 8  # the largest rank that saves so much, and two would do
    rng = np.random.default_rng(3)
    faint = network(CHAIN, w=rng.standard_normal((20, 16)) * np.repeat([1.0, 0.01], 10)[:, None])
    context = with_data(faint)
    assert clipped_if_cheaper(faint, ranked(faint, context), context, 0.25) is None


def test_dead_units_between_pairs_that_are_clipped_do_no_harm() -> None:
    """Pairs 20x8x16 and 16x6x4 whose ranks go to 2, with neurons between them that were dead before."""
    rng = np.random.default_rng(0)
    u, v = (rng.standard_normal((n, 2)) @ rng.standard_normal((2, m)) for n, m in ((20, 8), (16, 6)))
    first = rng.standard_normal((8, 16))
    first[:, :5] = 0
    net = network(
        """g (float[n,20] x) => (float[n,4] y) <float[20,8] u, float[8,16] a, float[16,6] v, float[6,4] b>
        { h = MatMul (x, u)  i = MatMul (h, a)  r = Relu (i)  j = MatMul (r, v)  y = MatMul (j, b) }""",
        u=u,
        a=first,
        v=v,
    )
    clipped = RankClip().run(net.copy(), by_error(net, 1e-4)).network
    assert [layer.matrix.shape for layer in clipped.layers] == [(20, 2), (2, 11), (11, 2), (2, 4)]
    by_rule = RankClip(method="pca", epsilon=1e-6).run(net.copy(), Context(MAPPING)).network
    assert [layer.matrix.shape for layer in by_rule.layers] == [(20, 2), (2, 11), (11, 6), (6, 4)]
