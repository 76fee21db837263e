"""Run all golden errors again and write what they print."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.errors.desk import compiled, lay
from tests.errors.golden import FILES, read, run


def rewrite() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = Path(folder).resolve() / "desk"
        desk.mkdir()
        lay(desk)
        run("gscompile net.onnx --crossbar 2x2 --max-output-error 0.05 -q -o whole", desk)
        compiled(desk, desk / "whole")
        for path in FILES:
            path.write_text("\n\n".join(str(run(case.command, desk)) for case in read(path)) + "\n", "utf-8")


if __name__ == "__main__":
    rewrite()
