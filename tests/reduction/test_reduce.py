"""A model on which something fails is cut to the few nodes that matter."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gscompile.errors import OutputError, UsageError
from gscompile.reduction.command import FailingCommand, placed
from gscompile.reduction.delta_debugging import minimal_failing_part
from gscompile.reduction.reduce import reduce_file, reduce_model
from gscompile.scoring.runner import Runner

CONVNET = Path(__file__).parents[2] / "samples" / "convnet.onnx"
Fault = Callable[[onnx.ModelProto], bool]


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def follows(model: onnx.ModelProto, *chain: str) -> bool:
    """Whether nodes of these types read one another in this order."""
    ends = {name for node in model.graph.node if node.op_type == chain[0] for name in node.output}
    for op in chain[1:]:
        nodes = [node for node in model.graph.node if node.op_type == op and ends & {*node.input}]
        ends = {name for node in nodes for name in node.output}
    return bool(ends)


def weights(model: onnx.ModelProto) -> list[np.ndarray]:
    return [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]


def is_run(model: onnx.ModelProto) -> bool:
    try:
        Runner(model.SerializeToString())
    except RuntimeError:
        return False
    return True


FAULTS: dict[str, tuple[Fault, int]] = {  # what fails, and how many nodes are enough
    "an op": (lambda m: "Pow" in ops(m), 1),
    "the first op": (lambda m: "MaxPool" in ops(m), 1),
    "the last op": (lambda m: "Gemm" in ops(m), 1),
    "an attribute": (lambda m: any(a.name == "count_include_pad" for n in m.graph.node for a in n.attribute), 1),
    "two ops in a row": (lambda m: follows(m, "Pow", "Div"), 2),
    "three ops in a row": (lambda m: follows(m, "Mul", "Add", "Pow"), 3),
    "two ops far apart": (lambda m: {"MaxPool", "Gemm"} <= {*ops(m)}, 2),
    "two of the same op": (lambda m: ops(m).count("Conv") >= 2, 2),
    "three of one op and two of another": (lambda m: ops(m).count("Conv") == 3 and ops(m).count("Relu") >= 2, 5),
    "a large weight": (lambda m: any(w.size == 51200 for w in weights(m)), 1),
    "a name": (lambda m: any("conv2" in node.name for node in m.graph.node), 1),
    "what onnxruntime runs": (lambda m: is_run(m) and "AveragePool" in ops(m), 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_cut_to_five_nodes_or_fewer(name: str) -> None:
    fails, enough = FAULTS[name]
    model = onnx.load(CONVNET)
    assert fails(model)
    smallest = reduce_model(model, fails)
    assert fails(smallest)
    assert len(smallest.graph.node) == enough
    onnx.checker.check_model(smallest, full_check=True)
    assert is_run(smallest)


def test_values_that_no_input_influences_become_initializers() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 2] x) => (float[n, 2] y) <float one = {1}, float two = {2}>
        { three = Add (one, two)  a = Mul (x, three)  y = Tanh (a) }
    """
    smallest = reduce_model(onnx.parser.parse_model(text), lambda model: "Mul" in ops(model))
    assert ops(smallest) == ["Mul"]
    assert [tensor.name for tensor in smallest.graph.initializer] == ["three"]
    assert numpy_helper.to_array(smallest.graph.initializer[0]) == 3


def test_the_smallest_part_of_a_list_has_no_item_too_many() -> None:
    assert minimal_failing_part(range(1000), lambda part: {3, 500, 997} <= {*part}) == [3, 500, 997]


def test_one_place_is_found_in_about_as_many_tests_as_there_are_halvings() -> None:
    tests = 0

    def fails(part: object) -> bool:
        nonlocal tests
        tests += 1
        return 700 in part  # type: ignore[operator]

    assert minimal_failing_part(range(1024), fails) == [700]
    assert tests <= 2 * 10


def failing(tmp_path: Path) -> tuple[str, ...]:
    """A program that ends with exit code 7 for a model with a Pow, and 3 for one without a Conv."""
    script = tmp_path / "tool.py"
    script.write_text(
        "import onnx, sys\n"
        "ops = [node.op_type for node in onnx.load(sys.argv[1]).graph.node]\n"
        "sys.exit('no Pow here, 3') if 'Pow' not in ops else (print(len(ops), 'ops', file=sys.stderr), sys.exit(7))\n"
    )
    return (sys.executable, str(script), "{}")


def test_a_command_is_run_on_parts_and_fails_as_on_the_whole(tmp_path: Path) -> None:
    command = FailingCommand(failing(tmp_path), str(CONVNET))
    smallest = reduce_file(CONVNET, command, tmp_path / "small.onnx")
    assert ops(smallest) == ["Pow"]
    assert ops(onnx.load(tmp_path / "small.onnx")) == ["Pow"]


def test_a_command_that_does_not_fail_is_said(tmp_path: Path) -> None:
    command = FailingCommand((sys.executable, "-c", "", "{}"), "m.onnx")
    with pytest.raises(UsageError, match="the command does not fail on it; expected an exit code other than 0"):
        reduce_file(CONVNET, command, tmp_path / "small.onnx")


def test_a_result_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    command = FailingCommand(("no such program", "{}"), "m.onnx")
    (tmp_path / "link.onnx").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"link\.onnx: exists already; expected the name of a new file$"):
        reduce_file(CONVNET, command, tmp_path / "link.onnx")
    with pytest.raises(OutputError, match=r"none: no such folder to write small\.onnx in$"):
        reduce_file(CONVNET, command, tmp_path / "none" / "small.onnx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "reduce: no command given; write it after --, as in -- gscompile {} --crossbar 64x64"),
        (("tool",), "reduce: the command does not name the model; expected 'm.onnx' or {} among its words"),
    ],
)
def test_a_command_without_a_model_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as problem:
        placed(words, "m.onnx")
    assert str(problem.value) == said
