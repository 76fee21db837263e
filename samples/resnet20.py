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
from typing import Any

import numpy as np
import onnxruntime
from data import Bytes, DataError, Floats, Labels, cifar10_pixels, cifar10_records

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, red, green and blue
BATCH = 500


def scaled(records: Bytes) -> Floats:
    """Images [n, 3, 32, 32] of published records."""
    mean, deviation = (np.array(each, np.float32).reshape(3, 1, 1) for each in (MEAN, DEVIATION))
    return np.asarray((cifar10_pixels(records).astype(np.float32) / 255 - mean) / deviation, np.float32)


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


def logits(session: onnxruntime.InferenceSession, images: Floats) -> Floats:
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[i : i + BATCH]})[0] for i in range(0, len(images), BATCH)])


def save(path: Path, name: str, images: Floats, labels: Labels) -> None:
    arrays: dict[str, Any] = {name: images, "labels": labels}
    np.savez(path, **arrays)
    print(f"{path}: {name} {list(images.shape)}, labels [{len(labels)}]")


def write(root: Path, model: Path, out: Path) -> None:
    """The three files. Raises DataError where the folder does not hold what its publisher ships."""
    training = cifar10_records([root / f"data_batch_{number}.bin" for number in range(1, 6)])
    test = cifar10_records([root / "test_batch.bin"])
    session = onnxruntime.InferenceSession(model)
    name = session.get_inputs()[0].name
    out.mkdir(parents=True, exist_ok=True)
    save(out / "train.npz", name, scaled(training), training[:, 0].astype(np.int64))
    images, labels = scaled(test), test[:, 0].astype(np.int64)
    for part, rows in zip(("val", "test"), halves(sureness(logits(session, images), labels), labels), strict=True):
        save(out / f"{part}.npz", name, images[rows], labels[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write CIFAR-10 as the .npz files a published ResNet-20 is tuned on.")
    parser.add_argument("folder", type=Path, help="folder of the published files, cifar-10-batches-bin")
    parser.add_argument("model", type=Path, help="the network as ONNX")
    parser.add_argument("out", type=Path, help="folder to write train.npz, val.npz and test.npz into")
    args = parser.parse_args()
    try:
        write(args.folder, args.model, args.out)
    except DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
