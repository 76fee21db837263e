"""A process that is asked to end: at once, or at the end of a block that must not be left half done."""

from __future__ import annotations

import os
import signal

import pytest

from gscompile.stopping import Stopped, stoppable, unstopped


def end(number: int, done: list[str], held: bool) -> None:
    """Ask the process to end in the middle of a block."""
    with stoppable():
        if held:
            with unstopped():
                os.kill(os.getpid(), number)
                done.append("the rest of the block")
        else:
            os.kill(os.getpid(), number)
            done.append("the rest of the block")
        done.append("what follows")


def test_a_signal_within_a_block_that_must_not_be_left_is_raised_behind_it() -> None:
    done: list[str] = []
    with pytest.raises(Stopped) as caught:
        end(signal.SIGTERM, done, held=True)
    assert done == ["the rest of the block"]
    assert caught.value.signal == signal.SIGTERM


def test_outside_and_after_such_a_block_a_signal_is_raised_at_once() -> None:
    done: list[str] = []
    with unstopped():
        pass
    with pytest.raises(Stopped):
        end(signal.SIGINT, done, held=False)
    assert done == []
