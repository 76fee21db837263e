"""The teacher: the network whose outputs are the targets of training, for plain or augmented samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from gscompile.compression.throughput import Throughput
from gscompile.training.batches import Shard
from gscompile.training.run_spec import RunSpec
from gscompile.training.teacher_cache import EPOCHS, AugmentedTeacherCache
from gscompile.training.teacher_outputs import TeacherOutputs


@dataclass(frozen=True, eq=False)
class Teacher:
    """The outputs that training learns: of the original network, or of another one.

    With `augmented`, outputs are those for augmented samples in runs whose augmentations repeat.
    """

    outputs: TeacherOutputs
    is_original: bool = True
    augmented: AugmentedTeacherCache | None = None

    @property
    def period(self) -> int:
        """Return the number of epochs after which augmentations repeat; 0 if they never do."""
        return 0 if self.augmented is None else EPOCHS

    @property
    def seconds(self) -> float:
        """Return the seconds that the teacher has run on augmented samples."""
        return 0.0 if self.augmented is None else self.augmented.seconds

    def targets(self, shard: Shard, spec: RunSpec, epoch: int) -> dict[str, Tensor]:
        """Return the outputs, by name, for a shard of a batch in an epoch of a run."""
        if self.augmented is not None and spec.period:
            return self.augmented.of(spec.seed_of(epoch), shard)
        return self.outputs.of(shard.rows, shard.batch)

    def throughput(self, seconds_per_step: float, steps: int) -> Throughput:
        """Return the speed of training, in epochs of so many steps."""
        if self.augmented is None:
            return Throughput(epoch=steps * seconds_per_step)
        return Throughput(
            epoch=steps * seconds_per_step,
            teacher_seconds=steps * self.augmented.seconds_per_batch,
            uncached_epochs=self.augmented.uncached_batches() / steps,
        )


def teacher_of_augmented(
    teacher: Teacher,
    validation: TeacherOutputs,
    accuracy: Callable[[TeacherOutputs], float],
    seed: int,
    bfloat16: bool,
    make_cache: Callable[[TeacherOutputs], AugmentedTeacherCache],
) -> Teacher:
    """Return a teacher that also runs on augmented samples, if these make it right more often on validation samples.

    A teacher that was trained without augmentation knows augmented samples less. The original is then replaced by its
    mean over a few views of each sample; another teacher, which knows more, is run on every augmented sample.

    Args:
        validation: Outputs of the teacher for the validation data.
        accuracy: Function that returns the percentage of validation samples on which outputs are right.
    """
    averaged = validation.averaged_over_views(seed, bfloat16)
    if averaged is validation or accuracy(averaged) <= accuracy(validation):
        return teacher
    if teacher.is_original:
        return replace(teacher, outputs=teacher.outputs.averaged_over_views(seed, bfloat16))
    return replace(teacher, augmented=make_cache(teacher.outputs))
