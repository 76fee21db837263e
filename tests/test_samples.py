"""The samples: published file formats are read, and the committed networks are what their table says."""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
sys.path.insert(0, str(SAMPLES))  # samples are scripts beside each other

import data  # noqa: E402
import resnet20  # noqa: E402
from export import measure  # noqa: E402

SHAPES = {"digits": (1, 8, 8), "lenet": (1, 28, 28), "convnet": (3, 32, 32)}
TABLE = (SAMPLES / "README.md").read_text("utf-8")


def stated(sample: str) -> tuple[float, int]:
    """Accuracy in percent and number of test images, from the table."""
    row = next(line for line in TABLE.splitlines() if line.startswith(f"| `{sample}.onnx`"))
    found = re.search(r"([\d.]+) % \(([\d,]+) of ([\d,]+)\)", row)
    if found is None:
        pytest.skip(f"samples/README.md states no accuracy of {sample}.onnx yet")
    right, total = (int(number.replace(",", "")) for number in found.groups()[1:])
    assert f"{100 * right / total:.2f}" == found[1], "the percentage is not the fraction beside it"
    return float(found[1]), total


def accuracy(sample: str, split: data.Split) -> float:
    return float(100 * (measure(SAMPLES / f"{sample}.onnx", split.images).argmax(1) == split.labels).mean())


# -- the committed networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SHAPES)
def test_a_committed_network_is_valid_and_takes_images_in_batches_of_any_size(sample: str) -> None:
    path = SAMPLES / f"{sample}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there yet: samples/{sample}.py writes it")
    onnx.checker.check_model(str(path), full_check=True)
    graph = onnx.load(path).graph
    (image,), (logits,) = graph.input, graph.output
    batch, *sizes = image.type.tensor_type.shape.dim
    assert (image.name, logits.name) == ("image", "logits")
    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert batch.dim_param == "batch"
    assert tuple(size.dim_value for size in sizes) == SHAPES[sample]
    for count in (1, 3):
        assert measure(path, np.zeros((count, *SHAPES[sample]), np.float32)).shape == (count, 10)


def test_digits_and_its_data_are_under_a_megabyte_and_as_accurate_as_stated() -> None:
    files = [*SAMPLES.glob("digits*.npz"), SAMPLES / "digits.onnx"]
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files) < 1_000_000
    with np.load(SAMPLES / "digits_test.npz") as arrays:
        split = data.Split(arrays["image"], arrays["labels"])
    percent, total = stated("digits")
    assert len(split) == total
    assert accuracy("digits", split) == pytest.approx(percent, abs=0.01)


def test_lenet_is_as_accurate_on_mnist_as_stated(shared: Path) -> None:
    if not (shared / "data/mnist").is_dir():
        pytest.skip("no data/mnist in the shared folder")
    percent, total = stated("lenet")
    split = data.mnist_split(shared / "data/mnist", "t10k")
    assert len(split) == total
    assert percent >= 99.1
    assert accuracy("lenet", split) == pytest.approx(percent, abs=0.015)


# -- the loader -------------------------------------------------------------------------------------------------


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_mnist(folder: Path, train: int, test: int) -> None:
    for name, count in (("train", train), ("t10k", test)):
        pixels = np.arange(count)[:, None, None] % 256 * np.ones((1, 2, 2), int)
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", np.arange(count) % 10)


def test_mnist_is_read_as_pixels_over_256_with_the_last_images_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "HELD_OUT", 4)
    write_mnist(tmp_path, 10, 3)
    found = data.mnist(tmp_path)
    assert (len(found.train), len(found.val), len(found.test)) == (6, 4, 3)
    assert found.train.images.shape == (6, 1, 2, 2)
    assert found.train.images.dtype == np.float32
    assert found.val.images[:, 0, 0, 0].tolist() == [6 / 256, 7 / 256, 8 / 256, 9 / 256]
    assert found.test.labels.tolist() == [0, 1, 2]


def test_what_is_saved_is_what_gscompile_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "HELD_OUT", 4)
    write_mnist(tmp_path, 10, 3)
    data.mnist(tmp_path).save(tmp_path / "out")
    with np.load(tmp_path / "out/val.npz") as arrays:
        assert sorted(arrays) == ["image", "labels"]
        assert arrays["image"].shape == (4, 1, 2, 2)


def test_cifar10_is_read_as_pixels_minus_the_mean_training_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CIFAR10_BATCH", 2)
    monkeypatch.setattr(data, "HELD_OUT", 3)
    for number in range(1, 6):  # batch n: labels n and 0, all pixels 10 n and 10 n + 2
        records = [bytes([number]) + bytes([10 * number]) * 3072, bytes([0]) + bytes([10 * number + 2]) * 3072]
        (tmp_path / f"data_batch_{number}.bin").write_bytes(b"".join(records))
    (tmp_path / "test_batch.bin").write_bytes(bytes([7]) + bytes([31]) * 3072 + bytes([8]) + bytes(3072))
    found = data.cifar10(tmp_path)
    assert (len(found.train), len(found.val), len(found.test)) == (7, 3, 2)
    assert found.train.images.shape == (7, 3, 32, 32)
    assert found.train.images[0, 0, 0, 0] == 10 - 31  # the mean of 10, 12, 20, 22, ... 52 is 31
    assert found.test.images[:, 2, 31, 31].tolist() == [0, -31]
    assert found.test.labels.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00\x00\x0d\x01" + bytes(8), "not an idx file of unsigned bytes"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", r"holds 3 bytes, its header says \[5\]"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(data.DataError, match=said):
        data.read_idx(path)


def test_a_missing_file_comes_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="The MNIST database of handwritten digits"):
        data.mnist(tmp_path)
    with pytest.raises(data.DataError, match="The CIFAR-10 dataset"):
        data.cifar10(tmp_path)


def test_a_network_does_equally_well_on_both_halves_of_the_test_images() -> None:
    """Of each class one of the two it is surest of is in either half, one of the next two, and so on."""
    sure, labels = np.array([9.0, -5.0, 1.0, 3.0, 8.0, -6.0, 2.0, 4.0], np.float32), np.array([0, 0, 1, 1] * 2)
    first, second = resnet20.halves(sure, labels)
    assert sorted([*first, *second]) == list(range(8))
    for pair in ((0, 4), (1, 5), (2, 6), (3, 7)):
        assert np.isin(pair, first).sum() == 1


def test_a_network_is_as_sure_of_a_class_as_its_logit_is_above_the_others() -> None:
    logits = np.array([[1.0, 4.0, 2.5], [1.0, 4.0, 2.5]], np.float32)
    assert resnet20.sureness(logits, np.array([1, 2])).tolist() == [1.5, -1.5]
