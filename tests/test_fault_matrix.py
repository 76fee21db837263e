"""Every command in surroundings that fail: no internal error, no traceback, whatever the streams and paths are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.small_networks import model

TEXT = "g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }"
COMMANDS = {
    "compile": "{p} m.onnx -o new",
    "inspect": "{p} inspect m.onnx",
    "verify": "{p} verify out",
    "simulate": "{p} simulate out --data d.npz --seeds 1",
    "place": "{p} place out --engine shelves",
    "frontier": "{p} frontier m.onnx -o curve --data d.npz --effort quick --epochs 0.1 --points 3",
    "help": "{p} --help",
    "version": "{p} --version",
}
# what the shell does to a command, and the codes that are right
FAULTS = {
    "closed stdout": ("{c} >&-", {0, 2}),
    "closed stderr": ("{c} 2>&-", {0, 2}),
    "full stdout": ("{c} >/dev/full", {0, 2}),
    "full stderr": ("{c} 2>/dev/full", {0, 2}),
    "reader gone": ("{c} | true; exit ${{PIPESTATUS[0]}}", {0, 2}),
    "no home": ("env -u HOME {c}", {0, 2}),
    "no room in a file": ("ulimit -f 0; {c}", {0, 2}),
    "working folder gone": ("mkdir gone; cd gone; rmdir ../gone; {c}", {0, 2}),
    "name in Latin-1": ("mkdir $'g\\xe4be'; mv m.onnx d.npz out $'g\\xe4be'; cd $'g\\xe4be'; {c}", {0, 2}),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="faults as a shell of Linux makes them")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_an_internal_error(command: str, fault: str, tmp_path: Path) -> None:
    onnx.save(model(TEXT), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=np.ones((40, 4), np.float32))
    program = f"'{sys.executable}' -m gscompile"
    shell(f"{program} m.onnx -q -o out", tmp_path)
    around, right = FAULTS[fault]
    done = shell(around.format(c=COMMANDS[command].format(p=program)), tmp_path)
    assert done.returncode in right, (done.returncode, done.stderr)
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=surroundings, capture_output=True, check=False)
