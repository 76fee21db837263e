"""Build coupled channels from what a walk over the graph recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from gscompile.channels.coupled_channels import CoupledChannels, MatrixUse, Record, SplitUse, VectorUse
from gscompile.channels.propagation import Walk
from gscompile.channels.union_find import Units
from gscompile.graph.network import readers_behind_identity


def spaces_of(walk: Walk) -> tuple[CoupledChannels, ...]:
    """Return the coupled channels that were found; a vector that is read elsewhere too locks its own."""
    for value, units in _by_vector(walk).items():
        if not _runs_along_only(value, walk.vectors):
            walk.sets.pin(units, "a vector along it is read elsewhere")
    settled = walk.sets.settled()
    found = [CoupledChannels(size, pinned=why) for size, why in zip(settled.sizes, settled.pinned, strict=True)]
    for kind, records in _records(walk).items():
        for record in records:
            for number, units in settled.views(record.unit_of):
                getattr(found[number], kind).append(replace(record, unit_of=units))
    for split in walk.parted:
        edges = np.cumsum([len(units) for units in split.unit_of])[:-1]
        for number, units in settled.views(np.concatenate(split.unit_of)):
            found[number].parted.append(SplitUse(split.node, tuple(np.split(units, edges))))
    return tuple(space for space in found if space.producers)


def _records(walk: Walk) -> dict[str, list[Record]]:
    """Yield everything that holds units, with the field of `CoupledChannels` that it belongs to."""
    outputs = {name: walk.network.layer(name).layout.outputs for name in walk.made}
    return {
        "producers": [MatrixUse(name, u.repeat(outputs[name] // len(u))) for name, u in walk.made.items()],
        "consumers": [MatrixUse(name, *seen) for name, seen in walk.read.items() if seen is not None],
        "vectors": [*walk.vectors],
        "filters": [*walk.filters],
        "meetings": [*walk.meetings],
        "sized": [*walk.sized],
        "values": [*walk.values],
    }


def _by_vector(walk: Walk) -> dict[ir.Value, Units]:
    """Return the units along each vector; where a vector is used twice, the units of both uses are united."""
    found: dict[ir.Value, Units] = {}
    for vector in walk.vectors:
        walk.sets.unite(found.setdefault(vector.value, vector.unit_of), vector.unit_of)
    return found


def _runs_along_only(value: ir.Value, vectors: list[VectorUse]) -> bool:
    """Return whether every reader of a vector uses it along units, always by the same axis."""
    axes = [vector.axis for vector in vectors if vector.value is value]
    seen = len(list(readers_behind_identity(value))) == len(axes) and not value.is_graph_output()
    return seen and len(set(axes)) == 1
