"""Errors are golden: command, exit code and whole text, in the files of tests/errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.errors.desk import compiled, lay
from tests.errors.golden import FILES, Golden, read, run

CASES = [case for path in FILES for case in read(path)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk").resolve()
    lay(folder)
    assert run("gscompile net.onnx --crossbar 2x2 --max-output-error 0.05 -q -o whole", folder).exit_code == 0
    compiled(folder, folder / "whole")
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.command.removeprefix("gscompile ") for case in CASES])
def test_a_command_fails_as_it_should(case: Golden, desk: Path) -> None:
    assert run(case.command, desk) == case


def test_there_are_many_and_each_is_one_line_with_an_exit_code_for_users() -> None:
    assert len(CASES) >= 120
    for case in CASES:
        assert case.exit_code in (2, 3, 4), case.command
        assert len(case.text.splitlines()) == 1, case.command
