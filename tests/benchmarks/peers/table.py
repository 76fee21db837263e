"""Write docs/results/peers.md from results.json: `python -m tests.benchmarks.peers.table`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PAGE = ROOT / "docs/results/peers.md"
Row = Mapping[str, Any]
NETWORKS = {"lenet": "LeNet, MNIST", "convnet": "ConvNet, CIFAR-10", "resnet20": "ResNet-20, CIFAR-10"}
HEADS = (
    "peer", "strength", "epochs", "test accuracy", "held out", "cells", "of the original", "tiles", "wires", "processor s",
    "peak MB",
)  # fmt: skip
SAID = """\
# Peers side by side

Other tools on the same networks, data and epochs of fine-tuning, each by a script of its own in an environment of its
own: `tests/benchmarks/peers`, whose README says how to make them. This page is written by
`python -m tests.benchmarks.peers.table` from what the scripts measured.

- **Accuracy** is that of onnxruntime on the ONNX file a peer's script wrote; decisions, where there were any, looked at
  the held-out images only (the last 5,000 training images).
- **Cells, tiles and wires** are counted in that file by `count.py`, which shares no code with gscompile: 64x64, full
  tiling, matrices cut as they lie.
- **Epochs** are all the training there was. It is the same for every peer: AdamW, batches of 128, a cosine from 0.001
  (LeNet) or 0.0003 down to nothing, cross entropy. Seconds are of one core, memory is the process's peak with torch,
  the data and the export to ONNX in it.
- **Strength** is the one knob a script has, set by hand and not searched for; none was tuned for long. A row shows what
  a tool does at that setting, not the best it can do.
"""
NOTES = {
    "aimet_svd": "AIMET's weight SVD, every layer but the last: the part of its weights that two factors have. It factors "
    "channels, so a layer of one input channel stays as it is.",
    "gscompile_search": "gscompile: the points of held-out accuracy that may go; its search ends when it has taken the steps of so many epochs.",
    "onnxsim_pruning": "onnxsim's structured pruning: the part of the channels between two layers that go, at once.",
    "torch_pruning_channels": "Torch-Pruning, channels of least norm over all layers: the part that goes, at once.",
    "torch_pruning_lasso": "Torch-Pruning's GroupNormPruner: half of the epochs with a group lasso, then that part of the "
    "channels goes.",
    "torchao_pat": "torchao's PAT, proximal group lasso on the outputs of every layer but the last: its lambda; two "
    "thirds of the epochs shrink, the rest heal. What is deleted is zero in the file.",
}


def page(rows: Sequence[Row]) -> str:
    """The page of these rows."""
    tables = [_table(name, [row for row in rows if row["network"] == name]) for name in NETWORKS]
    shown = {row["peer"] for row in rows}
    notes = "\n".join(f"- `{peer}`: {text}" for peer, text in NOTES.items() if peer in shown)
    versions = ", ".join(sorted({row["version"] for row in rows}))
    return "\n".join([SAID, *filter(None, tables), f"{notes}\n", f"Versions: {versions}.\n"])


def _table(name: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [HEADS, ["---"] * len(HEADS), *_lines(rows)]
    return "\n".join([f"## {NETWORKS[name]}\n", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _lines(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    first = rows[0]["before"]
    counts = [f"{first[n]:,}" for n in ("tiles", "wires")]
    accuracies = [f"{first[data]:.2f} %" for data in ("test", "val")]
    yield ["original", "", "", *accuracies, f"{first['cells']:,}", "", *counts, "", ""]
    for row in sorted(rows, key=lambda row: (row["peer"], row["strength"])):
        after = row["after"]
        yield [
            f"`{row['peer']}`",
            f"{row['strength']:g}",
            f"{row['epochs']:g}",
            f"{after['test']:.2f} %",
            f"{after['val']:.2f} %",
            f"{after['cells']:,}",
            f"{100 * after['cells'] / row['before']['cells']:.2f} %",
            f"{after['tiles']:,}",
            f"{after['wires']:,}",
            f"{row['processor s']:,.0f}",
            f"{row['peak MB']:,}",
        ]


if __name__ == "__main__":
    measured = json.loads((HERE / "results.json").read_text("utf-8"))
    PAGE.write_text(page(measured), "utf-8")
