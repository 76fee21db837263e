"""Data for a published ResNet-20: every training image, and the test images in two halves that are alike to it.

    python samples/resnet20.py FOLDER MODEL OUT      # cifar-10-batches-bin, and the network as ONNX

writes OUT/train.npz (50,000), OUT/val.npz and OUT/test.npz (5,000 each): an array named like the graph's input, pixels
as torchvision scales them, and array `labels`. The network was trained on all training images, so that only test
images can decide: half of them, the other half is nobody's to decide on. Halves by chance differ by half a point in
what the network itself gets right, and what it lost would be told from where it was lucky. So images of a class are
paired by how sure the network is of the class, and a coin sends one of each pair to either half.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from data import (
    Bytes,
    DataError,
    Dataset,
    Floats,
    Labels,
    Split,
    cifar10_labels,
    cifar10_pixels,
    cifar10_published,
)
from export import measure

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, red, green and blue


def scaled(records: Bytes) -> Split:
    """Images [n, 3, 32, 32] of published records, and the class of each."""
    mean, deviation = (np.array(each, np.float32).reshape(3, 1, 1) for each in (MEAN, DEVIATION))
    images = (cifar10_pixels(records).astype(np.float32) / 255 - mean) / deviation
    return Split(np.asarray(images, np.float32), cifar10_labels(records))


def sureness(logits: Floats, labels: Labels) -> Floats:
    """By how much the right class's logit is above the best of the others; [images]."""
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return np.asarray(logits[rows, labels] - others.max(axis=1), np.float32)


def halves(sure: Floats, labels: Labels) -> tuple[Labels, Labels]:
    """Indices of two halves: neighbours by class, then by sureness, go apart, which where is drawn with seed 0."""
    pairs = np.lexsort((sure, labels))[: len(labels) // 2 * 2].reshape(-1, 2)
    drawn = np.random.default_rng(0).permuted(pairs, axis=1)
    return np.sort(drawn[:, 0]), np.sort(drawn[:, 1])


def dataset(folder: Path, model: Path) -> Dataset:
    """Raises DataError where the folder does not hold what its publisher ships."""
    training, test = (scaled(records) for records in cifar10_published(folder))
    sure = sureness(measure(model, test.images), test.labels)
    val, rest = (Split(test.images[rows], test.labels[rows]) for rows in halves(sure, test.labels))
    return Dataset(training, val, rest)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write CIFAR-10 as the .npz files a published ResNet-20 is tuned on.")
    parser.add_argument("folder", type=Path, help="folder of the published files, cifar-10-batches-bin")
    parser.add_argument("model", type=Path, help="the network as ONNX")
    parser.add_argument("out", type=Path, help="folder to write train.npz, val.npz and test.npz into")
    args = parser.parse_args()
    try:
        dataset(args.folder, args.model).save(args.out, onnx.load(args.model).graph.input[0].name)
    except DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
