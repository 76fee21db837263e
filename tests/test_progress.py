"""What a run says of itself where nobody sits before a terminal."""

from __future__ import annotations

import pytest

from gscompile.progress import TerminalProgress


def test_a_long_message_stays_one_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    message = "after 12 epochs the network " + "is measured again and " * 8 + "kept"
    with TerminalProgress() as progress:
        progress.say(message)
    assert capsys.readouterr().err == f"[     0 s] {message}\n"
