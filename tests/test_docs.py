"""The documentation keeps its word: every command and every block of Python runs, and the site builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_commands import Commands
from tests.reference import REFERENCE, written
from tests.test_readme import commands, gscompile

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT / "docs")): path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))
}
BLOCKS = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXECUTED = [name for name, page in PAGES.items() if BLOCKS.search(page)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, forked: Commands) -> Path:
    """A folder with the samples, in which the command of the first page has run."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "samples", folder / "samples", ignore=shutil.ignore_patterns("lenet*", "convnet*"))
    gscompile(commands(PAGES["getting-started.md"])[0], folder, forked)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", EXECUTED)
def test_the_blocks_of_a_page_run_in_order(name: str, desk: Path, forked: Commands) -> None:
    script = done = ""
    for language, text in BLOCKS.findall(PAGES[name]):
        if language == "python":
            script += text
            continue
        if script != done:
            run_python(script, desk, forked)
            done = script
        for line in text.splitlines():
            gscompile(f"{line} --force" if " -o " in line and "--force" not in line else line, desk, forked)
    if script != done:
        run_python(script, desk, forked)


def run_python(script: str, folder: Path, forked: Commands) -> None:
    """Run the blocks of a page so far, as one program."""
    (folder / "page.py").write_text(script, "utf-8")
    ended = forked.run_script("page.py", folder)
    assert ended.code == 0, ended.stderr[-1000:]


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_is_that_of_the_declarations(name: str) -> None:
    """`python -m tests.reference` writes it."""
    assert PAGES[f"reference/{name}"] == written(name)


def test_every_option_and_key_of_the_reference_has_a_meaning() -> None:
    for name in REFERENCE:
        assert not re.findall(r"^\| `[^|]*\|[^|]*\|[^|]*\|\s*\|", written(name), re.MULTILINE), name


def test_links_between_pages_lead_somewhere() -> None:
    for name, page in PAGES.items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page):
            if "://" not in link:
                assert (ROOT / "docs" / name).parent.joinpath(link).exists(), f"{name}: {link}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs_click", reason="the packages of the extra 'docs' are not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    assert "--max-drop" in (tmp_path / "site/reference/command-line/index.html").read_text("utf-8")
