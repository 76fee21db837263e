"""Compare what two checkouts write for the same commands: SHA-256 of `model.onnx`, `tiles.npz` and `netlist.json`.

A change of structure must leave every byte as it was. `python -m tests.benchmarks.same_outputs RECORD.json` compiles a
list of networks and writes the digests; where RECORD.json exists already, as from the checkout before, it compares and
exits with 1 at a difference. Compiling with data is a search of a few minutes: `--search` adds it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.checkout import environment

ROOT = Path(__file__).parents[2]
MODELS = ROOT.parent / "shared" / "models"  # networks of others, where they are
FILES = ("model.onnx", "tiles.npz", "netlist.json")
WITHOUT_DATA = ("samples/digits.onnx", "samples/lenet.onnx", "samples/convnet.onnx")
OTHERS = ("mlperf_tiny_ad_autoencoder", "mnist_lenet5", "magika_standard_v3_3", "mlperf_tiny_kws_dscnn")
DIGITS = ("samples/digits.onnx", "--data", "samples/digits_train.npz", "--eval", "samples/digits_val.npz")
SEARCHES = (
    (*DIGITS, "--max-drop", "0.5", "--effort", "quick"),
    (*DIGITS, "--max-drop", "1", "--finetune", "none"),
)


def commands(search: bool) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each compilation, relative to the checkout."""
    others = [str(path) for path in (MODELS / f"{name}.onnx" for name in OTHERS) if path.is_file()]
    yield from ((model, "--max-error", "0.2") for model in (*WITHOUT_DATA, *others))
    if search:
        yield from SEARCHES


def digests(arguments: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of each file that the command writes."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        command = [
            sys.executable,
            "-m",
            "gscompile",
            *arguments,
            "--crossbar",
            "16x16",
            "--threads",
            "1",
            "-o",
            str(out),
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment(OMP_NUM_THREADS="1"), capture_output=True, text=True)
        if done.returncode:
            return {"exit": f"{done.returncode}: {done.stderr.strip()[-200:]}"}
        return {file: hashlib.sha256((out / file).read_bytes()).hexdigest() for file in FILES}


def main(words: list[str]) -> None:
    """Write the record, or compare with it; exit with 1 where a file differs."""
    path, before = Path(words[0]), {}
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
    found = {}
    for arguments in commands("--search" in words):
        name = " ".join(Path(word).name for word in arguments)
        found[name] = digests(arguments)
        same = "written" if name not in before else "the same" if found[name] == before[name] else "DIFFERS"
        print(f"{same}: {name}", flush=True)
    if not before:
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    raise SystemExit(any(name in before and before[name] != each for name, each in found.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
