"""Train a small torch network on one split, choose its weights on another, write it and measure the file.

The loop is AdamW under a one-cycle learning rate, with a running average of the weights; after each epoch the
average is measured on the held-out images, and the best one is the network that is written.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from data import Dataset, Split
from export import measure, write
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to train: `peak_rate` is the top of the one-cycle; `averaging` the decay per step of the mean."""

    epochs: int
    batch: int
    peak_rate: float
    weight_decay: float
    smoothing: float
    averaging: float = 0.998


def fit(net: nn.Sequential, data: Dataset, augment: Augment, recipe: Recipe) -> nn.Sequential:
    """The averaged network of the epoch that does best on the held-out images."""
    learner = Learner(net, augment, recipe, steps=recipe.epochs * (len(data.train) // recipe.batch))
    best, chosen = -1.0, net
    for epoch in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        error = learner.read(data.train)
        score = accuracy(learner.average, data.val)
        if score > best:
            best, chosen = score, learner.averaged()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch:3}: loss {error:.4f}, held out {score:.2%}, {seconds:.1f} s", flush=True)
    return chosen.eval()


class Learner:
    """A network on its way through `steps` batches of its recipe, and the running average of its weights."""

    def __init__(self, net: nn.Sequential, augment: Augment, recipe: Recipe, steps: int) -> None:
        self.net, self.augment, self.recipe = net, augment, recipe
        rate = recipe.peak_rate
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=recipe.weight_decay)
        self.schedule = OneCycleLR(self.optimizer, rate, total_steps=steps, pct_start=0.2)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
        mean = get_ema_multi_avg_fn(recipe.averaging)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(net, multi_avg_fn=mean)

    def read(self, split: Split) -> float:
        """Learn from every batch once; the mean loss."""
        errors = [self.learn(*batch) for batch in batches(split, self.recipe.batch)]
        return sum(errors) / len(errors)

    def learn(self, images: Tensor, labels: Tensor) -> float:
        self.optimizer.zero_grad()
        error: Tensor = self.loss(self.net(self.augment(images)), labels)
        error.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.net)
        return error.item()

    def averaged(self) -> nn.Sequential:
        """A copy of the average as it is now."""
        net = copy.deepcopy(self.net)
        net.load_state_dict(self.average.module.state_dict())
        return net


def batches(split: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches in a new random order; the few images left over wait for another epoch."""
    order = torch.randperm(len(split))
    for chosen in torch.split(order[: len(order) // size * size], size):
        yield torch.from_numpy(split.images)[chosen], torch.from_numpy(split.labels)[chosen]


@torch.no_grad()
def accuracy(net: nn.Module, split: Split) -> float:
    parts = torch.split(torch.from_numpy(split.images), 500)
    classes = torch.cat([net(part).argmax(1) for part in parts])
    return float((classes.numpy() == split.labels).mean())


def shift(images: Tensor, most: int) -> Tensor:
    """Move each image by up to `most` pixels each way, zeros coming in: [n, channels, rows, columns]."""
    count, _, rows, columns = images.shape
    padded = nn.functional.pad(images, (most,) * 4).movedim(1, 3)
    top, left = torch.randint(0, 2 * most + 1, (2, count, 1))
    picked = padded[
        torch.arange(count)[:, None, None],
        (top + torch.arange(rows))[:, :, None],
        (left + torch.arange(columns))[:, None, :],
    ]
    return picked.movedim(3, 1).contiguous()


def flip(images: Tensor) -> Tensor:
    """Mirror every second image, by chance, left to right."""
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)


def options(description: str, out: str, epochs: int) -> argparse.ArgumentParser:
    """The options that every sample takes."""
    parser = argparse.ArgumentParser(description=description)
    here = Path(__file__).with_name(out)
    parser.add_argument("--out", type=Path, default=here, help=f"file to write, samples/{out} unless told")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"default {epochs}")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    return parser


def finish(net: nn.Sequential, data: Dataset, path: Path) -> None:
    """Write the network; then, once, measure the written file on the test images."""
    write(net, data.val.images.shape[1:], path)
    apart = difference(net, data.val, path)
    if apart > 1e-3:
        raise SystemExit(f"{path}: its logits are {apart:.1e} (relative) away from the trained network's")
    print(f"{path}: logits agree with torch within {apart:.1e} (relative)")
    for name, split in (("held out", data.val), ("test", data.test)):
        right = measure(path, split.images).argmax(1) == split.labels
        print(f"{path}: {name} {right.mean():.2%} ({right.sum()} of {len(split)})")


@torch.no_grad()
def difference(net: nn.Module, split: Split, path: Path) -> float:
    """Largest difference between the logits of torch and of the file, relative to the largest logit."""
    images = split.images[:500]
    expected = net(torch.from_numpy(images)).numpy()
    return float(abs(measure(path, images) - expected).max() / abs(expected).max())
