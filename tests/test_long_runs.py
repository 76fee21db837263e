"""Compile after compile in one process takes no more memory, and compiles in several threads do not meet."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gscompile
from gscompile.judging.files_check import sha256
from tests.benchmarks.bench_long_run import WARM, growth
from tests.small_networks import model

CHAIN = "g (float[n,{n}] x) => (float[n,{m}] y) <float[{n},{n}] a, float[{n},{m}] b> {{ h = MatMul (x, a)  i = Relu (h)  y = MatMul (i, b) }}"
OPTIONS: tuple[dict[str, Any], ...] = (
    {"crossbar": "8x8", "max_output_error": 0.2},
    {"crossbar": "16x4", "tiling": "equal", "passes": ("drop-dead-units",)},
    {"crossbar": "5x9", "pack": True, "emit": ("verilog",)},
    {"crossbar": "64x64", "fold": False, "max_output_error": 0.5, "seed": 3},
)
FILES = ("model.onnx", "netlist.json", "tiles.npz")


def compiled(number: int, folder: Path) -> dict[str, str]:
    """The digests of what one of four different commands writes."""
    n, m = 12 + 7 * number, 9 + 2 * number
    rng = np.random.default_rng(number)
    a = rng.standard_normal((n, 3)) @ rng.standard_normal((3, n))
    out = folder / str(number)
    gscompile.compile(model(CHAIN.format(n=n, m=m), a=a), out=out, **OPTIONS[number])
    return {name: sha256(out / name) for name in FILES}


def digits_for(folder: Path, seed: int) -> dict[str, str]:
    """The digests of a short training."""
    rng = np.random.default_rng(seed)
    data = {"x": rng.standard_normal((800, 12)).astype(np.float32)}
    out = folder / f"trained{seed}"
    gscompile.compile(
        model(CHAIN.format(n=12, m=9)), out=out, data=data, crossbar="4x4", max_drop=30.0, effort="quick", epochs_per_round=0.2,
        batch_size=32, seed=seed, threads=1, place=False,
    )  # fmt: skip
    return {name: sha256(out / name) for name in FILES}


def test_four_threads_write_what_one_does(tmp_path: Path) -> None:
    work: list[Callable[[Path], dict[str, str]]] = [lambda f, i=i: compiled(i, f) for i in range(4)]  # type: ignore[misc]
    for name in ("serial", "threads"):
        (tmp_path / name).mkdir()
    serial = [act(tmp_path / "serial") for act in work]
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda act: act(tmp_path / "threads"), work))
    assert threads == serial
    assert len({str(found) for found in serial}) == 4


def test_two_threads_that_train_do_what_one_does(tmp_path: Path) -> None:
    for name in ("serial", "threads"):
        (tmp_path / name).mkdir()
    serial = [digits_for(tmp_path / "serial", seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        threads = list(pool.map(lambda seed: digits_for(tmp_path / "threads", seed), (1, 2)))
    assert threads == serial
    assert serial[0] != serial[1]


@pytest.mark.slow
def test_memory_is_flat_after_a_few_compiles(tmp_path: Path) -> None:
    gc.collect()
    assert growth(tmp_path, WARM + 40) <= 1.05
