"""How often `--max-error` holds on inputs that did not choose the result: draws of our own kind, and plausible inputs.

Run by name: `python -m tests.benchmarks.bench_promises [-k WORDS] [--bound B] [--keep FOLDER]`. Each network of
`shared/models` whose name has one of the words is compiled without data, one after another, and compared with the
original on `OWN` fresh synthetic samples and `OTHERS` of `plausible.py`. An output's error is relative to the range of
the original's output on the same samples. Needs espeak-ng, Pillow and an hour of one core for all networks.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.data.synthetic import Filler, accepted_shapes
from gscompile.graph.network import Network
from gscompile.judging.samples import Draw, Sampler, Samples
from gscompile.scoring.runner import Runner
from tests.benchmarks.plausible import PLAUSIBLE, SHARED
from tests.checkout import environment

OWN, OTHERS = 200, 48  # samples
FRESH = 77  # seed of draws that no compile sees
BOUNDS = 0.05, 0.2
WITHIN, MOST_OWN, MOST_OTHERS = 0.9, 1.5, 3.0  # share of draws within the bound, and times it that none may pass
KEPT = 0.75  # share of networks whose plausible inputs are all within the bound


def own_samples(path: Path, run: Runner) -> Samples:
    """Return fresh synthetic samples of a network, drawn as a compile draws its own but from other seeds."""
    model = Network.load(path).model
    shapes = next(accepted_shapes(model, {}, 4, FRESH))
    return Samples(Sampler(run, Filler.of(model), (shapes,), FRESH).draws(OWN))


def other_samples(name: str, run: Runner) -> Samples:
    """Return plausible samples of a network."""
    return Samples([Draw(inputs, run(inputs), "plausible") for inputs in PLAUSIBLE[name](OTHERS)])


def compiled(path: Path, bound: float, folder: Path) -> Path:
    """Compile a network without data and return its folder; one that is there already is taken."""
    out = folder / f"{path.stem}-{bound:g}"
    if not out.exists():
        words = ["compile", str(path), "-o", str(out), "--max-error", f"{bound:g}", "--quiet"]
        subprocess.run([sys.executable, "-m", "gscompile", *words], env=environment(OMP_NUM_THREADS="1"), check=True)
    return out


def row(name: str, bound: float, out: Path, own: Samples, others: Samples) -> dict[str, Any]:
    """Return what a table says of one compiled network."""
    report, run = json.loads((out / "report.json").read_text("utf-8")), Runner(out / "model.onnx", optimise=False)
    cells = report["after"]["cells"] / report["before"]["cells"]
    fresh, plausible = own.errors(run) / bound, others.errors(run) / bound
    return {
        "network": name,
        "bound": bound,
        "cells %": round(100 * cells, 1),
        **_columns("own", fresh),
        **_columns("plausible", plausible),
    }


def _columns(kind: str, excess: NDArray[np.float64]) -> dict[str, float]:
    return {f"{kind} within %": round(100 * float((excess <= 1).mean()), 1), f"{kind} worst": round(excess.max(), 2)}


def rows(words: list[str], bounds: list[float], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each network and bound."""
    for name in PLAUSIBLE:
        path = SHARED / "models" / f"{name}.onnx"
        if any(word in name for word in words):
            run = Runner(path, optimise=False)
            own, others = own_samples(path, run), other_samples(name, run)
            yield from (row(name, bound, compiled(path, bound, folder), own, others) for bound in bounds)


def broken(found: list[dict[str, Any]]) -> list[str]:
    """Return a line for each promise that is not kept."""
    lines = [
        f"{each['network']} at {each['bound']:g}: beyond the bound on {words}"
        for each in found
        for words, is_beyond in (
            ("more than a tenth of fresh draws", each["own within %"] < 100 * WITHIN),
            (f"a fresh draw, by {MOST_OWN:g} times or more", each["own worst"] > MOST_OWN),
            (f"a plausible input, by {MOST_OTHERS:g} times or more", each["plausible worst"] > MOST_OTHERS),
        )
        if is_beyond
    ]
    kept = sum(each["plausible worst"] <= 1 for each in found)
    needed = math.ceil(KEPT * len(found))
    return [*lines, *([f"kept on plausible inputs {kept} times of {len(found)}"] if kept < needed else [])]


def main() -> None:
    """Exits with 1 when a promise is not kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", dest="words", nargs="*", default=[""])
    parser.add_argument("--bound", dest="bounds", type=float, nargs="*", default=[*BOUNDS])
    parser.add_argument("--keep", type=Path, help="folder of compiled networks, which are taken where they are there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = []
        for each in rows(given.words, given.bounds, given.keep or Path(temporary)):
            print(each, flush=True)
            found.append(each)
    raise SystemExit("\n".join(broken(found)) or None)


if __name__ == "__main__":
    main()
