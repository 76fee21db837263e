"""The passes on networks whose answer is known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gscompile.compression import rank_allocation as clipper
from gscompile.compression.linear_maps import cells, linear_maps
from gscompile.compression.passes import Context
from gscompile.compression.pricing import Pricing
from gscompile.compression.ranking import Ranking, ranked
from gscompile.compression.throughput import Throughput
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import Family, GroupMember
from gscompile.crossbars.mapping import Footprint, MapOptions, footprint
from gscompile.data.dataset import Batch, input_specs, load_data
from gscompile.errors import UsageError
from gscompile.graph.network import Network
from gscompile.passes import delete_groups, rank_clip
from gscompile.passes.delete_groups import DeleteGroups
from gscompile.passes.drop_dead_units import DropDeadUnits
from gscompile.passes.rank_clip import RankClip
from gscompile.scoring.runner import Runner, max_output_error
from gscompile.training.kfac_moments import measure_moments
from gscompile.training.torch_trainer import TorchTrainer, TrainingOptions
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


def with_data(net: Network, floor: float = 0.0, effort: float = 0.1) -> Context:
    rng = np.random.default_rng(0)
    data = load_data({"x": rng.standard_normal((256, 20)).astype(np.float32)}, input_specs(net.model))
    trainer = TorchTrainer(net, data, data, TrainingOptions(batch_size=32))
    return Context(
        MAPPING,
        trainer=trainer,
        floor=floor,
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
    result = RankClip().run(net.copy(), with_data(net, floor=99.0))
    assert linear_maps(result.network)[0].rank <= 2
    assert cells(result.network) < cells(net)


def test_where_inputs_matter_little_and_all_directions_matter_ranks_are_left_to_deletion() -> None:
    """Ten of twenty inputs weigh a hundredth of the others: they can go, while a lower rank would lose much."""
    rng = np.random.default_rng(3)
    net = network(CHAIN, w=rng.standard_normal((20, 16)) * np.repeat([1.0, 0.01], 10)[:, None])
    context = with_data(net, floor=80.0)
    assert linear_maps(RankClip().run(net.copy(), context).network)[0].v is not None
    later = replace(context, later=("delete-groups",))
    assert linear_maps(RankClip().run(net.copy(), later).network)[0].v is None
    flat = rank_two()  # here the ranks cost nothing
    found = RankClip().run(flat.copy(), replace(with_data(flat, floor=99.0), later=("delete-groups",))).network
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
    context = with_data(net, floor=99.0)
    assert context.moments is not None
    assert [*context.moments(net)] == ["n4"]
    assert cells(RankClip().run(net.copy(), context).network) <= cells(net)


def test_groups_go_until_the_budget_is_met() -> None:
    net = network(CHAIN)
    context = with_data(net, floor=60.0, effort=0.3)
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
        net.copy(), with_data(net, floor=50.0, effort=0.3)
    )
    pruned = result.network.layer(state.name).matrices.reshape(2, 2, 8, 2 * gates, 8)  # tiles of 8x8
    gone = [(~part.any(axis=3)).sum() + (~part.any(axis=1)).sum() for part in pruned]
    assert min(gone) > 0


def test_with_more_effort_steps_become_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(effort: float) -> list[float]:
        net, tried = network(CHAIN), list[float]()

        def no_rounds(_self: DeleteGroups, _start: Network, _context: Context, step: float, *_: Any) -> tuple[()]:
            tried.append(step)
            return ()

        monkeypatch.setattr(DeleteGroups, "_rounds", no_rounds)
        DeleteGroups(min_step=0.1).run(net, with_data(net, effort=effort))
        return tried

    assert steps(0.5) == steps(1.0) == [0.25, 0.125]
    assert steps(2.0) == [0.25, 0.125, 0.0625]


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


class Coach:
    """A trainer that leaves networks as they are and scores them as told."""

    pace, toll, hottest = Throughput(10.0), 0.0, math.inf  # seconds of an epoch; points; times the rate
    normalizes = False

    def __init__(self, *scores: float) -> None:
        self.scores, self.epochs, self.annealed = iter(scores), 0.0, 0.0
        self.rates, self.normalized = list[float](), list[bool]()

    def tune(
        self, net: Network, epochs: float, anneal: bool = False, lr: float = 1.0, normalize: bool = False
    ) -> Network:
        self.epochs += epochs
        self.normalized.append(normalize)
        self.annealed += epochs if anneal else 0.0
        self.rates.append(lr)
        return net

    def let_down(self, net: Network, epochs: float, lr: float, normalize: bool = False) -> Network:
        return self.tune(net, epochs, anneal=True, lr=lr, normalize=normalize)

    def score(self, _: Network) -> float:
        return next(self.scores)


def coached(coach: Coach, **more: Any) -> Context:
    return Context(MAPPING, trainer=cast(TorchTrainer, coach), floor=90.0, blur=1.0, **more)


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
    context = with_data(flat, floor=99.0)
    clipped = DeleteGroups._clipped(flat, ranked(flat, context), context, 0.25)
    assert clipped is not None
    assert context.saving(flat)(clipped) >= 0.25
    assert 2 <= linear_maps(clipped)[0].rank < 8  # the largest rank that saves so much, and two would do
    rng = np.random.default_rng(3)
    faint = network(CHAIN, w=rng.standard_normal((20, 16)) * np.repeat([1.0, 0.01], 10)[:, None])
    context = with_data(faint)
    assert DeleteGroups._clipped(faint, ranked(faint, context), context, 0.25) is None


@pytest.mark.parametrize(
    ("asked", "can", "normalized"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_recovery_is_normalised_where_that_can_be_unless_it_is_not_to_be(
    asked: bool, can: bool, normalized: bool
) -> None:
    """There is time for six epochs of ten seconds, which take half as long again."""
    coach = Coach(89.0, 91.0)
    coach.normalizes = can
    passing = DeleteGroups(recovery_epochs=9.0, reinsert_batch_norm=asked)
    passing.recovered(network(CHAIN), replace(coached(coach), longest=90.0), before=85.0)
    assert coach.normalized == [normalized, normalized]
    assert coach.epochs == (6.0 if normalized else 9.0)


def test_a_recovery_lets_the_learning_rate_down_after_a_third() -> None:
    coach = Coach(89.0, 91.0)
    _, score = DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach), before=85.0)
    assert (score, coach.epochs, coach.annealed) == (91.0, 6.0, 4.0)
    assert coach.rates == [3.0, 3.0]


@pytest.mark.parametrize(
    ("scores", "annealed", "best"),
    [
        ((89.5, 90.5), 4.0 + 8.0, 90.5),  # from 85 to 89.5: half a point lacks
        ((89.5, 89.8, 90.1), 4.0 + 8.0 + 16.0, 90.1),
        ((89.5, 89.6), 4.0 + 8.0, 89.6),  # 0.1 was brought, 0.4 lack
        ((89.5, 89.2), 4.0 + 8.0, 89.5),
        ((87.0, 88.4, 89.2, 89.4), 4.0 + 8.0 + 16.0 + 32.0, 89.4),  # 0.2 was brought, 0.6 lack
    ],
)
def test_a_recovery_is_let_down_for_twice_as_long_as_long_as_that_brings_half_of_what_lacks(
    scores: tuple[float, ...], annealed: float, best: float
) -> None:
    coach = Coach(89.0, *scores)
    _, found = DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach), before=85.0)
    assert (found, coach.annealed) == (best, annealed)


def test_a_recovery_is_not_let_down_again_for_less_long_than_before() -> None:
    """Two epochs of 10 s and four; then nine tenths of what is left are 36 s, or 45."""
    for left, annealed in ((40.0, 4.0), (50.0, 4.0 + 4.5)):
        coach, times = Coach(89.0, 89.5, 90.5), iter((1000.0, left, left))
        DeleteGroups(recovery_epochs=6.0).recovered(
            network(CHAIN), coached(coach, time_left=lambda t=times: next(t)), before=85.0
        )
        assert coach.annealed == pytest.approx(annealed)


def test_a_recovery_that_gets_nowhere_is_given_up_early() -> None:
    coach = Coach(85.25)  # not half of the way from 85 to 90, even if a point is chance, and two are let down
    _, score = DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach), before=85.0)
    assert (score, coach.epochs, coach.annealed) == (85.25, 2.0, 0.0)


def test_steps_that_are_too_long_are_as_long_as_others_from_then_on() -> None:
    coach = Coach(84.5, 88.0, 91.0)  # from 85 to 84.5, which is no way to 90; to 88 at a third of the rate
    _, score = DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach), before=85.0)
    assert (score, coach.rates, coach.hottest) == (91.0, [3.0, 1.0, 1.0], 1.0)


@pytest.mark.parametrize("then", [91.5, 90.5])
def test_a_network_that_fits_as_it_is_is_tuned_for_long_all_the_same(then: float) -> None:
    fits, end = network(CHAIN), network(CHAIN)
    coach = Coach(85.25, 91.0, then)  # the end gets nowhere; then that which fits is tuned
    pass_, context = DeleteGroups(recovery_epochs=6.0), coached(coach)
    best, failed = pass_._furthest(network(CHAIN), [(fits, 91.0), (end, 85.0)], context)
    assert (coach.epochs, failed) == (2.0 + 6.0, end)
    assert best is fits  # a coach gives back what it is given


@pytest.mark.parametrize(("came_to", "tried"), [(89.0, [3, 1]), (89.75, [3, 2])])
def test_after_one_that_does_not_come_back_the_next_is_where_as_much_would_do(
    came_to: float, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 85 to 90 is asked: 85.25 is close enough where the last came to 89.75, else it is half of the way."""
    way, order = [(network(CHAIN), score) for score in (88.0, 87.0, 85.25, 85.0)], list[int]()

    def recovered(_: Any, net: Network, _context: Any, before: float, **_more: Any) -> tuple[Network, float]:
        order.append(way.index((net, before)))
        return net, came_to

    monkeypatch.setattr(DeleteGroups, "recovered", recovered)
    context = coached(Coach(), time_left=lambda: 2.0 - len(order))  # for two
    assert DeleteGroups()._furthest(network(CHAIN), way, context)[1] is way[tried[-1]][0]
    assert order == tried


def without(columns: int) -> Network:
    """One that takes fewer cells and wires."""
    w = np.ones((4, 8), np.float32)
    w[:, :columns] = 0
    return network("g (float[n,4] x) => (float[n,8] y) <float[4,8] w> { y = MatMul (x, w) }", w=w)


def rounds_score(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Rounds that each take an output column, and score as told."""
    made = iter([(without(n), score) for n, score in enumerate(scores, 1)])
    monkeypatch.setattr(delete_groups, "ranked", lambda *_: ({}, {}))
    monkeypatch.setattr(DeleteGroups, "_shrunk", lambda *_: next(made))


@pytest.mark.parametrize(("gone", "rounds"), [(0, 4), (2, 1), (3, 2)])
def test_rounds_end_before_they_come_to_the_size_that_did_not_come_back(
    gone: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would go on until a score is out of the budget by more than chance."""
    rounds_score(monkeypatch, 89.5, 89.5, 89.5, 88.0, 88.0)
    failed = without(gone) if gone else None
    way = [*DeleteGroups(allow_rank_clipping=False)._rounds(without(0), coached(Coach()), 0.1, 89.0, failed)]
    assert len(way) == rounds


@pytest.mark.parametrize(("left", "rounds"), [(44.0, 0), (46.0, 1), (77.0, 1), (79.0, 4)])
def test_a_round_begins_in_the_time_of_half_a_recovery_and_others_in_that_of_one(
    left: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six epochs of 10 s: 45 s are 0.75 of a recovery, 78 are 1.3."""
    rounds_score(monkeypatch, 89.5, 89.5, 89.5, 88.0)
    context = coached(Coach(), time_left=lambda: left)
    assert len([*DeleteGroups(allow_rank_clipping=False)._rounds(without(0), context, 0.1, 89.0)]) == rounds


@pytest.mark.parametrize(("score", "depth"), [(89.5, 88.0), (85.0, 89.0)])
def test_before_any_recovery_rounds_go_twice_as_far_below_the_budget(
    score: float, depth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 90, a point being chance: a network that begins too far below is brought back first."""
    ends = list[float]()

    def rounds(_: Any, _net: Any, _context: Any, _step: float, lowest: float, _failed: Any) -> tuple[()]:
        ends.append(lowest)
        return ()

    monkeypatch.setattr(DeleteGroups, "_rounds", rounds)
    monkeypatch.setattr(DeleteGroups, "recovered", lambda *_: (network(CHAIN), 90.0))
    monkeypatch.setattr(DeleteGroups, "_untuned", lambda _self, net, _context: net)
    DeleteGroups()._search(network(CHAIN), coached(Coach(score)))
    assert set(ends) == {depth}


def test_a_recovery_plans_for_its_share_of_the_time_and_takes_more_where_that_may_suffice() -> None:
    for scores, epochs in (((90.0, 90.0), 3.0), ((89.5, 89.6, 90.0), 3.0 + 4.0)):  # of 10 s
        coach = Coach(*scores)
        DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach, longest=30.0), before=89.0)
        assert coach.epochs == pytest.approx(epochs)


def test_a_recovery_takes_the_time_that_is_left() -> None:
    coach = Coach(90.0, 90.0)  # six epochs of 10 s; nine tenths of 20 s are left for them
    DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach, time_left=lambda: 20.0), before=85.0)
    assert coach.epochs == pytest.approx(1.8)


@pytest.mark.parametrize(("left", "epochs"), [(500.0, 6.0 + 8.0), (140.0, 6.0 + 4.5), (130.0, 9.0), (60.0, 5.4)])
def test_a_recovery_is_not_let_down_again_in_the_time_of_the_network_that_waits(left: float, epochs: float) -> None:
    """Six epochs of 10 s; half a point lacks. 30 s are kept, and nine tenths of the rest are for eight epochs more."""
    coach = Coach(89.0, 89.5, 90.5)
    pass_, context = DeleteGroups(recovery_epochs=6.0), coached(coach, time_left=lambda: left - 10 * coach.epochs)
    pass_.recovered(network(CHAIN), context, before=85.0, is_last=False)
    assert coach.epochs == pytest.approx(epochs)


def test_a_smaller_network_leaves_time_for_the_larger_one() -> None:
    larger, smaller = network(CHAIN), network(CHAIN)
    coach = Coach(89.0, 89.5, 91.0, 91.0)  # half a point lacks: for twice as long it might come back
    context = coached(coach, time_left=lambda: 100.0 - 10 * coach.epochs)
    best, failed = DeleteGroups(recovery_epochs=6.0)._furthest(
        network(CHAIN), [(larger, 85.0), (smaller, 85.0)], context
    )
    assert (best, failed) == (larger, smaller)
    assert coach.epochs == pytest.approx(6.3 + 3.33)  # of 10 s, nine tenths of 70 and of 37


@pytest.mark.parametrize(("left", "epochs"), [(140.0, 6.0), (138.0, 12.42), (100.0, 9.0)])
def test_the_last_recovery_takes_the_time_that_no_round_would_be_begun_in(left: float, epochs: float) -> None:
    """Six epochs of 10 s; after them 78 s are wanted, 1.3 times as much, for a round and its recovery."""
    coach = Coach(90.0, 90.0)
    DeleteGroups(recovery_epochs=6.0).recovered(network(CHAIN), coached(coach, time_left=lambda: left), before=85.0)
    assert coach.epochs == pytest.approx(epochs)


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
