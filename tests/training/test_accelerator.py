"""Where torch computes: a name that is none is refused, and a GPU gives the same files twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gscompile.api import compile
from gscompile.errors import UsageError
from gscompile.training.accelerator import device_named

SAMPLES = Path(__file__).parents[2] / "samples"
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


def test_a_name_of_no_device_is_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match="device 'gpu0'"):
        device_named("gpu0")


@GPU
def test_single_precision_is_not_cut_short_on_a_gpu() -> None:
    """1 + 2^-12 has more digits than TF32 keeps."""
    device = device_named("cuda")
    x = torch.full((16, 16), 1 + 2**-12, device=device)
    assert float((x @ torch.eye(16, device=device))[0, 0]) == 1 + 2**-12


@GPU
def test_a_gpu_gives_the_same_files_twice(tmp_path: Path) -> None:
    for out in ("one", "two"):
        compile(
            SAMPLES / "digits.onnx",
            out=tmp_path / out,
            data=SAMPLES / "digits_train.npz",
            val=SAMPLES / "digits_val.npz",
            passes=("rank-clip", "delete-groups"),
            max_drop=1.0,
            device="cuda",
        )
    assert (tmp_path / "one" / "model.onnx").read_bytes() == (tmp_path / "two" / "model.onnx").read_bytes()
