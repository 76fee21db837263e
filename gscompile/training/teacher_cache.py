"""A cache of another teacher's outputs for augmented samples, whose augmentations repeat after some epochs.

Teacher and student must see the same view of a sample, and many views of it (Beyer et al. 2022). A large teacher takes
longer to run than a small network to train, so that its outputs are computed once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from gscompile.training.batches import Shard
from gscompile.training.checkpoint import Checkpoints, NamedArrays
from gscompile.training.objective import wide
from gscompile.training.teacher_outputs import CACHE_BYTES, TeacherOutputs

EPOCHS = 12  # distinct augmented epochs, after which augmentations repeat; no loss of accuracy was seen
CachedEpoch = dict[int, dict[str, Tensor]]  # outputs by the first row of a shard, and by name


class AugmentedTeacherCache:
    """A teacher's outputs in `EPOCHS` epochs of augmented samples, as far as they fit into memory.

    Complete epochs are saved as checkpoints, so that a resumed compile does not run the teacher on them again. The
    epochs have the seeds from `seed` on and `batches` batches each.
    """

    def __init__(
        self, teacher: TeacherOutputs, bfloat16: bool, seed: int, batches: int, checkpoints: Checkpoints
    ) -> None:
        self.teacher, self.bfloat16 = teacher, bfloat16
        self._seeds, self._batches, self._checkpoints = range(seed, seed + EPOCHS), batches, checkpoints
        self._free_bytes = CACHE_BYTES
        self._epochs: dict[int, CachedEpoch] | None = None  # by seed; not loaded yet
        self._runs, self.seconds = 0, 0.0  # runs of the teacher, and their duration

    @property
    def seconds_per_batch(self) -> float:
        """Return the seconds in which the teacher runs one batch."""
        return self.seconds / max(self._runs, 1)

    def uncached_batches(self) -> float:
        """Return the number of batches whose outputs are not cached yet; infinity if not all fit into memory."""
        cached = sum(map(len, self._load().values()))
        return EPOCHS * self._batches - cached if self._free_bytes >= 0 else math.inf

    def of(self, seed: int, shard: Shard) -> dict[str, Tensor]:
        """Return the outputs, by name, for a shard of a batch in the epoch whose order and augmentation have `seed`."""
        epoch, row = self._load()[seed], int(shard.rows[0])
        if (cached := epoch.get(row)) is not None:
            return cached
        start = time.monotonic()
        outputs = self.teacher.run(shard.feeds, self.bfloat16)
        self.seconds, self._runs = self.seconds + time.monotonic() - start, self._runs + 1
        self._keep(seed, epoch, row, outputs)
        return outputs

    def _keep(self, seed: int, epoch: CachedEpoch, row: int, outputs: dict[str, Tensor]) -> None:
        self._free_bytes -= _bytes(outputs)
        if self._free_bytes >= 0:
            epoch[row] = outputs
            if len(epoch) == self._batches:
                self._checkpoints.save(self._name(seed), _to_arrays(epoch))

    def _load(self) -> dict[int, CachedEpoch]:
        """Return the cached epochs by seed; at the first call, those that an interrupted compile has saved."""
        if self._epochs is None:
            device, load = self.teacher.feeder.device, self._checkpoints.load
            self._epochs = {seed: _to_tensors(load(self._name(seed)) or {}, device) for seed in self._seeds}
            self._free_bytes -= sum(_bytes(o) for epoch in self._epochs.values() for o in epoch.values())
        return self._epochs

    def _name(self, seed: int) -> str:
        """Return the name of a checkpoint. It has the number of processes, each of which sees a share of a batch."""
        return f"teacher-{seed}-{self.teacher.feeder.world.size}"


def _bytes(outputs: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in outputs.values())


def _to_arrays(epoch: CachedEpoch) -> NamedArrays:
    """Return one array per shard and output. numpy has no bfloat16, whose numbers are all float32 numbers."""
    return {f"{row}/{name}": wide(t).cpu().numpy() for row, outputs in epoch.items() for name, t in outputs.items()}


def _to_tensors(arrays: NamedArrays, device: torch.device) -> CachedEpoch:
    epoch: CachedEpoch = {}
    for key, array in arrays.items():
        row, name = key.split("/", 1)
        epoch.setdefault(int(row), {})[name] = torch.from_numpy(array).to(device)
    return epoch
