"""The length of an epoch and of a run, and batches for measurements."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gscompile.data.dataset import input_specs, load_data
from gscompile.training.augment import augmentation
from gscompile.training.batches import BatchLoader
from gscompile.training.training_data import TrainingData
from gscompile.training.world import World
from tests.small_networks import network


def data_of(samples: int, is_small: bool = False) -> TrainingData:
    """Return so many samples in batches of ten."""
    net = network("g (float[n,2] x) => (float[n,2] y) { y = Relu (x) }")
    train = load_data({"x": np.zeros((samples, 2), np.float32)}, input_specs(net.model))
    return TrainingData(
        train, BatchLoader(10, torch.device("cpu"), World(), augmentation(())), seed=0, is_small=is_small
    )


@pytest.mark.parametrize(
    ("samples", "is_small", "epoch", "run"),
    [
        (5, False, 1, 150),  # less than a batch
        (109, False, 10, 150),  # the last nine samples are dropped when shuffling; 150 steps at least
        (2000, False, 200, 200),
        (30, True, 3, 3 * 32),  # 32 passes at most over data that a network would overfit
    ],
)
def test_steps_of_an_epoch_and_of_a_run(samples: int, is_small: bool, epoch: int, run: int) -> None:
    data = data_of(samples, is_small)
    assert (data.steps_per_epoch, data.steps_per_run) == (epoch, run)


def test_small_data_is_passed_through_again_for_as_many_batches_as_are_asked_for() -> None:
    assert [len([*data_of(30, is_small).sample_batches(7)]) for is_small in (False, True)] == [3, 7]
