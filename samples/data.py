"""Read MNIST and CIFAR-10 as their publishers ship them, and write them as the .npz files gscompile reads.

    python samples/data.py mnist   FOLDER OUT      # the four idx .gz files       -> 55,000 / 5,000 / 10,000
    python samples/data.py cifar10 FOLDER OUT      # cifar-10-batches-bin         -> 45,000 / 5,000 / 10,000

writes OUT/train.npz, OUT/val.npz and OUT/test.npz: array `image` (named like the graph input, float32
[images, channels, rows, columns]) and array `labels` (int64 [images]). They are not compressed, so that a
reader can map them into memory. Training images that a script decides on (`val`) are the last 5,000 of the
published training set; the test images are nobody's to decide on.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

HELD_OUT = 5_000
CIFAR10_RECORD = 1 + 3 * 32 * 32
CIFAR10_BATCH = 10_000

MNIST_SOURCE = "Yann LeCun's page 'The MNIST database of handwritten digits': the four idx .gz files"
CIFAR10_SOURCE = "Alex Krizhevsky's page 'The CIFAR-10 dataset', University of Toronto: the binary version"


class DataError(Exception):
    """The data folder does not hold what its publisher ships."""


@dataclass(frozen=True)
class Split:
    """Images [images, channels, rows, columns] as the network takes them, and the class of each."""

    images: Floats
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> Split:
        return Split(self.images[start:stop], self.labels[start:stop])

    def save(self, path: Path, image: str = "image") -> None:
        arrays: dict[str, Any] = {image: self.images, "labels": self.labels}
        np.savez(path, **arrays)


@dataclass(frozen=True)
class Dataset:
    train: Split
    val: Split
    test: Split

    @staticmethod
    def of(training: Split, test: Split) -> Dataset:
        """Hold the last images of the published training set out."""
        edge = len(training) - HELD_OUT
        return Dataset(training.part(0, edge), training.part(edge, len(training)), test)

    def save(self, folder: Path, image: str = "image") -> None:
        """Write the three files; `image` is the graph input's name."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in (("train", self.train), ("val", self.val), ("test", self.test)):
            split.save(folder / f"{name}.npz", image)
            print(f"{folder / name}.npz: {image} {list(split.images.shape)}, labels [{len(split)}]")


def read_idx(path: Path, source: str = MNIST_SOURCE) -> Bytes:
    """One idx file of unsigned bytes: 00 00 08 rank, the dimensions as big-endian int32, the bytes."""
    content = gzip.decompress(read(path, source))
    if content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path}: not an idx file of unsigned bytes (starts with {content[:4].hex(' ')})")
    rank = content[3]
    start = 4 + 4 * rank
    shape = [int(size) for size in np.frombuffer(content[4:start], dtype=">i4")]
    if len(content) - start != np.prod(shape):
        raise DataError(f"{path}: holds {len(content) - start} bytes, its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read(path: Path, source: str) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: no such file; get it from {source}")
    return path.read_bytes()


def mnist(folder: Path) -> Dataset:
    return Dataset.of(mnist_split(folder, "train"), mnist_split(folder, "t10k"))


def mnist_split(folder: Path, name: str) -> Split:
    """Images [n, 1, 28, 28] as pixel / 256, the scale of Caffe's LeNet."""
    pixels = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    return Split(pixels[:, None].astype(np.float32) / np.float32(256), labels.astype(np.int64))


def cifar10(folder: Path) -> Dataset:
    """Images [n, 3, 32, 32] as pixel minus the mean of all 50,000 training images, as Caffe takes them."""
    training, test = cifar10_published(folder)
    mean = cifar10_pixels(training).mean(axis=0, dtype=np.float64).astype(np.float32)
    return Dataset.of(cifar10_split(training, mean), cifar10_split(test, mean))


def cifar10_published(folder: Path) -> tuple[Bytes, Bytes]:
    """The records of all training images and of the test images."""
    inner = folder / "cifar-10-batches-bin"
    root = inner if inner.is_dir() else folder
    training = cifar10_records([root / f"data_batch_{number}.bin" for number in range(1, 6)])
    return training, cifar10_records([root / "test_batch.bin"])


def cifar10_records(paths: list[Path]) -> Bytes:
    """The batches' records [images, 1 + 3072], one after the other."""
    return np.concatenate([cifar10_batch(path) for path in paths])


def cifar10_batch(path: Path) -> Bytes:
    """One batch: 10,000 records of a label byte and three planes (red, green, blue) of 32 x 32 bytes."""
    content = read(path, CIFAR10_SOURCE)
    if len(content) != CIFAR10_BATCH * CIFAR10_RECORD:
        raise DataError(f"{path}: {len(content)} bytes; a batch has {CIFAR10_BATCH * CIFAR10_RECORD}")
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, CIFAR10_RECORD)


def cifar10_pixels(records: Bytes) -> Bytes:
    return records[:, 1:].reshape(-1, 3, 32, 32)


def cifar10_labels(records: Bytes) -> Labels:
    return records[:, 0].astype(np.int64)


def cifar10_split(records: Bytes, mean: Floats) -> Split:
    return Split(cifar10_pixels(records).astype(np.float32) - mean, cifar10_labels(records))


READERS: dict[str, Callable[[Path], Dataset]] = {"mnist": mnist, "cifar10": cifar10}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write MNIST or CIFAR-10 as the .npz files gscompile reads.")
    parser.add_argument("dataset", choices=sorted(READERS))
    parser.add_argument("folder", type=Path, help="folder of the published files")
    parser.add_argument("out", type=Path, help="folder to write train.npz, val.npz and test.npz into")
    args = parser.parse_args()
    try:
        READERS[args.dataset](args.folder).save(args.out)
    except DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
