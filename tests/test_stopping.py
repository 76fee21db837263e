"""A process that is asked to end: at once, or at the end of a block that must not be left half done."""

from __future__ import annotations

import os
import signal

import pytest

from gscompile.stopping import Stopped, stoppable, unstopped


def test_a_signal_within_a_block_that_must_not_be_left_is_raised_behind_it() -> None:
    done = []
    with stoppable(), pytest.raises(Stopped) as caught:  # noqa: PT012
        with unstopped():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all of it")
        done.append("too much")
    assert done == ["all of it"]
    assert caught.value.signal == signal.SIGTERM


def test_outside_it_is_raised_at_once() -> None:
    with unstopped():
        pass  # nothing is held back behind it
    with stoppable(), pytest.raises(Stopped):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it goes on")
