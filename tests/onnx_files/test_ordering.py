"""Nodes may come in any order, as onnxruntime takes them; a circle is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.errors import ModelError
from gscompile.graph.network import Network
from gscompile.onnx_files.ordering import in_order, put_in_order
from gscompile.scoring.runner import Runner
from tests.small_networks import feeds_for, model

CHAIN = """g (float[n,8] x) => (float[n,8] y) <float[8,8] w> { a = MatMul (x, w)  b = Relu (a)  c = Neg (b)  y = Add (b, c) }"""
BRANCH = """g (float[n,8] x, bool c) => (float[n,8] y) <float[8,8] w> { h = MatMul (x, w)  y = If (c) <
    then_branch = t () => (float[n,8] p) { o = Neg (h)  p = Exp (o) }, else_branch = e () => (float[n,8] q) { q = Neg (h) }> }"""


def shuffled(text: str, *order: int) -> onnx.ModelProto:
    proto = model(text)
    nodes = [*proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[number] for number in order)
    return proto


def names(proto: onnx.ModelProto) -> list[str]:
    return [node.name for node in proto.graph.node]


def test_nodes_keep_their_order_where_they_can() -> None:
    proto = shuffled(CHAIN, 2, 0, 3, 1)
    assert not in_order(proto)
    assert put_in_order(proto)
    assert names(proto) == ["n0", "n1", "n2", "n3"]
    assert in_order(proto)
    assert not put_in_order(proto)


def test_what_a_branch_reads_is_made_before_and_branches_are_sorted_inside() -> None:
    proto = shuffled(BRANCH, 1, 0)
    branch = proto.graph.node[0].attribute[0].g
    inner = [*branch.node]
    del branch.node[:]
    branch.node.extend(reversed(inner))
    assert put_in_order(proto)
    assert names(proto) == ["n0", "n1"]
    assert [node.op_type for node in proto.graph.node[1].attribute[0].g.node] == ["Neg", "Exp"]


def test_a_file_in_any_order_compiles_to_the_same_outputs(tmp_path: Path) -> None:
    path, proto = tmp_path / "mixed.onnx", shuffled(CHAIN, 3, 2, 1, 0)
    onnx.save(proto, path)
    feeds = feeds_for(proto)
    wanted = Runner(path)(feeds)["y"]  # by onnxruntime, in its own order
    gscompile.compile(path, out=tmp_path / "out", max_output_error=0)
    np.testing.assert_array_equal(Runner(tmp_path / "out" / "model.onnx")(feeds)["y"], wanted)
    onnx.checker.check_model(tmp_path / "out" / "model.onnx", full_check=True)


def test_a_model_of_the_callers_is_sorted_in_a_copy() -> None:
    proto = shuffled(CHAIN, 3, 2, 1, 0)
    before = proto.SerializeToString(deterministic=True)
    assert len(Network.from_proto(proto).layers) == 1
    assert proto.SerializeToString(deterministic=True) == before


def test_a_circle_stays_and_is_refused() -> None:
    proto = model(CHAIN)
    proto.graph.node[0].input[0] = "c"
    assert not put_in_order(proto)
    with pytest.raises(ModelError, match="topologically sorted"):
        Network.from_proto(proto)
