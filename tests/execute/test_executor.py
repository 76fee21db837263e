"""The executor on small graphs, with numbers one can check in the head."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from gscompile.errors import ExecutionError
from gscompile.execute import Executor, table
from gscompile.execute.node import NodeInfo

torch.set_num_threads(1)

HEADER = '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1, "odd": 1, "local": 1]>\n'


def model_of(text: str) -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(HEADER + text))


def initializer(model: ir.Model, name: str) -> ir.Value:
    return model.graph.initializers[name]


def floats(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32)


def spy(monkeypatch: pytest.MonkeyPatch, op_type: str, seen: Callable[[Tensor], None]) -> None:
    """Show every result of an op to `seen`."""
    versions = table._TORCH_OPS["", op_type]

    def watching(function: table.OpFunction) -> table.OpFunction:
        def watched(node: NodeInfo, *inputs: Any) -> Any:
            result = function(node, *inputs)
            seen(result)
            return result

        return watched

    watched = {since: watching(function) for since, function in versions.items()}
    monkeypatch.setitem(table._TORCH_OPS, ("", op_type), watched)


def test_a_slice_from_the_furthest_start_to_the_furthest_end_is_everything_and_warns_of_nothing() -> None:
    model = model_of(f"""g (float[3] x) => (float[3] y) {{
        start = Constant<value = int64[1] {{{-(2**63)}}}>()
        end = Constant<value = int64[1] {{{2**63 - 1}}}>()
        y = Slice(x, start, end)
    }}""")
    assert Executor(model, {})({"x": floats(1, 2, 3)})["y"].tolist() == [1, 2, 3]


def test_boxes_are_suppressed_by_limits_that_are_scalars() -> None:
    model = model_of("""g (float[1,3,4] boxes, float[1,1,3] scores) => (int64[n,3] y)
        <int64 most = {2}, float overlap = {0.5}, float least = {0.1}> {
        y = NonMaxSuppression(boxes, scores, most, overlap, least)
    }""")
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]]])
    kept = Executor(model, {})({"boxes": boxes, "scores": torch.tensor([[[0.9, 0.8, 0.7]]])})["y"]
    assert kept.tolist() == [[0, 0, 0], [0, 0, 2]]  # the second lies under the first


class TestGradients:
    def test_reach_the_chosen_weight_and_no_other(self) -> None:
        model = model_of("""g (float[1,2] x) => (float[1,1] y) <float[2,1] w = {3., 5.}, float[1] b = {1.}> {
            h = MatMul(x, w)
            y = Add(h, b)
        }""")
        executor = Executor(model, {"chosen": initializer(model, "w")})
        y = executor({"x": floats(10, 100).reshape(1, 2)})["y"]
        y.backward()
        assert y.item() == 10 * 3 + 100 * 5 + 1
        assert list(executor.weights) == ["chosen"]
        assert [p.shape for p in executor.parameters()] == [(2, 1)]
        assert executor.weights["chosen"].grad is not None
        assert executor.weights["chosen"].grad.tolist() == [[10], [100]]

    def test_pass_straight_through_a_rounding_inside_its_range(self) -> None:
        model = model_of("""g (float[4] x) => (float[4] y) <float[1] w = {1.}, float s = {0.5}, uint8 z = {128}> {
            h = Mul(x, w)
            q = QuantizeLinear(h, s, z)
            y = DequantizeLinear(q, s, z)
        }""")
        executor = Executor(model, {"w": initializer(model, "w")})
        y = executor({"x": floats(1.1, -2.4, 900, -900)})["y"]
        y.sum().backward()
        assert y.tolist() == [1, -2.5, 63.5, -64]  # of 0 to 255 in halves, from -64 on
        grad = executor.weights["w"].grad
        assert grad is not None
        assert grad.tolist() == pytest.approx([1.1 - 2.4])
        with torch.no_grad():
            assert executor({"x": floats(1.1, -2.4, 900, -900)})["y"].tolist() == y.tolist()

    def test_reach_a_weight_in_a_constant_node(self) -> None:
        model = model_of("""g (float[2] x) => (float[2] y) {
            w = Constant<value = float[2] {3., 5.}>()
            y = Mul(x, w)
        }""")
        executor = Executor(model, {"w": model.graph.node(0).outputs[0]})
        executor({"x": floats(1, 2)})["y"].sum().backward()
        assert executor.weights["w"].grad is not None
        assert executor.weights["w"].grad.tolist() == [1, 2]

    def test_reach_a_half_precision_weight_behind_a_cast_and_an_identity(self) -> None:
        model = model_of("""g (float[2] x) => (float[2] y) <float16[2] w = {16896, 17664}> {
            tied = Identity(w)
            full = Cast<to = 1>(tied)
            y = Mul(x, full)
        }""")
        executor = Executor(model, {"w": initializer(model, "w")})
        executor({"x": floats(1, 2)})["y"].sum().backward()
        weight = executor.weights["w"]
        assert weight.dtype == torch.float16
        assert weight.tolist() == [3, 5]  # the text format writes half precision as bits
        assert weight.grad is not None
        assert weight.grad.tolist() == [1, 2]

    def test_are_numbers_where_attention_is_masked_altogether(self) -> None:
        text = """<ir_version: 11, opset_import: ["": 23]>
        g (float[1,1,2,2] q, float[1,1,2,2] k, float[1,1,2,2] v) => (float[1,1,2,2] y) <bool[2,2] m = {1, 1, 0, 0}> {
            y = Attention (q, k, v, m)
        }"""
        inputs = {name: torch.eye(2)[None, None].requires_grad_() for name in "qkv"}
        y = Executor(ir.from_proto(onnx.parser.parse_model(text)))(inputs)["y"]
        (y[..., 0] ** 2).sum().backward()
        assert y[0, 0, 1].tolist() == [0, 0]  # the second query may look at nothing
        assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in inputs.values())
        assert inputs["q"].grad is not None
        assert inputs["q"].grad[0, 0].abs().sum(1).tolist()[1] == 0 < inputs["q"].grad.abs().sum()

    def test_the_model_does_not_change_when_the_weight_does(self) -> None:
        model = model_of("g (float[1] x) => (float[1] y) <float[1] w = {3.}> { y = Mul(x, w) }")
        executor = Executor(model, {"w": initializer(model, "w")})
        with torch.no_grad():
            executor.weights["w"].fill_(7)
        assert executor({"x": floats(1)})["y"].item() == 7
        constant = initializer(model, "w").const_value
        assert constant is not None
        assert constant.numpy().tolist() == [3]

    def test_cut_above_a_weight_is_an_error_that_names_the_op(self) -> None:
        text = """<ir_version: 9, opset_import: ["": 20]>
        g (float[1,1,8] x) => (float[1,1,2,2,2] y) <float[8] w = {1., 2., 3., 4., 5., 6., 7., 8.}> {
            h = Mul(x, w)
            image = Constant<value_ints = [2, 2, 2]>()
            block = Constant<value_ints = [1, 1, 1]>()
            [culprit] y = Col2Im(h, image, block)
        }"""
        model = ir.from_proto(onnx.parser.parse_model(text))
        x = torch.ones(1, 1, 8)
        assert Executor(model)({"x": x})["y"].flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        executor = Executor(model, {"w": initializer(model, "w")})
        with pytest.raises(ExecutionError, match="Col2Im 'culprit' cuts the gradient"):
            executor({"x": x})
        with torch.no_grad():
            assert executor({"x": x})["y"].numel() == 8

    def test_integers_cannot_be_trained(self) -> None:
        model = model_of("g (int64[1] x) => (int64[1] y) <int64[1] w = {3}> { y = Mul(x, w) }")
        with pytest.raises(ExecutionError, match="weight 'w' cannot be trained"):
            Executor(model, {"w": initializer(model, "w")})


class TestSubgraphs:
    TWO_BRANCHES = """g (bool c, float[1] x) => (float[1] y) {
        y = If (c) <
            then_branch = a () => (float[1] r) <float[1] w = {2.}> { r = Mul(x, w) },
            else_branch = b () => (float[1] s) <float[1] w = {5.}> { r = Add(x, w) s = Neg(r) }
        >
    }"""

    def branches(self, model: ir.Model) -> dict[str, ir.Value]:
        node = model.graph.node(0)
        return {b: node.attributes[b].as_graph().initializers["w"] for b in ("then_branch", "else_branch")}

    def test_names_that_repeat_in_sibling_branches_are_two_values(self) -> None:
        model = model_of(self.TWO_BRANCHES)
        executor = Executor(model, self.branches(model))
        assert executor({"c": torch.tensor(True), "x": floats(10)})["y"].item() == 20
        assert executor({"c": torch.tensor(False), "x": floats(10)})["y"].item() == -15

    def test_the_gradient_reaches_the_branch_that_was_taken(self) -> None:
        model = model_of(self.TWO_BRANCHES)
        executor = Executor(model, self.branches(model))
        executor({"c": torch.tensor(True), "x": floats(10)})["y"].backward()
        taken, other = executor.weights["then_branch"], executor.weights["else_branch"]
        assert taken.grad is not None
        assert taken.grad.item() == 10
        assert other.grad is None

    def test_a_loop_carries_its_state_and_collects(self) -> None:
        model = model_of(
            """g (int64 n, float[1] x) => (float[1] last, float[k,1] all) <float[1] w = {2.}> {
            last, all = Loop (n, , x) <
                body = b (int64 i, bool c, float[1] h) => (bool go, float[1] next, float[1] seen) {
                    go = Identity(c)
                    next = Mul(h, w)
                    seen = Add(h, w)
                }
            >
        }"""
        )
        executor = Executor(model, {"w": initializer(model, "w")})
        outputs = executor({"n": torch.tensor(3), "x": floats(1)})
        outputs["last"].backward()
        assert outputs["last"].item() == 8
        assert outputs["all"].flatten().tolist() == [3, 4, 6]
        assert executor.weights["w"].grad is not None
        assert executor.weights["w"].grad.item() == 3 * 2**2

    def test_a_function_of_the_model_runs_with_its_attributes(self) -> None:
        model = model_of("""g (float[1] x) => (float[1] y) { h = local.scale<by = 3.>(x) y = local.scale(h) }
            <domain: "local", opset_import: ["": 17]> scale <by: float = 2.> (a) => (b) {
                k = Constant<value_float: float = @by>()
                b = Mul(a, k)
            }""")
        assert Executor(model)({"x": floats(1)})["y"].item() == 6

    def test_a_function_returns_a_second_output_that_nobody_else_reads(self) -> None:
        model = model_of("""g (float[3] x) => (float[1] v, int64[1] i) { v, i = local.best(x) }
            <domain: "local", opset_import: ["": 17]> best (a) => (v, i) {
                one = Constant<value_ints = [1]>()
                v, i = TopK(a, one)
            }""")
        outputs = Executor(model)({"x": floats(4, 9, 2)})
        assert [outputs["v"].item(), outputs["i"].item()] == [9, 1]

    def test_a_branch_that_depends_on_shapes_alone_is_folded_with_what_it_captures(self) -> None:
        model = model_of("""g (float[n] x) => (int64 y) <int64 two = {2}> {
            n = Size(x)
            m = Mul(n, two)
            big = Greater(n, two)
            k = If (big) <
                then_branch = a () => (int64 r) { r = Neg(m) },
                else_branch = b () => (int64 s) { s = Abs(m) }
            >
            y = Identity(k)
        }""")
        executor = Executor(model)
        assert [executor({"x": torch.zeros(n)})["y"].item() for n in (1, 3, 1)] == [2, -6, 2]


class TestMemory:
    def test_a_tensor_is_freed_after_its_last_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first: list[weakref.ref[Tensor]] = []
        alive: list[bool] = []
        spy(monkeypatch, "Abs", lambda result: first.append(weakref.ref(result)))
        spy(monkeypatch, "Exp", lambda _: alive.append(gc.collect() >= 0 and first[0]() is not None))
        model = model_of("g (float[1] x) => (float[1] y) { a = Abs(x) b = Neg(a) c = Floor(b) y = Exp(c) }")
        Executor(model)({"x": floats(0)})
        assert alive == [False]

    def test_a_captured_value_is_returned_with_the_outputs(self) -> None:
        model = model_of("g (float[1] x) => (float[1] y) { a = Abs(x) b = Neg(a) y = Exp(b) }")
        a = model.graph.node(0).outputs[0]
        executor = Executor(model)
        outputs = executor({"x": floats(-3)}, capture=[a])
        assert list(outputs) == ["y", "a"]
        assert outputs["a"].item() == 3
        assert list(executor({"x": floats(-3)})) == ["y"]


class TestFolding:
    FLAT = """g (float[n,2,3] x) => (float[n,6] y) {
        shape = Shape(x)
        zero = Constant<value_ints = [0]>()
        n = Gather(shape, zero)
        rest = Constant<value_ints = [-1]>()
        target = Concat<axis = 0>(n, rest)
        y = Reshape(x, target)
    }"""

    def test_shapes_are_computed_once_per_input_shape(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        spy(monkeypatch, "Gather", lambda result: calls.append(int(result[0])))
        executor = Executor(model_of(self.FLAT))
        for batch in (4, 4, 5, 4, 5):
            assert executor({"x": torch.zeros(batch, 2, 3)})["y"].shape == (batch, 6)
        assert calls == [4, 5]

    def test_constants_are_folded_once_and_trained_weights_never(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[float] = []
        spy(monkeypatch, "Neg", lambda result: calls.append(result.item()))
        text = "g (float[1] x) => (float[1] y) <float[1] w = {3.}> { v = Neg(w) y = Mul(x, v) }"
        model = model_of(text)
        frozen, trained = Executor(model), Executor(model, {"w": initializer(model, "w")})
        for _ in range(3):
            assert frozen({"x": floats(2)})["y"].item() == -6
        assert calls == [-3]
        for _ in range(3):
            trained({"x": floats(2)})
        assert calls == [-3] * 4

    def test_a_branch_with_a_trained_weight_is_not_folded_though_its_condition_is_constant(self) -> None:
        model = model_of("""g (float[1] x) => (float[1] y) <bool c = {1}> {
            v = If (c) <
                then_branch = a () => (float[1] r) <float[1] w = {2.}> { r = Neg(w) },
                else_branch = b () => (float[1] s) { s = Constant<value_floats = [0.]>() }
            >
            y = Mul(x, v)
        }""")
        weight = model.graph.node(0).attributes["then_branch"].as_graph().initializers["w"]
        executor = Executor(model, {"w": weight})
        executor({"x": floats(3)})["y"].backward()
        assert executor.weights["w"].grad is not None
        assert executor.weights["w"].grad.item() == -3

    def test_a_captured_value_inside_a_fold_is_there(self) -> None:
        model = model_of(self.FLAT)
        n = model.graph.node(2).outputs[0]
        assert n.name == "n"
        assert Executor(model)({"x": torch.zeros(4, 2, 3)}, capture=[n])["n"].tolist() == [4]

    def test_folded_values_follow_the_module(self) -> None:
        model = model_of("g (float[1] x) => (float[1] y) <float[1] w = {3.}> { v = Neg(w) y = Mul(x, v) }")
        executor = Executor(model)
        executor({"x": floats(2)})
        assert executor.double()({"x": floats(2).double()})["y"].dtype == torch.float64

    def test_values_folded_in_inference_mode_serve_a_later_training_step(self) -> None:
        model = model_of("""g (float[1] x) => (float[1] y) <float[1] w = {3.}, float[1] k = {2.}> {
            v = Neg(k)
            h = Mul(x, w)
            y = Mul(h, v)
        }""")
        executor = Executor(model, {"w": initializer(model, "w")})
        with torch.inference_mode():
            executor({"x": floats(1)})
        executor({"x": floats(1)})["y"].backward()
        assert executor.weights["w"].grad is not None
        assert executor.weights["w"].grad.item() == -2


def test_distributed_data_parallel_wraps_it(tmp_path: Path) -> None:
    model = model_of(TestSubgraphs.TWO_BRANCHES)
    branch = model.graph.node(0).attributes["then_branch"].as_graph()
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        executor = Executor(model, {"w": branch.initializers["w"]})
        wrapped = nn.parallel.DistributedDataParallel(executor, find_unused_parameters=True)
        wrapped({"c": torch.tensor(True), "x": floats(10)})["y"].backward()
    finally:
        torch.distributed.destroy_process_group()
    assert executor.weights["w"].grad is not None
    assert executor.weights["w"].grad.item() == 10


class TestErrors:
    def test_an_unknown_op_is_named_with_its_domain_and_node(self) -> None:
        model = model_of("g (float[1] x) => (float[1] y) { [here] y = odd.Thing(x) }")
        with pytest.raises(ExecutionError, match=r"odd\.Thing 'here' .*domain 'odd'"):
            Executor(model)

    def test_a_weight_of_another_model_is_named(self) -> None:
        text = "g (float[1] x) => (float[1] y) <float[1] w = {3.}> { y = Mul(x, w) }"
        with pytest.raises(ExecutionError, match="weight 'key' is not in the model"):
            Executor(model_of(text), {"key": initializer(model_of(text), "w")})

    def test_a_missing_input_is_named(self) -> None:
        model = model_of("g (float[1] x, float[1] z) => (float[1] y) { y = Add(x, z) }")
        with pytest.raises(ExecutionError, match="input 'z' is missing; given: x"):
            Executor(model)({"x": floats(1)})

    def test_a_mismatch_is_one_line_that_names_the_node(self) -> None:
        model = model_of("g (float[n] x) => (float[n] y) <float[2] w = {1., 2.}> { [sum] y = Add(x, w) }")
        with pytest.raises(ExecutionError, match=r"^Add 'sum': .*size") as caught:
            Executor(model)({"x": floats(1, 2, 3)})
        assert "\n" not in str(caught.value)


class TestValues:
    def test_scalars_empty_batches_and_strings_pass(self) -> None:
        model = model_of("""g (float[n,2] x, float s) => (float[n,2] y, string[1] t) {
            y = Mul(x, s)
            t = Constant<value_strings = ["a"]>()
        }""")
        outputs = Executor(model)({"x": torch.zeros(0, 2), "s": torch.tensor(2.0)})
        assert outputs["y"].shape == (0, 2)
        assert outputs["t"].tolist() == ["a"]

    def test_four_bit_weights_are_computed_by_the_reference(self) -> None:
        text = """<ir_version: 10, opset_import: ["": 21]> g (float[2] x) => (float[2] y) <float s = {0.5}> {
            q = Constant<value = int4[2] {0, 0}>()
            w = DequantizeLinear(q, s)
            y = Mul(x, w)
        }"""
        proto = onnx.parser.parse_model(text)
        proto.graph.node[0].attribute[0].t.CopyFrom(onnx.helper.make_tensor("", onnx.TensorProto.INT4, [2], [-3, 7]))
        model = ir.from_proto(proto)
        assert Executor(model)({"x": floats(1, 1)})["y"].tolist() == [-1.5, 3.5]

    def test_sequences_come_as_lists(self) -> None:
        model = model_of("g (float[3] x) => (seq(float[1]) y) { y = SplitToSequence(x) }")
        assert [item.tolist() for item in Executor(model)({"x": floats(1, 2, 3)})["y"]] == [[1], [2], [3]]
