"""Networks compressed with a few hundred unlabelled samples, and their accuracy on test data that chose nothing.

    python tests/benchmarks/bench_few_samples.py MODELS CIFAR10 [NETWORK...]

MODELS has `cifar10_resnet20.onnx` and `mlperf_tiny_resnet8.onnx`; CIFAR10 is the folder `cifar-10-batches-bin`. Each row
of `few_samples.json` is a command, a draw of training images, the size of the written file, its accuracy on 10,000 test
images in onnxruntime, and the CPU seconds of one core. A row replaces an earlier one of the same command and draw; the
table on the page of results is written again.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from gscompile.scoring.runner import Runner
from tests.checkout import environment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS, PAGE = HERE / "few_samples.json", ROOT / "docs/results/index.md"
BEGIN = "<!-- few samples: made by tests/benchmarks/bench_few_samples.py -->"
END = "<!-- end of few samples -->"
DRAWS = 3  # of training images
BATCH = 500  # test images that are run at a time
Row = Mapping[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """What is asked of a network: the samples, the options, and the points of test accuracy that may be lost."""

    network: str
    samples: int
    options: str
    points: float


NONE = "--finetune none --minimize cells --max-cells"
CASES = (
    Case("cifar10_resnet20", 256, f"{NONE} 60%", 0.7),
    Case("cifar10_resnet20", 256, f"{NONE} 50%", 1.2),
    Case("cifar10_resnet20", 256, f"{NONE} 40%", 4.0),
    Case("cifar10_resnet20", 1000, "--finetune blocks --minimize cells --max-cells 50%", 0.5),
    Case("cifar10_resnet20", 1000, "--finetune blocks --minimize cells --max-cells 40%", 1.2),
    Case("mlperf_tiny_resnet8", 256, f"{NONE} 75%", 1.0),
)
TINY = "mlperf_tiny_resnet8"
PIXELS = 3 * 32 * 32


def records(folder: Path, pattern: str) -> Array:
    """Return the records [images, 1 + pixels] of the files of CIFAR-10's binary version."""
    return np.concatenate(
        [np.fromfile(path, np.uint8).reshape(-1, 1 + PIXELS) for path in sorted(folder.glob(pattern))]
    )


def inputs(network: str, found: Array) -> Array:
    """Return images as a network takes them."""
    pixels = found[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)
    if network == TINY:
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    mean, deviation = (np.array(v, np.float32).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return np.asarray((pixels / 255 - mean) / deviation, np.float32)


def accuracy(model: Path, test: Array, network: str) -> float:
    """Return the percentage of test images that a file tells right."""
    runner = Runner(model, threads=1)
    right = 0
    for start in range(0, len(test), BATCH):
        part = test[start : start + BATCH]
        (logits,) = runner({input_name(network): inputs(network, part)}).values()
        right += int((logits.argmax(1) == part[:, 0]).sum())
    return 100 * right / len(test)


def input_name(network: str) -> str:
    return "input_1" if network == TINY else "x"


def measured(case: Case, draw: int, models: Path, cifar10: Path, before: Mapping[str, float]) -> Row:
    """Compile a network with a draw of training images, and measure the written file."""
    train, test = records(cifar10, "data_batch_*.bin"), records(cifar10, "test_batch.bin")
    rows = np.random.default_rng(draw).choice(len(train), case.samples, replace=False)
    model = models / f"{case.network}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        samples, out = Path(folder, "samples.npz"), Path(folder, "out")
        arrays: dict[str, Any] = {input_name(case.network): inputs(case.network, train[rows])}
        np.savez(samples, **arrays)
        words = [sys.executable, "-m", "gscompile", str(model), "--crossbar", "64x64", "--data", str(samples)]
        words += [*case.options.split(), "--threads", "1", "-o", str(out)]
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(words, check=True, env=environment(OMP_NUM_THREADS="1"), stdout=subprocess.DEVNULL)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
        report = json.loads((out / "report.json").read_text("utf-8"))
        after = accuracy(out / "model.onnx", test, case.network)
    sizes = {when: {name: report[when][name] for name in ("cells", "tiles", "wires")} for when in ("before", "after")}
    return {
        "command": f"gscompile {case.network}.onnx --crossbar 64x64 --data samples.npz {case.options} --threads 1",
        "network": case.network,
        "samples": case.samples,
        "draw": draw,
        "asked": case.points,
        **sizes,
        "accuracy": {"before": before[case.network], "after": after},
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "version": report["versions"]["gscompile"],
    }


def added(known: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Return rows by command, number of samples and draw, in order; a new one takes the place of an old one."""
    rows = {(row["command"], row["samples"], row["draw"]): row for row in (*known, *new)}
    return [rows[key] for key in sorted(rows)]


def table(rows: Sequence[Row]) -> str:
    """Return a line for each command and number of samples: means over the draws, and the range."""
    lines = [
        "| network | samples | options | cells | tiles | wires | test accuracy lost | asked | draws | CPU |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["command"], row["samples"]) for row in rows):
        lines.append(_line([row for row in rows if (row["command"], row["samples"]) == key]))
    return "\n".join(lines)


def _line(rows: Sequence[Row]) -> str:
    first = rows[0]
    shares = (100 * fmean(r["after"][n] / r["before"][n] for r in rows) for n in ("cells", "tiles", "wires"))
    cells, tiles, wires = (f"{share:.1f} %" for share in shares)
    lost = [row["accuracy"]["before"] - row["accuracy"]["after"] for row in rows]
    options = first["command"].partition("samples.npz ")[2].removesuffix(" --threads 1")
    return (
        f"| {first['network']} ({first['accuracy']['before']:.2f} %) | {first['samples']:,} | `{options}` | {cells} "
        f"| {tiles} | {wires} | {fmean(lost):.2f} ({min(lost):.2f} to {max(lost):.2f}) | {first['asked']:g} "
        f"| {len(rows)} | {fmean(row['seconds'] for row in rows):.0f} s |"
    )


def shown(page: str, rows: Sequence[Row]) -> str:
    """Return the page with the table between its marks. Raises ValueError where they are missing."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no {BEGIN} with {END}")
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}"


def read() -> list[Row]:
    """Return the rows that are kept."""
    return list(json.loads(RESULTS.read_text("utf-8"))) if RESULTS.is_file() else []


def keep(rows: Sequence[Row]) -> None:
    """Write rows and the table."""
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    PAGE.write_text(shown(PAGE.read_text("utf-8"), rows), "utf-8")


def main(words: Sequence[str]) -> None:
    if len(words) < 2:
        raise SystemExit("usage: bench_few_samples.py MODELS CIFAR10 [NETWORK or text of the options...]")
    models, cifar10, *wanted = words
    cases = [case for case in CASES if not wanted or all(w in f"{case.network} {case.options}" for w in wanted)]
    test = records(Path(cifar10), "test_batch.bin")
    networks = {case.network for case in cases}
    before = {network: accuracy(Path(models, f"{network}.onnx"), test, network) for network in networks}
    for draw in range(DRAWS):
        for case in cases:
            row = measured(case, draw, Path(models), Path(cifar10), before)
            keep(added(read(), [row]))
            print(_line([row]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
