"""Train the paper's LeNet on MNIST, layer for layer (no ReLU after the convolutions), and write it as ONNX.

    python samples/lenet.py --data FOLDER      # FOLDER holds the four published idx .gz files

Input `image` float32 [batch, 1, 28, 28], pixel / 256; 55,000 images train, 5,000 choose the weights.
Measured: MEASURED
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import torch
from data import DataError, mnist
from torch import Tensor, nn
from training import Recipe, finish, fit, options, shift, warp


def network() -> nn.Sequential:
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 20, 5),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(20, 50, 5),
        "pool2": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(800, 500),
        "relu1": nn.ReLU(),
        "fc2": nn.Linear(500, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def augment(images: Tensor) -> Tensor:
    """Digits written a little askew, larger or smaller, and off the middle."""
    return shift(warp(images, turn=0.15, stretch=0.1), 2)


def main() -> None:
    parser = options("Train the paper's LeNet on MNIST.", "lenet.onnx", 24)
    parser.add_argument("--data", type=Path, required=True, help="folder of the published idx .gz files")
    args = parser.parse_args()
    try:
        data = mnist(args.data)
    except DataError as error:
        sys.exit(str(error))
    torch.manual_seed(args.seed)
    recipe = Recipe(args.epochs, batch=128, peak_rate=3e-3, weight_decay=0.05, smoothing=0.05)
    net = fit(network(), data, augment, recipe)
    finish(net, data, args.out)


if __name__ == "__main__":
    main()
