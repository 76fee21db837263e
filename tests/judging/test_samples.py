"""Synthetic samples that decide and confirm: what is reached, what is finite, and what a promise is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.data.scales import uncentred_scale
from gscompile.data.synthetic import Filler, Shapes, synthetic_batch
from gscompile.errors import ModelError
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.judging.exercised import exercised
from gscompile.judging.samples import Draw, Sampler, Samples
from gscompile.reporting.report import CompileReport, text
from gscompile.scoring.replaced import Replaced
from gscompile.scoring.runner import RunBatch, Runner
from gscompile.scoring.tail import tail_quantile
from tests.small_networks import model


def weighted(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    proto = model(text)
    for tensor in proto.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name].astype(np.float32), tensor.name))
    return proto


def low_rank(size: int, seed: int = 0) -> np.ndarray:
    """A matrix whose n-th singular value is 1 / n^2. [size, size]"""
    draw = np.random.default_rng(seed)
    u, v = (np.linalg.qr(draw.standard_normal((size, size)))[0] for _ in range(2))
    return np.asarray(u * np.arange(1, size + 1) ** -2.0 @ v)


def compiled(proto: onnx.ModelProto, out: Path, **options: Any) -> tuple[Any, dict[str, np.ndarray]]:
    result = gscompile.compile(proto, out=out, crossbar="16x16", threads=1, **options)
    held = onnx.load(out / "model.onnx").graph.initializer
    return result.report, {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in held}


# ---------------------------------------------------------------- errors


def test_an_error_is_relative_to_the_range_of_its_own_group() -> None:
    """A difference of 1 is a tenth of outputs from 0 to 10, and a hundredth of those from 0 to 100."""
    x = np.array([[0.0], [1.0]], np.float32)
    draws = [Draw({"x": x * size}, {"y": x * size}, str(size)) for size in (10, 100)]
    samples = Samples(draws)
    np.testing.assert_allclose(samples.errors(lambda inputs: {"y": inputs["x"] + 1}), [0.1, 0.1, 0.01, 0.01])
    assert samples.drift(lambda inputs: {"y": inputs["x"] + 1}) == np.float32(0.1).round(1)
    told = samples.confirmation(lambda inputs: {"y": inputs["x"] + 1})
    assert (told.samples, round(told.largest, 6), round(told.percentile_99, 6)) == (4, 0.1, 0.1)
    assert [(r.output, r.inputs, r.low, r.high) for r in told.ranges] == [("y", "10", 0, 10), ("y", "100", 0, 100)]


def test_the_error_of_whole_numbers_is_the_share_that_changed() -> None:
    """One of four classes differs in the second sample, and none in the first; beside a float they do not count."""
    x = np.arange(8, dtype=np.int64).reshape(2, 4)
    other = x.copy()
    other[1, 2] = 0
    samples = Samples([Draw({"x": x}, {"y": x}, "")])
    np.testing.assert_array_equal(samples.errors(lambda _: {"y": other}), [0, 0.25])
    assert samples.drift(lambda inputs: {"y": inputs["x"]}) == 0
    beside = Samples([Draw({"x": x}, {"y": x, "z": x.astype(np.float32)}, "")])
    assert beside.drift(lambda inputs: {"y": other, "z": inputs["x"].astype(np.float32)}) == 0


def test_a_network_that_answers_with_a_class_says_how_many_answers_changed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).standard_normal((16, 8))
    text_of = "g (float[n,16] x) => (int64[n] y) <float[16,8] w = {0}> { h = MatMul (x, w) y = ArgMax <axis=1,keepdims=0> (h) }"
    report, _ = compiled(weighted(text_of, w=draw), tmp_path / "out", max_error=0.0)
    assert "no sample moves an output" not in text(report)
    assert "largest output difference: 0 % of an output's values on" in text(report)


def test_not_a_number_is_never_as_good_as_what_it_replaces() -> None:
    x = np.array([[0.0], [np.nan]], np.float32)
    assert Samples([Draw({"x": x}, {"y": x}, "")]).drift(lambda inputs: {"y": inputs["x"]}) == np.inf


def test_a_tail_is_carried_on_beyond_what_was_seen() -> None:
    """Of a Pareto law of exponent 1/2, P(x > t) = t^-2, one value of 10,000 is above 100."""
    values = (np.arange(1, 2001) / 2000.0) ** -0.5
    assert 80 < tail_quantile(values.tolist(), 1e-4) < 130
    assert tail_quantile([0.1, float("inf")], 0.001) == float("inf")
    assert tail_quantile([], 0.001) == tail_quantile([0.0] * 64, 0.001) == 0.0


# ---------------------------------------------------------------- what is drawn


def test_samples_on_which_the_original_is_not_finite_are_replaced() -> None:
    """The logarithm of a normal number is NaN for every second one."""
    network = Network.from_proto(model("g (float[n,1] x) => (float[n,1] y) { y = Log (x) }"))
    sampler = Sampler(Runner(network, optimise=False), Filler.of(network.model), ({"x": (1, 1)},), seed=0)
    draws = sampler.draws(64)
    assert len(draws) == 64
    assert all(draw.inputs["x"] > 0 for draw in draws)


def test_no_finite_sample_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    text = """g (float[n,32] x) => (float[n,32] y) <float[32,32] w, float[1] nothing = {0}>
        { a = MatMul (x, w)  zero = Mul (a, nothing)  y = Div (a, zero) }"""
    report, weights = compiled(weighted(text, w=low_rank(32)), tmp_path / "out", max_error=0.5)
    assert report.messages[0] == (
        "no synthetic input gives finite outputs, so nothing is compared and nothing lost: give --data"
    )
    np.testing.assert_array_equal(weights["w"], low_rank(32).astype(np.float32))


def test_values_that_the_network_refuses_are_replaced_in_compile_and_verify(tmp_path: Path) -> None:
    """A threshold of NonMaxSuppression is from 0 to 1: about two of three normal numbers are refused."""
    text_of = """g (float[1,2,4] boxes, float[1,1,2] scores, float[1] iou, float[n,32] x) => (int64[m,3] kept, float[n,32] y)
        <int64 most = {1}, float[32,32] w> { kept = NonMaxSuppression (boxes, scores, most, iou)  y = MatMul (x, w) }"""
    report, _ = compiled(weighted(text_of, w=low_rank(32)), tmp_path / "out", max_error=0.05)
    assert report.after.cells < report.before.cells
    assert gscompile.verify(tmp_path / "out")


SIZED = """g (float[4,32] x, int64[2] sizes) => (float[a,b] y) <float[32,32] w>
    { a = MatMul (x, w)  y = Reshape (a, sizes) }"""


def test_where_no_values_run_nothing_is_compared_and_nothing_lost(tmp_path: Path) -> None:
    """Sizes of [1, 1] do not hold the 128 values of 4 samples."""
    report, weights = compiled(weighted(SIZED, w=low_rank(32)), tmp_path / "out", max_error=0.5)
    assert report.messages[0].startswith(
        "onnxruntime runs no data made for the inputs, so nothing is compared and nothing lost: "
    )
    np.testing.assert_array_equal(weights["w"], low_rank(32).astype(np.float32))
    assert gscompile.verify(tmp_path / "out")


def test_a_network_that_no_values_can_run_is_refused(tmp_path: Path) -> None:
    """Floats of two axes are no sizes: 128 values are not 7 whatever they are."""
    text_of = "g (float[4,32] x) => (float[a] y) <float[32,32] w, int64[1] sizes = {7}> { a = MatMul (x, w)  y = Reshape (a, sizes) }"
    with pytest.raises(ModelError, match=r"^onnxruntime cannot run the network: "):
        compiled(weighted(text_of, w=low_rank(32)), tmp_path / "out")


STEPS = """g (float[1,32] x, float[1,1,32] h) => (float[1,32] y, float[1,1,32] h_next) <float[32,32] w, int64[1] axis = {0}>
    { a = Squeeze (h, axis)  b = MatMul (a, w)  y = Add (x, b)  h_next = Unsqueeze (y, axis) }"""


def test_states_are_what_the_network_made_of_earlier_inputs() -> None:
    """h = x + h W with W of size 3 grows to 3^n within n steps, far beyond the -1 to 1 of a first draw."""
    network = Network.from_proto(weighted(STEPS, w=3 * np.eye(32)))
    filler = Filler.of(network.model)
    assert filler.states == {"h": "h_next"}
    draws = Sampler(Runner(network, optimise=False), filler, ({"x": (1, 32), "h": (1, 1, 32)},), seed=0).draws(32)
    sizes = [float(np.abs(draw.inputs["h"]).max()) for draw in draws]
    assert sizes.count(0.0) >= 1  # a beginning
    assert max(sizes) > 27


def test_an_output_has_a_range_for_each_kind_of_sample_of_which_there_are_enough() -> None:
    """Errors of 1 are a tenth of the range of kind a, and a twentieth of that of all, where b has only one sample."""
    x = np.array([[0.0], [10.0], [5.0], [5.0], [20.0]], np.float32)
    samples = Samples([Draw({"x": x}, {"y": x}, "all", ("a", "a", "a", "a", "b"))])
    np.testing.assert_allclose(samples.errors(lambda inputs: {"y": inputs["x"] + 1}), [0.1, 0.1, 0.1, 0.1, 0.05])
    fewer = Samples(samples.draws[:1], like=samples)
    assert fewer.ranges is samples.ranges


def test_half_of_later_rows_of_tokens_are_as_in_texts() -> None:
    """Of 64 tokens below 10,000, drawn alike, nearly all differ; by Zipf's law many are the same."""
    network = Network.from_proto(
        model("g (int64[16,64] ids) => (float[16,64,1] y) <float[10000,1] table> { y = Gather (table, ids) }")
    )
    filler = Filler.of(network.model)
    first, second = (filler.fill({"ids": (16, 64)}, seed=0, draw=draw)["ids"] for draw in (0, 1))
    different = [[len(np.unique(row)) for row in ids] for ids in (first, second)]
    assert min(different[0]) > 60
    assert 2 <= sum(count < 55 for count in different[1]) <= 14


def test_pictures_are_drawn_in_each_scale_unless_the_network_tells_which() -> None:
    plain = model("g (float[1,3,16,16] x) => (float[1,3,16,16] y) { y = Relu (x) }")
    told = model(
        """g (float[1,3,16,16] x) => (float[1,3,16,16] y) <float[1] mean = {127.5}, float[1] size = {128}>
        { a = Sub (x, mean)  y = Div (a, size) }"""
    )
    for proto, scales in ((plain, 4), (told, 1)):
        network = Network.from_proto(proto)
        filler = Filler.of(network.model)
        shapes: Shapes = {"x": (1, 3, 16, 16)}
        assert filler.scales(shapes) == scales
        last = filler.fill(shapes, seed=0, draw=scales - 1)["x"]
        assert last.min() >= 0
        assert 100 < last.max() <= 255


def test_the_first_bias_tells_bytes_from_fractions() -> None:
    """A filter of nine ones has norm 3: a bias of 60 is that of sums of inputs that deviate by 20, of 3 by 1."""
    text = """g (float[n,1,16,16] x) => (float[n,2,14,14] y) <float[2,1,3,3] w, float[2] b> { y = Conv (x, w, b) }"""
    for bias, ends in ((60, {"0 to 255", "-128 to 127"}), (3, {"mean 0 and deviation 1", "-1 to 1", "0 to 1"})):
        filler = Filler.of(Network.from_proto(weighted(text, w=np.ones((2, 1, 3, 3)), b=np.full(2, bias))).model)
        told = {filler.scale_name({"x": (1, 1, 16, 16)}, draw).removeprefix("values of ") for draw in range(8)}
        assert told == ends


def test_a_statistic_at_the_front_tells_the_scale() -> None:
    text = """g (float[8,4,50] x) => (float[8,4,50] y)
        <float[4] one = {1,1,1,1}, float[4] zero = {0,0,0,0}, float[4] mean = {7,7,7,7}, float[4] var = {9,9,9,9}>
        { y = BatchNormalization (x, one, zero, mean, var) }"""
    x = np.concatenate([synthetic_batch(Network.from_proto(model(text)).model, seed=seed)["x"] for seed in range(20)])
    assert abs(x.mean() - 7) < 0.5
    assert 2 < x.std() < 5


def test_a_bias_that_takes_off_a_mean_tells_it() -> None:
    """W has columns of 16 ones, and b = 480: their sums are about zero where x is about -30."""
    text = "g (float[n,16] x) => (float[n,3] y) <float[16,3] w, float[3] b> { y = Gemm (x, w, b) }"
    for bias, scales in ((480, 2), (1, 1)):
        proto = weighted(text, w=np.ones((16, 3)), b=np.full(3, bias))
        filler = Filler.of(Network.from_proto(proto).model)
        assert filler.scales({"x": (4, 16)}) == scales
    assert str(
        uncentred_scale(Network.from_proto(weighted(text, w=np.ones((16, 3)), b=np.full(3, 480))).model, "x")
    ) == ("values of mean -30 and deviation 12")


# ---------------------------------------------------------------- what is reached

BRANCHES = """g (float[n,32] x, int64 rate) => (float[n,32] y) <int64 wide = {16000}, float[32,32] u, float[32,32] w> {
    c = Equal (rate, wide)
    y = If (c) <then_branch = a () => (float[n,32] p) { p = MatMul (x, u) },
                else_branch = b () => (float[n,32] q) { q = MatMul (x, w) }>
}"""


def test_both_ways_of_a_branch_are_taken(tmp_path: Path) -> None:
    proto = weighted(BRANCHES, u=low_rank(32), w=low_rank(32, 1))
    report, _ = compiled(proto, tmp_path / "out", max_error=0.05)
    assert report.after.cells < report.before.cells
    x = np.random.default_rng(9).standard_normal((64, 32)).astype(np.float32)
    for rate in (16000, 8000):
        inputs = {"x": x, "rate": np.array(rate)}
        theirs, ours = (
            Runner(proto.SerializeToString())(inputs)["y"],
            Runner(tmp_path / "out" / "model.onnx")(inputs)["y"],
        )
        assert np.abs(ours - theirs).max() <= 0.05 * np.ptp(theirs)


NEVER = """g (float[n,32] x) => (float[n,32] y) <float limit = {1e30}, float[32,32] u, float[32,32] w> {
    top = ReduceMax <keepdims = 0> (x)
    c = Less (top, limit)
    y = If (c) <then_branch = a () => (float[n,32] p) { p = MatMul (x, u) },
                else_branch = b () => (float[n,32] q) { q = MatMul (x, w) }>
}"""


def test_what_no_sample_reaches_stays_bit_for_bit_and_is_named(tmp_path: Path) -> None:
    proto = weighted(NEVER, u=low_rank(32), w=low_rank(32, 1))
    report, weights = compiled(proto, tmp_path / "out", max_error=0.05)
    np.testing.assert_array_equal(weights["w"], low_rank(32, 1).astype(np.float32))
    assert report.after.cells < report.before.cells
    (line,) = (message for message in report.messages if "no sample moves an output" in message)
    assert line.endswith(": left as they are; --input-shape or --data may reach them")


def test_the_recurrent_weight_of_one_step_moves_nothing() -> None:
    """h = tanh(W x + R h0) with h0 = 0: R is not seen in one step, and is in two."""
    text = """g (float[t,1,4] x) => (float[t,d,1,8] y) <float[1,8,4] w, float[1,8,8] r>
        { y, h = RNN <hidden_size = 8> (x, w, r) }"""
    draw = np.random.default_rng(0)
    network = Network.from_proto(
        weighted(text, w=draw.standard_normal((1, 8, 4)), r=draw.standard_normal((1, 8, 8)) / 3)
    )
    run = Runner(network, optimise=False)
    for steps, moved in ((1, 1), (2, 2)):
        x = {"x": draw.standard_normal((steps, 1, 4)).astype(np.float32)}
        assert len([*exercised(network, network.layers, [Draw(x, run(x), "")])]) == moved


def test_layers_that_move_nothing_are_tried_all_together_on_further_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """y = x a, and eight more products times zero. Nine runs on the first of three samples, one on each other."""
    dead = [f"w{number}" for number in range(8)]
    weights = ", ".join(f"float[2,2] {name} = {{1, 0, 0, 1}}" for name in ("a", *dead))
    lines = [f"p{n} = MatMul (x, {name})" for n, name in enumerate(dead)]
    lines += [f"s = Sum ({', '.join(f'p{n}' for n in range(8))})", "z = Mul (s, none)"]
    body = "\n".join((*lines, "h = MatMul (x, a)", "y = Add (h, z)"))
    text = f"g (float[n,2] x) => (float[n,2] y) <float none = {{0}}, {weights}> {{ {body} }}"
    network = Network.from_proto(model(text))
    run = Runner(network, optimise=False)
    draws = [Draw(x, run(x), "") for x in ({"x": np.full((1, 2), n, np.float32)} for n in (1, 2, 3))]
    tried: list[int] = []
    run_all = Replaced.run_all

    def counted(self: Replaced, changes: Sequence[tuple[Layer, Matrices]]) -> RunBatch:
        tried.append(len(changes))
        return run_all(self, changes)

    monkeypatch.setattr(Replaced, "run_all", counted)
    (name,) = exercised(network, network.layers, draws)
    assert network.layer(name).value.name == "a"
    assert tried == [1] * 9 + [8, 8]


def test_a_model_of_the_same_bytes_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network, the file it was written to, and the same with another weight."""
    text = "g (float[n,1] x) => (float[n,1] y) <float[1,1] w = {WEIGHT}> { y = MatMul (x, w) }"
    half, whole = (Network.from_proto(model(text.replace("WEIGHT", weight))) for weight in ("0.5", "1"))
    inputs = {"x": np.array([[0.0], [2.0]], np.float32)}
    samples = Samples([Draw(inputs, Runner(whole)(inputs), "")])
    half.save(tmp_path / "half.onnx")
    assert samples.drift(Runner(half)) == 0.5
    monkeypatch.setattr(Samples, "errors_of", None)  # nothing is measured again
    assert samples.drift(Runner(tmp_path / "half.onnx")) == 0.5
    with pytest.raises(TypeError):
        samples.drift(Runner(whole))


# ---------------------------------------------------------------- the promise


def test_the_report_tells_of_samples_that_did_not_choose(tmp_path: Path) -> None:
    graph = "g (float[n,32] x) => (float[n,32] y) <float[32,32] w> { a = MatMul (x, w)  y = Tanh (a) }"
    proto = weighted(graph, w=3 * low_rank(32))
    report, _ = compiled(proto, tmp_path / "out", max_error=0.05)
    told = report.confirmation
    assert told is not None
    assert told.samples >= 64
    assert 0 < told.percentile_99 <= told.largest == report.drift <= 0.05
    assert f"on {told.samples} other synthetic samples" in text(report)
    assert CompileReport.from_json(report.to_json()) == report
    ours, theirs = Runner(tmp_path / "out" / "model.onnx"), Runner(proto.SerializeToString())
    network = Network.from_proto(proto)
    fresh = [synthetic_batch(network.model, batch=8, seed=seed) for seed in range(100, 120)]
    size = max(np.ptp(theirs(x)["y"]) for x in fresh)
    errors = [np.abs(ours(x)["y"] - theirs(x)["y"]).max() / size for x in fresh]
    assert np.mean(np.array(errors) <= 0.05) >= 0.9
    assert max(errors) <= 0.075
