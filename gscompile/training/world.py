"""The interface of the processes that train together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from gscompile.errors import GscompileError

if TYPE_CHECKING:
    from torch import Tensor

AGAIN = "the same command goes on from where it was"


class LostError(GscompileError):
    """Another process is gone. The same command resumes from the checkpoints."""

    exit_code = 75  # EX_TEMPFAIL


class World:
    """The processes of one compile, as one of them sees them. This class is a single process, the simplest case."""

    rank = 0
    size = 1

    def share(self, value: Any = None) -> Any:
        """Return the value that the first process passes, in all processes."""
        return value

    def average(self, loss: Tensor, parameters: Sequence[Tensor], share: float, over: bool) -> tuple[Tensor, bool]:  # noqa: ARG002
        """Average loss and gradients over processes by their shares; also return True if any is `over` time."""
        return loss, over

    def parted(self, share: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """Within the block, compute batch statistics over the batches of all processes, of which this is a share."""
        return nullcontext()

    def device(self, wanted: str) -> str:
        """Return the device of this process, given the one that is asked for."""
        return wanted

    def part(self, count: int) -> slice:
        """Return the slice of `count` samples that belongs to this process; sizes differ by at most one."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)
