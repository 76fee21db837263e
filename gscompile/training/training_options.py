"""The options of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gscompile.options import Finetune, Options, Precision


@dataclass(frozen=True)
class TrainingOptions:
    """The options of training, named like those of the command line.

    Args:
        lr: Learning rate; chosen by short trials if None.
        batch_size: Samples in a batch.
        epochs: Factor of the epochs that a pass asks for.
        seed: Seed of the sample order and of augmentation.
        threads: Threads of torch; its own choice if None.
        device: Device of torch.
        precision: Numbers that training steps multiply.
        augment: Names or functions of augmentations.
        loss: Function of the user that is minimised instead of the objective.
        metric: Function of the user that scores instead of accuracy.
        max_error: Largest error that counts as no change, in standard deviations, if outputs are compared closely.
        finetune: "none" if there is no training with gradients.
    """

    lr: float | None = Options.lr
    batch_size: int = Options.batch_size
    epochs: float = Options.epochs
    seed: int = Options.seed
    threads: int | None = Options.threads
    device: str = Options.device
    precision: Precision = Options.precision
    augment: tuple[Any, ...] = Options.augment
    loss: Any = Options.loss
    metric: Any = Options.metric
    max_error: float = 0.0
    finetune: Finetune = Options.finetune
