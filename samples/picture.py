"""Draw the README's picture: every matrix of a network as its grid of crossbar tiles, before and after.

    python samples/picture.py samples/digits.onnx digits.gscompile samples/digits.svg

Both sides are drawn to one scale, a row per input and a column per output; factors stand side by side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gscompile.charts import document, line, swatches, text
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.graph.network import Network
from gscompile.reporting.pictures import PictureFrame, matrix_picture
from gscompile.reporting.report import Figures

SCALE = 2.1  # CSS pixels a cell
GAP, BETWEEN = 7.0, 38.0  # pixels between two factors, between two layers
MARGIN, TOP, BOTTOM = 24.0, 82.0, 46.0

LEGEND = (("live", "live cells"), ("dead", "deleted row and column groups"), ("gone", "no tile built"))
STYLE = """
text { font: 13px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #62666d; }
.title { font-size: 16px; font-weight: 600; fill: #16181c; }
.live { fill: #2a78d6; } .dead { fill: #cfe1f7; } .gone { fill: #eeefed; }
.seam { stroke: #fcfcfa; fill: none; vector-effect: non-scaling-stroke; } .tile { fill: none; }
.paper { fill: #fcfcfa; } .border { stroke: #e3e4e2; }
@media (prefers-color-scheme: dark) {
  text { fill: #9da1a8; } .title { fill: #ecedee; }
  .live { fill: #4a94ea; } .dead { fill: #213853; } .gone { fill: #25272b; }
  .seam { stroke: #131416; } .paper { fill: #131416; } .border { stroke: #2e3034; }
}
"""


@dataclass(frozen=True)
class Panel:
    """One side of the picture: a netlist, and its matrices by layer of the original network."""

    title: str
    netlist: Netlist
    layers: dict[str, list[Matrix]]

    @property
    def figures(self) -> str:
        figures = Figures.of(self.netlist.matrices)
        return f"{figures.cells:,} cells, {figures.tiles:,} tiles, {figures.wires:,} wires"

    @property
    def width(self) -> float:
        return sum(map(span, self.layers.values())) + BETWEEN * (len(self.layers) - 1)

    @property
    def height(self) -> float:
        return SCALE * max(m.inputs for m in self.netlist.matrices)

    def draw(self, x: float) -> Iterator[str]:
        """The panel with its left edge at `x`."""
        yield text(x, 34, self.title, kind="title")
        yield text(x, 55, self.figures)
        for name, matrices in self.layers.items():
            for matrix in matrices:
                yield placed(matrix_picture(self.netlist, matrix, to_scale(matrix)), x, TOP)
                x += SCALE * matrix.outputs + GAP
            deepest = max(m.inputs for m in matrices)
            left = x - GAP - span(matrices)
            yield text(left, TOP + SCALE * deepest + 20, caption(name, matrices))
            x += BETWEEN - GAP


def caption(name: str, matrices: list[Matrix]) -> str:
    return name if len(matrices) == 1 else f"{name} = U V, rank {matrices[0].outputs}"


def span(matrices: list[Matrix]) -> float:
    """Pixels that the factors of a layer take side by side."""
    return SCALE * sum(m.outputs for m in matrices) + GAP * (len(matrices) - 1)


def to_scale(matrix: Matrix) -> PictureFrame:
    return PictureFrame(SCALE * matrix.outputs, SCALE * matrix.inputs, 1.0, SCALE)


def placed(svg: str, x: float, y: float) -> str:
    return svg.replace("<svg ", f'<svg x="{x:.1f}" y="{y:.1f}" ', 1)


def before(model: Path, after: Netlist) -> Panel:
    netlist = map_network(Network.load(model), MapOptions(after.crossbar, after.tiling), model.stem)
    return Panel("Before", netlist, {m.layer: [m] for m in netlist.matrices})


def compiled(folder: Path) -> Panel:
    netlist = read_netlist(folder / "netlist.json")
    report = json.loads((folder / "report.json").read_text("utf-8"))
    matrices = {m.name: m for m in netlist.matrices}
    layers: dict[str, list[Matrix]] = {row["name"]: [] for row in report["layers"]}
    for row in report["matrices"]:
        layers[row["origin"]].append(matrices[row["name"]])
    return Panel("After", netlist, {name: found for name, found in layers.items() if found})


def picture(left: Panel, right: Panel) -> str:
    middle = MARGIN + left.width + 1.2 * BETWEEN
    width = middle + 1.2 * BETWEEN + max(right.width, 300) + MARGIN
    deepest = TOP + max(left.height, right.height) + 30
    height = deepest + BOTTOM
    body = [
        line(middle, 22, middle, deepest, "border"),
        *left.draw(MARGIN),
        *right.draw(middle + 1.2 * BETWEEN),
        *swatches(LEGEND, MARGIN, deepest + 24),
    ]
    return document(width, height, body, STYLE)


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: python samples/picture.py MODEL FOLDER PICTURE.svg")
    model, folder, out = map(Path, sys.argv[1:])
    after = compiled(folder)
    out.write_text(picture(before(model, after.netlist), after), "utf-8")


if __name__ == "__main__":
    main()
