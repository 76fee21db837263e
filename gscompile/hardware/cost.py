"""The cost of a netlist on a target: area, energy of a read, latency. Every constant is the target's.

Area: a cell is `area_f2` F^2 a device; converters are shared as the target says (ISAAC, ISCA 2016); wires
between arrays take length x pitch / layers. Cell area alone oversells compression, so the headline is the
chip.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.nets import Nets
from gscompile.graph.network import Network
from gscompile.hardware.components import array_periphery_um2, block_area_um2
from gscompile.hardware.critical_path import critical_path_ns
from gscompile.hardware.target import Target


@dataclass(frozen=True)
class Cost:
    """Of one layer or of everything. Energy and latency are of one inference, every matrix built once.

    `chip_um2` is the headline: arrays, their periphery, digital blocks and the wires between them.
    """

    name: str
    cells: int
    tiles: int
    wires: int
    array_um2: float
    periphery_um2: float
    block_um2: float
    interconnect_um2: float
    energy_pj: float
    latency_ns: float

    @property
    def chip_um2(self) -> float:
        return self.array_um2 + self.periphery_um2 + self.block_um2 + self.interconnect_um2

    def to_json(self) -> dict[str, float | int | str]:
        return asdict(self) | {"chip_um2": self.chip_um2}


@dataclass(frozen=True)
class CostReport:
    """A row for each layer and one for each block; a block's row has the wires that it drives.

    `latency_ns` is that of the longest path through the network.
    """

    rows: tuple[Cost, ...]
    latency_ns: float

    @property
    def total(self) -> Cost:
        """The sum of all rows, but for the latency: parallel branches work at the same time."""
        names = [f.name for f in fields(Cost) if f.name not in ("name", "latency_ns")]
        sums = {name: sum(getattr(row, name) for row in self.rows) for name in names}
        return Cost("total", **sums, latency_ns=self.latency_ns)


def cost(
    netlist: Netlist,
    target: Target,
    uses: Mapping[str, float] | None = None,
    lengths_um: Mapping[str, float] | None = None,
    network: Network | None = None,
) -> CostReport:
    """Cost of a netlist. `uses`: how often each matrix is read in one inference (1 when not given: a
    convolution reads its matrix once per output position). `lengths_um`: wire length of each bus, from a
    placement. `network` says which layers wait for each other; without it they are taken to work in turn."""
    uses, lengths = uses or {}, lengths_um or {}
    layers: dict[str, list[Matrix]] = {}
    for matrix in netlist.matrices:
        layers.setdefault(matrix.layer, []).append(matrix)
    rows = [_layer(name, matrices, target, uses, lengths) for name, matrices in layers.items()]
    layer_ns = {row.name: row.latency_ns for row in rows}
    latency = sum(layer_ns.values()) if network is None else critical_path_ns(network, layer_ns)
    return CostReport((*rows, *_digital(netlist, target, lengths)), latency)


def _layer(
    name: str,
    matrices: Sequence[Matrix],
    target: Target,
    uses: Mapping[str, float],
    lengths: Mapping[str, float],
) -> Cost:
    """The matrices of a layer stand side by side: they work at the same time."""
    arrays = _array_sizes(matrices, target)
    return Cost(
        name=name,
        cells=sum(m.cells for m in matrices),
        tiles=sum(len(m.tiles) for m in matrices),
        wires=sum(m.wires for m in matrices),
        array_um2=sum(array_area_um2(r, c, target) for r, c in arrays.values()),
        periphery_um2=sum(array_periphery_um2(r, c, target) for r, c in arrays.values()),
        block_um2=0.0,
        interconnect_um2=interconnect_um2(sum(lengths.get(m.output_bus, 0.0) for m in matrices), target),
        energy_pj=sum(
            uses.get(m.name, 1) * matrix_energy_pj(m, target, lengths.get(m.input_bus, 0.0)) for m in matrices
        ),
        latency_ns=max(uses.get(m.name, 1) * matrix_latency_ns(m, target) for m in matrices),
    )


def _array_sizes(matrices: Sequence[Matrix], target: Target) -> dict[str, tuple[int, int]]:
    """Rows and columns built of every physical array."""
    sizes: dict[str, tuple[int, int]] = {}
    for tile in (tile for matrix in matrices for tile in matrix.tiles):
        rows, cols = sizes.get(tile.array, (0, 0))
        down, across = tile.corner
        sizes[tile.array] = max(rows, down + len(tile.inputs)), max(cols, across + len(tile.outputs))
    if target.crossbar.fixed:
        return dict.fromkeys(sizes, (target.crossbar.rows, target.crossbar.cols))
    return sizes


def _digital(netlist: Netlist, target: Target, lengths: Mapping[str, float]) -> Iterator[Cost]:
    """Blocks, with the wires they drive. Their energy and time are not modelled."""
    nets = Nets(netlist)
    for block in netlist.blocks:
        inputs, outputs = (sum(len(nets.live(b)) for b in side) for side in (block.inputs, block.outputs))
        length = sum(lengths.get(bus, 0.0) for bus in block.outputs)
        area, wires = block_area_um2(inputs, outputs, target), interconnect_um2(length, target)
        yield Cost(
            name=f"block {block.name}",
            cells=0,
            tiles=0,
            wires=0,
            array_um2=0.0,
            periphery_um2=0.0,
            block_um2=area,
            interconnect_um2=wires,
            energy_pj=0.0,
            latency_ns=0.0,
        )


# -- formulas ----------------------------------------------------------------------------------------------


def array_area_um2(rows: int, cols: int, target: Target) -> float:
    """rows x cols x devices a weight x area_f2 x F^2 (Group Scissor counts 4 F^2 a cell, DNN+NeuroSim 1.4 48 F^2 with a
    transistor)."""
    cell = target.cell
    return rows * cols * cell.devices_per_weight * cell.area_f2 * (cell.feature_nm * 1e-3) ** 2


def built_um2(rows: int, cols: int, target: Target) -> float:
    """Return the area of an array and its converters: of the rows and columns in use, or of a whole fixed array."""
    if target.crossbar.fixed:
        rows, cols = target.crossbar.rows, target.crossbar.cols
    return array_area_um2(rows, cols, target) + array_periphery_um2(rows, cols, target)


def interconnect_um2(length_um: float, target: Target) -> float:
    """Wire length x track pitch / layers: the area under the wires when every layer is full."""
    return length_um * target.routing.pitch_nm * 1e-3 / target.routing.layers


def pulses(target: Target) -> int:
    """Reads of an array for one input vector: its bits over the bits of a DAC (ISAAC feeds them bit by bit); 1 without
    DACs."""
    p = target.periphery
    return 1 if p is None else math.ceil(p.input_bits / p.dac_bits)


def matrix_energy_pj(matrix: Matrix, target: Target, bus_um: float = 0.0) -> float:
    """One use of a matrix: every pulse pays cells, lines, input wires and converters.

    Cells: V^2 G t with G the mean of on and off conductance, for every device. Lines and input wires: C V^2
    over their length (DNN+NeuroSim 1.4 counts both so). Converters: an energy a row, a column, a
    shift-and-add a column. The inputs are taken to be at full read voltage: an upper bound.
    """
    devices = target.device
    conductance = (devices.on_siemens + devices.off_siemens) / 2
    built = matrix.cells * target.cell.devices_per_weight
    cells = built * devices.read_v**2 * conductance * devices.read_ns * 1e3  # V^2 S ns = nJ; 1e3 pJ
    lines_um = 2 * matrix.cells * target.pitch_um  # a length of word and of bit line for every cell
    lines = (lines_um + bus_um) * target.wire.capacitance_ff_per_um * 1e-3 * devices.read_v**2
    return pulses(target) * (cells + lines + _converters_pj(matrix, target))


def _converters_pj(matrix: Matrix, target: Target) -> float:
    p = target.periphery
    if p is None:
        return 0.0
    rows = sum(len(tile.inputs) for tile in matrix.tiles)
    cols = sum(len(tile.outputs) for tile in matrix.tiles)
    return rows * p.dac_energy_pj + cols * (p.adc_energy_pj + p.shift_add_energy_pj)


def matrix_latency_ns(matrix: Matrix, target: Target) -> float:
    """One use of a matrix: a pulse is a read, then the conversions of the columns that share a converter, in
    turn. All tiles work at the same time."""
    p = target.periphery
    widest = max((len(tile.outputs) for tile in matrix.tiles), default=0)
    turns = 0 if p is None else min(widest, p.columns_per_adc)
    convert = turns / p.adc_rate_gsps if p is not None else 0.0
    return pulses(target) * (target.device.read_ns + convert) if matrix.tiles else 0.0


# -- a table -----------------------------------------------------------------------------------------------


def write_costs(reports: Mapping[str, CostReport], path: str | Path) -> None:
    """A CSV: a row for each layer of each report (before, after) and its total."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, (name, report) in enumerate(reports.items()):
            rows = [row.to_json() for row in (*report.rows, report.total)]
            if number == 0:
                writer.writerow(["network", *rows[0]])
            writer.writerows([name, *(_cell(value) for value in row.values())] for row in rows)


def _cell(value: float | int | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
