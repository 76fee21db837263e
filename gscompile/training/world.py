"""The processes of one compile, as one of them sees the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from gscompile.errors import GscompileError

if TYPE_CHECKING:
    from torch import Tensor

AGAIN = "the same command goes on from where it was"


class LostError(GscompileError):
    """Another process is gone. Running the same command again goes on."""

    exit_code = 75  # EX_TEMPFAIL


class World:
    """The processes of one compile, as one of them sees them; this one is alone."""

    rank = 0
    size = 1

    def share(self, value: Any = None) -> Any:
        """Return the value that the first process passes, in all processes."""
        return value

    def average(self, loss: Tensor, parameters: Sequence[Tensor], share: float, over: bool) -> tuple[Tensor, bool]:  # noqa: ARG002
        """Average loss and gradients by each process's share of the batch; also whether any says that it is `over`."""
        return loss, over

    def parted(self, share: float) -> AbstractContextManager[None]:  # noqa: ARG002
        """While the block runs, forward and backward, a batch is a share of that which all processes see."""
        return nullcontext()

    def device(self, wanted: str) -> str:
        """The device of this process."""
        return wanted

    def part(self, count: int) -> slice:
        """This process's part of `count` samples; sizes differ by at most one."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)
