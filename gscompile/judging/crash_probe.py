"""A first run in a process of its own: on some networks onnxruntime ends whatever process asks it to run them.

Sums over axes without entries are such. Networks that hold none are run here straight away.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

import onnx
import onnx_ir as ir

from gscompile.data.synthetic import parse_input_shape, synthetic_batch
from gscompile.graph.network import Network
from gscompile.onnx_files.constants import nodes_of
from gscompile.scoring.runner import Runner

SECONDS = 60.0


def crash_of(network: Network, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """How onnxruntime ended the process that ran the network, in words; None where it did not."""
    if not _has_empty_axes(network.graph):
        return None
    given = [f"{name}={','.join(map(str, sizes))}" for name, sizes in shapes.items()]
    code = _exit_code(network.to_proto().SerializeToString(), given)
    return f"onnxruntime ends its process ({signal.Signals(-code).name}) when it runs the network" if code < 0 else None


def _has_empty_axes(graph: ir.Graph) -> bool:
    """Whether a tensor of two axes or more has one without entries. Empty vectors stand for what is left out."""
    made = (value for node in nodes_of(graph) for value in node.outputs)
    shapes = (value.shape for value in (*graph.inputs, *graph.initializers.values(), *made))
    return any(shape is not None and len(shape) > 1 and 0 in shape.dims for shape in shapes)


def _exit_code(model: bytes, shapes: list[str]) -> int:
    """Of the process that runs the model; 0 where it takes too long to tell."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            [sys.executable, "-m", "gscompile.judging.crash_probe", *shapes],
            input=model,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        ).returncode
    return 0


def probe(model: bytes, shapes: list[str]) -> None:
    """Run the model once; an exception is left to whoever asks, who meets it too."""
    with suppress(Exception):
        network = Network.from_proto(onnx.ModelProto.FromString(model))
        batch = synthetic_batch(network.model, dict(map(parse_input_shape, shapes)))
        Runner(network, optimise=False)(batch)


if __name__ == "__main__":
    probe(sys.stdin.buffer.read(), sys.argv[1:])
