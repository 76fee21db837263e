"""Without data nothing is trained: every command runs where torch is not installed, and says so where it needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.checkout import environment
from tests.small_networks import feeds_for, model

NETWORKS = {
    "perceptron": """g (float[n,24] x) => (float[n,10] y) <float[24,20] a, float[20] b, float[20,10] c>
        { h = Gemm (x, a, b)  i = Relu (h)  y = MatMul (i, c) }""",
    "folded convolution": """g (float[n,2,8,8] x) => (float[n,4,6,6] y)
        <float[4,2,3,3] a, float[4] s, float[4] t, float[4] m, float[4] v>
        { h = Conv (x, a)  i = BatchNormalization (h, s, t, m, v)  y = Relu (i) }""",
    "LSTM": """g (float[7,n,6] x) => (float[7,1,n,5] y) <float[1,20,6] a, float[1,20,5] b>
        { y, h, c = LSTM <hidden_size=5> (x, a, b) }""",
    "attention": """g (float[n,7,8] x) => (float[n,7,8] y) <float[8,8] a, float[8,8] b, float[8,8] c>
        { q = MatMul (x, a)  k = MatMul (x, b)  v = MatMul (x, c)  t = Transpose <perm=[0,2,1]> (k)
          s = MatMul (q, t)  p = Softmax <axis=-1> (s)  y = MatMul (p, v) }""",
}
COMMANDS = """
m.onnx -o out --crossbar 8x8 --max-error 0.1 --target rram_45nm --emit verilog,dot
inspect m.onnx
verify out
simulate out --data d.npz --seeds 1
place out --engine shelves
"""
WITHOUT = """
import sys
sys.modules["torch"] = None  # importing it raises ModuleNotFoundError
from click.testing import CliRunner
from gscompile.cli import main
for line in sys.stdin.read().split("\\n"):
    done = CliRunner().invoke(main, line.split()) if line else None
    if done and done.exit_code:
        sys.exit(f"{line}: {done.exit_code}: {done.output}")
"""


def run_without_torch(commands: str, folder: Path) -> str:
    """Run lines of arguments one after the other; return what the first that fails says, empty where none does."""
    words = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(
        words, input=commands, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    return done.stderr.strip()


def write(text: str, folder: Path) -> None:
    proto = model(text, v=np.ones(4))
    onnx.save(proto, folder / "m.onnx")
    np.savez(folder / "d.npz", **feeds_for(proto, open_size=16))  # type: ignore[arg-type]


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in NETWORKS if kind != "attention"]


@pytest.mark.parametrize("kind", ["attention", *SLOW])
def test_every_command_without_training_runs(kind: str, tmp_path: Path) -> None:
    write(NETWORKS[kind], tmp_path)
    assert run_without_torch(COMMANDS, tmp_path) == ""
    assert (tmp_path / "out" / "place" / "place.json").is_file()


def test_training_says_what_is_missing(tmp_path: Path) -> None:
    command = "m.onnx -q -o out --data d.npz"
    write(NETWORKS["perceptron"], tmp_path)
    says = "gscompile: torch is not installed; expected torch 2.6 or later for --data and --nproc"
    assert run_without_torch(command, tmp_path) == f"{command}: 2: {says}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.npz", "m.onnx"]
