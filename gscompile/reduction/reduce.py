"""Reduction of a model to a smallest part on which a test still fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from gscompile.errors import ModelError, UsageError, one_line
from gscompile.files.staging import check_parent, write_file
from gscompile.progress import Progress
from gscompile.reduction.command import FailingCommand
from gscompile.reduction.delta_debugging import minimal_failing_part
from gscompile.reduction.subgraph import part_of
from gscompile.reduction.values import known_values


def reduce_model(model: onnx.ModelProto, fails: Callable[[onnx.ModelProto], bool]) -> onnx.ModelProto:
    """Return the smallest part of `model` that can be found on which `fails` is true.

    Nodes of the main graph are left out, by delta debugging; a subgraph (the branches of an If, the body of a Loop)
    belongs to its node. `fails(model)` must be true.
    """
    values = known_values(model)

    def part_fails(kept: Sequence[int]) -> bool:
        part = part_of(model, kept, values)
        return part is not None and fails(part)

    everything = range(len(model.graph.node))
    if not part_fails(everything):  # the failure needs what is no node: an initializer that nobody reads, metadata
        return model
    part = part_of(model, minimal_failing_part(everything, part_fails), values)
    assert part is not None
    return part


def reduce_file(path: Path, command: FailingCommand, out: Path, progress: Progress | None = None) -> onnx.ModelProto:
    """Write to `out` the smallest part of the model in `path` on which `command` fails as it does on the whole.

    Raises UsageError where the command does not fail on the whole model, or `out` exists; ModelError for a file that
    is no model; OutputError where `out` cannot be written.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out}: exists already; expected the name of a new file")
    check_parent(out)
    progress, model = progress or Progress(), _whole(path)
    first = command.run(path)
    if first is None:
        raise UsageError(f"{path}: the command does not fail on it; expected an exit code other than 0")
    runs = 0

    def fails(part: onnx.ModelProto) -> bool:
        nonlocal runs
        runs += 1
        failure = command.run(part)
        progress.say(f"run {runs}: {len(part.graph.node)} nodes, {'fails' if failure == first else 'does not fail so'}")
        return failure == first

    with progress.stage("reduce"):
        smallest = reduce_model(model, fails)
    write_file(out, smallest.SerializeToString())
    return smallest


def _whole(path: Path) -> onnx.ModelProto:
    """Return the model of a file with all its weights in it. Raises ModelError."""
    try:
        return onnx.load(path, format="protobuf")
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror}") from problem
    except (DecodeError, ValueError, onnx.checker.ValidationError) as problem:
        raise ModelError(f"{path}: not an ONNX file, or truncated: {one_line(problem)}") from problem
