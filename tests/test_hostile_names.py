"""Names with control characters: no output for a terminal, a browser or a drawing program holds one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from gscompile.cli import main
from gscompile.printable import escape, printable
from tests.small_networks import model

TEXT = "g (float[2,4] x) => (float[2,3] y) <float[4,3] w> { y = MatMul (x, w) }"
ESCAPE, BELL, LEFT = "\x1b", "\x07", "\u202e"
NAMES = {
    "title of a terminal": f"{ESCAPE}]0;pwned{BELL}",
    "clears the screen": f"a{ESCAPE}[2J{ESCAPE}[H",
    "C1": "a\x9b2Jb",
    "line break": "a\nall is well\r\n",
    "from right to left": f"a{LEFT}gnp.exe",
    "NUL": "a\x00b",
    "markup": '"><script>x</script>',
    "emoji and markup of rich": "a:x:b[red]",
}


def run(*words: str) -> str:
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("kind", NAMES)
def test_no_control_character_of_a_name_is_shown(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, proto = NAMES[kind], model(TEXT, w=np.eye(4, 3))
    proto.graph.name = proto.graph.node[0].name = name
    onnx.save(proto, "m.onnx")
    np.savez("d.npz", x=np.ones((2, 4), np.float32))
    shown = [run("inspect", "m.onnx"), run("m.onnx", "-o", "out", "--target", "rram_45nm", "--emit", "dot", "--place")]
    shown += [run("verify", "out"), run("simulate", "out", "--data", "d.npz", "--seeds", "1"), run("place", "out")]
    assert printable(name) in shown[0]
    for path in [*Path("out").rglob("*.svg"), *Path("out").rglob("*.dot"), Path("out/report.html")]:
        shown.append(path.read_text("utf-8"))
        assert path.suffix == ".dot" or "<script>x" not in shown[-1]
    assert len(shown) == 5 + 4 + 2 + 1 + 1  # pictures of compile and of place, dot, HTML
    for text in shown:
        assert [c for c in text if not c.isprintable() and c not in "\n\t"] == []


@pytest.mark.parametrize("kind", NAMES)
def test_no_control_character_of_an_error_is_shown(kind: str) -> None:
    done = CliRunner().invoke(main, ["m.onnx", "--effort", NAMES[kind].replace("\x00", "\x01")])
    assert done.exit_code == 2
    assert [c for c in done.stderr if not c.isprintable()] == ["\n"]


def test_a_path_that_is_no_text_is_shown_by_its_bytes() -> None:
    assert printable(os.fsdecode(b"m\xff.onnx")) == r"m\udcff.onnx"
    assert escape("<a>\x1b") == r"&lt;a&gt;\x1b"


@pytest.mark.parametrize(("value", "traceback"), [("0", False), ("", False), ("false", False), ("1", True)])
def test_the_variable_for_debugging_is_off_by_zero(
    value: str, traceback: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSCOMPILE_DEBUG", value)
    monkeypatch.chdir(tmp_path)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by ours")

    monkeypatch.setattr("gscompile.graph.network.Network.load", broken)
    done = CliRunner().invoke(main, ["inspect", "m.onnx"])
    assert done.exit_code == 1
    assert isinstance(done.exception, ZeroDivisionError) == traceback
    if not traceback:
        says = "gscompile: internal error: ZeroDivisionError: by ours (GSCOMPILE_DEBUG=1 shows where)\n"
        assert done.stderr == says
