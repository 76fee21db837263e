"""Several processes train like one, and when one of them is lost the run ends with one line and can go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gscompile.errors import UsageError
from gscompile.judging.verify import verify_again
from gscompile.options import Options
from gscompile.progress import Progress
from gscompile.reporting.report_file import read_report
from gscompile.training.checkpoint import is_begun
from gscompile.training.parallel import common_exit_code, is_first, is_launched, worker_environment, world_size
from gscompile.training.run_context import open_run
from gscompile.training.world import LostError, World
from tests.training.test_batch_norm_reinsertion import LABELS, X, deep

SAMPLES = Path(__file__).parents[2] / "samples"
NETWORK = str(SAMPLES / "digits.onnx")
DATA = ["--data", str(SAMPLES / "digits_train.npz"), "--eval", str(SAMPLES / "digits_val.npz")]
SHORT = ["--effort", "quick", "--epochs", "0.2", "--max-drop", "1", "--threads", "1", "--nproc", "2",
         "--pass", "delete-groups:step=0.5,epochs=0.5,recovery_epochs=1,min_step=0.5"]  # fmt: skip

# One stretch that shrinks and one that does not, or one that is normalised; the first process writes the weights.
TRAINING = """
import sys
import numpy as np
from gscompile.training.run_context import RunContext
from gscompile.data.dataset import load_data
from gscompile.data.inputs import input_specs
from gscompile.graph.network import Network
from gscompile.training.parallel import joined
from gscompile.training.run_spec import Shrink
from gscompile.training.training_options import TrainingOptions
from gscompile.training.make_trainer import make_trainer

out, model, *data = sys.argv[1:]
network = Network.load(model)
train, val = (load_data(part, input_specs(network.model)) for part in data)
with joined() as world:
    # parts of different sizes, and sums that are the same to a few digits
    augment = ("crop",) if "digits" in model else ()
    settings = TrainingOptions(threads=1, batch_size=63, precision="float32", augment=augment)
    trainer = make_trainer(network, train, val, settings, run_context=RunContext(world))
    if world.rank:
        assert trainer.run_worker() == "the end"
    else:
        gone = {layer.name: np.zeros(layer.matrices.shape, bool) for layer in network.layers[:2]}
        for mask in gone.values():
            mask[:, ::2] = True
        if "digits" in model:
            tuned = trainer.tune(trainer.tune(network, 0.1, Shrink(gone)), 0.1, anneal=True)
        else:
            tuned = trainer.tune(network, 0.2, normalize=True)
        weights = {layer.name: layer.matrices for layer in tuned.layers}
        np.savez(out, score=trainer.score(tuned), **weights)
        world.share("the end")
"""


def trained(folder: Path, processes: int, network: str, *data: str) -> dict[str, np.ndarray]:
    """The weights that TRAINING ends with, and the score."""
    shared = worker_environment(processes, folder / "rendezvous", -1)
    out = folder / f"{processes}.npz"
    command = [sys.executable, "-c", TRAINING, str(out), network, *data]
    runs = [subprocess.Popen(command, env={**shared, "RANK": str(rank)}) for rank in range(processes)]
    assert [run.wait(300) for run in runs] == [0] * processes
    with np.load(out) as file:
        return dict(file)


def digits(folder: Path) -> tuple[str, ...]:  # noqa: ARG001
    return NETWORK, DATA[1], DATA[3]


def normalized(folder: Path) -> tuple[str, ...]:
    """Deep enough to be normalised over batches while it trains."""
    deep(8).save(folder / "deep.onnx")
    np.savez(folder / "data.npz", a0=X, labels=LABELS)
    return str(folder / "deep.onnx"), str(folder / "data.npz"), str(folder / "data.npz")


@pytest.mark.parametrize("files", [digits, normalized])
def test_two_processes_train_like_one(files: Callable[[Path], tuple[str, ...]], tmp_path: Path) -> None:
    one, two = (trained(tmp_path, processes, *files(tmp_path)) for processes in (1, 2))
    assert one["score"] == two["score"]
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, rtol=0, atol=1e-3, err_msg=name)
        np.testing.assert_array_equal(two[name] == 0, weight == 0, err_msg=name)


def children(parent: int) -> list[int]:
    """Processes that a process started, in order."""
    path = Path(f"/proc/{parent}/task/{parent}/children")
    if not path.exists():
        pytest.skip("this system does not tell a process's children")
    return sorted(int(child) for child in path.read_text().split())


def until_begun(folder: Path, run: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while run.poll() is None and time.monotonic() < end and not is_begun(folder / "digits.gscompile"):
        time.sleep(0.01)


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gscompile", NETWORK, *DATA, *SHORT]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_lost_process_ends_the_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path)
    until_begun(tmp_path, run)
    both = children(run.pid)
    os.kill(both[1], signal.SIGKILL)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 75, said
    line = "gscompile: process 2 of 2 was ended by SIGKILL; the same command goes on from where it was"
    assert [text for text in said.splitlines() if text.startswith("gscompile")] == [line]
    assert [path.name for path in tmp_path.iterdir()] == [".digits.gscompile.resume"]
    assert not any(map(is_alive, both))

    run = start(tmp_path)
    _, said = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert "going on with .digits.gscompile.resume" in said
    assert [path.name for path in tmp_path.iterdir()] == ["digits.gscompile"]
    out = tmp_path / "digits.gscompile"
    assert verify_again(out)
    (accuracy,) = read_report(out).accuracy
    assert accuracy.after >= accuracy.before - 1


# -- the parts --------------------------------------------------------------------------------------------------


def test_one_process_alone_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "GSCOMPILE_LIFELINE"):
        monkeypatch.delenv(name, raising=False)
    assert (world_size(), is_first(), is_launched()) == (1, True, False)
    loss = torch.tensor(2.0)
    assert World().average(loss, [], 1.0, False) == (loss, False)
    assert World().share("said") == "said"


def test_torchrun_tells_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert (world_size(), is_first()) == (4, False)


@pytest.mark.parametrize(("count", "size"), [(128, 2), (127, 2), (5, 4), (2, 3), (0, 2)])
def test_parts_cover_a_batch_evenly(count: int, size: int) -> None:
    world, taken = World(), []
    world.size = size
    for world.rank in range(size):
        taken.append(range(count)[world.part(count)])
    assert [number for part in taken for number in part] == list(range(count))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ([75, -9], "process 2 of 2 was ended by SIGKILL"),
        ([None, -15], "process 2 of 2 was ended by SIGTERM"),
        ([-9, 75], "process 1 of 2 was ended by SIGKILL"),
        ([75, 1], "process 2 of 2 ended with exit code 1"),
        ([75, 75], "process 1 of 2 ended with exit code 75"),
    ],
)
def test_the_process_that_was_lost_first_is_named(codes: list[int | None], line: str) -> None:
    with pytest.raises(LostError, match=f"{line}; the same command goes on"):
        common_exit_code(codes)


@pytest.mark.parametrize(("codes", "code"), [([0, 0], 0), ([2, 2], 2), ([3, 75], 3), ([0, -9], 0)])
def test_the_first_process_speaks_for_all(codes: list[int | None], code: int) -> None:
    assert common_exit_code(codes) == code


def test_more_processes_from_python_are_a_matter_for_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(UsageError, match="run the script by torchrun"),
        open_run(tmp_path / "out", Options(nproc=2), False, True, Progress()),
    ):
        pass
