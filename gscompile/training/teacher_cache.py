"""What a teacher says of training samples as they are varied, the same in every so many epochs: it is asked once.

A teacher and who learns from it have to look at the same view of a sample, and at many of them (Beyer et al. 2022); a
large one takes longer to ask than a small one to train.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from gscompile.training.batches import Shard
from gscompile.training.checkpoint import Checkpoints, NamedArrays
from gscompile.training.objective import wide
from gscompile.training.teacher import CACHE_BYTES, Answers

EPOCHS = 12  # that differ: who sees each several times learns from that many views as from ever new ones
Epoch = dict[int, dict[str, Tensor]]  # answers by the first row of a part, and by name


class AugmentedTeacherCache:
    """A teacher's answers in `EPOCHS` epochs from `seed` on, each of so many batches, as far as they fit in memory.

    Those of whole epochs are in the journal too: who goes on after an interruption does not ask about them again.
    """

    def __init__(self, teacher: Answers, mixed: bool, seed: int, batches: int, journal: Checkpoints) -> None:
        self.teacher, self.mixed = teacher, mixed
        self._seeds, self._batches, self._journal = range(seed, seed + EPOCHS), batches, journal
        self._free = CACHE_BYTES
        self._asked, self.seconds = 0, 0.0  # times, and what they took

    @property
    def pace(self) -> float:
        """Seconds that asking about a batch takes."""
        return self.seconds / max(self._asked, 1)

    @property
    def left(self) -> float:
        """How many batches are still to be asked about; without end where not all fits."""
        return EPOCHS * self._batches - sum(map(len, self._known.values())) if self._free >= 0 else math.inf

    def of(self, seed: int, part: Shard) -> dict[str, Tensor]:
        """The outputs by name for a part of a batch of the epoch that is mixed and varied by `seed`."""
        epoch, row = self._known[seed], int(part.rows[0])
        if (known := epoch.get(row)) is not None:
            return known
        began = time.monotonic()
        said = self.teacher.anew(part.feeds, self.mixed)
        self.seconds, self._asked = self.seconds + time.monotonic() - began, self._asked + 1
        self._remember(seed, row, said)
        return said

    def _remember(self, seed: int, row: int, said: dict[str, Tensor]) -> None:
        self._free -= _size(said)
        if self._free >= 0:
            epoch = self._known[seed]
            epoch[row] = said
            if len(epoch) == self._batches:
                self._journal.save(self._name(seed), _packed(epoch))

    @cached_property
    def _known(self) -> dict[int, Epoch]:
        """By the seed of the epoch; at first what an earlier run of the same command has kept."""
        device = self.teacher.feeder.device
        known = {seed: _unpacked(self._journal.load(self._name(seed)) or {}, device) for seed in self._seeds}
        self._free -= sum(_size(said) for epoch in known.values() for said in epoch.values())
        return known

    def _name(self, seed: int) -> str:
        """Of so many processes each sees its share of a batch."""
        return f"lessons-{seed}-{self.teacher.feeder.world.size}"


def _size(said: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in said.values())


def _packed(epoch: Epoch) -> NamedArrays:
    """One array for each part and name; numpy has no bfloat16, whose every number is one of single precision."""
    return {f"{row}/{name}": wide(tensor).cpu().numpy() for row, said in epoch.items() for name, tensor in said.items()}


def _unpacked(arrays: NamedArrays, device: torch.device) -> Epoch:
    epoch: Epoch = {}
    for key, array in arrays.items():
        row, name = key.split("/", 1)
        epoch.setdefault(int(row), {})[name] = torch.from_numpy(array).to(device)
    return epoch
