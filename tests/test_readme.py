"""The README keeps its word: its commands and examples run, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from gscompile.crossbars.netlist_file import is_plain_tile
from gscompile.options import Options, read_config
from tests.benchmarks import results
from tests.benchmarks.plots import scaling_svg
from tests.forked_commands import Commands

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# nothing is claimed of the result
SHORT = shlex.split("--effort quick --epochs 0.01 --time-budget 2s --threads 1 --quiet")


def blocks(language: str, page: str = README) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def commands(page: str) -> list[str]:
    return "".join(blocks("bash", page)).splitlines()


COMMANDS = commands(README)
SET_UP = [line for line in COMMANDS if line.startswith("bash .ci/install")]


def run(words: list[str], folder: Path, forked: Commands) -> None:
    done = forked.run(words, folder)
    assert done.code == 0, f"gscompile {shlex.join(words)}: {done.stderr[-1000:]}"


def gscompile(line: str, folder: Path, forked: Commands) -> None:
    """Run a line of the README, trained for a moment only."""
    program, *words = shlex.split(line)
    assert Path(program).name == "gscompile", f"{line}: starts another program"
    trains = "--data" in words and any(word.endswith(".onnx") for word in words[:2])
    run([*words, *SHORT] if trains else words, folder, forked)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, forked: Commands) -> Path:
    """A folder with the samples, where the README's main command has run."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "samples", folder / "samples", ignore=shutil.ignore_patterns("lenet*", "convnet*"))
    gscompile(SET_UP[0].partition(" && ")[2], folder, forked)
    return folder


def test_two_commands_set_everything_up() -> None:
    assert len(SET_UP) == 2
    for line in SET_UP:
        install, _, job = line.partition(" && ")
        script = install.split()[1]
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
        assert job.startswith(".venv/bin/")


def test_the_main_command_writes_the_files_of_the_table(desk: Path) -> None:
    listed = re.findall(
        r"`([\w.]+\.(?:onnx|json|npz|html))`(?=[^|]*\|)", README.partition("file in the output folder")[2]
    )
    written = {path.name for path in (desk / "digits.gscompile").iterdir()}
    assert {"model.onnx", "netlist.json", "tiles.npz", "report.json", "report.html"} <= set(listed)
    assert {"model.onnx", "netlist.json", "tiles.npz", "report.json", "report.html"} == written


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in SET_UP])
def test_every_other_command_runs(line: str, desk: Path, forked: Commands) -> None:
    gscompile(line, desk, forked)


def test_the_configuration_file_is_understood(desk: Path, forked: Commands) -> None:
    (text,) = blocks("toml")
    name = text.splitlines()[0].removeprefix("# ")
    (desk / name).write_text(text, "utf-8")
    assert Options(**read_config(desk / name)).max_drop == 0.5
    run(["samples/digits.onnx", "--config", name, *SHORT, "-o", "configured.gscompile"], desk, forked)
    report = json.loads((desk / "configured.gscompile/report.json").read_text("utf-8"))
    assert report["options"]["crossbar"] == "16x16"


def test_the_python_example_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    (text,) = blocks("python")
    exec(compile(text, "README.md", "exec"), {})
    assert (desk / "smaller.onnx").is_file()


def test_pages_show_tiles_as_they_are_written() -> None:
    page = (ROOT / "docs/reference/files.md").read_text("utf-8")
    assert blocks("json", page)
    for text in blocks("json", page):
        assert is_plain_tile(json.loads(text))


def test_the_page_of_costs_is_that_of_the_results() -> None:
    known = json.loads((ROOT / "tests/benchmarks/results.json").read_text("utf-8"))
    assert results.PAGE.read_text("utf-8") == results.page(known)
    assert results.PICTURE.read_text("utf-8") == scaling_svg(known["steps"]["rows"])
    assert {f"bench_{name}.py" for name in known} <= {path.name for path in (ROOT / "tests/benchmarks").iterdir()}


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_readme_is_for_a_first_visit() -> None:
    assert len(README.splitlines()) <= 150


def test_an_entry_of_the_changelog_is_one_sentence_of_at_most_20_words() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for entry in re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE):
        assert len(entry.split()) <= 20, entry
        assert entry.endswith("."), entry
