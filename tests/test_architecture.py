"""Knowledge flows one way: who may import whom, read off the sources."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From what knows nothing to what knows everything; a module may import from its own line and from those before it.
# Modules of a line must not import each other in a circle. New modules are placed here.
LAYERS = """
errors kinds progress closeness einsum unit_sets faithful utf8 declared bisection choosing twins learning_rate pace zip_stream leaves mapped exchange
user_function
score
crossbar pins constants inputs npy npz weight_ops value_ranges factoring shapes sparse ordering unsaid references attributes bounds arrangement ends
wire netlist loading network data_checks sources paper augment precision accelerator
pairs weights synthetic data netlist_file tile_file fold trainable channels units target channels_last
shelf packing blocks mapping evaluate options execute
groups linear_maps inspection transform objective wiring_check trial
passes report untouched stretch tune saliency statistics deletion recovery
pictures report_html verify exam judge summary registry
targets
driver write output
api
cli
""".strip().splitlines()
TORCH = {"execute", "tune", "stretch", "adam", "teacher", "objective", "statistics", "augment"}
TORCH |= {"process_group", "accelerator", "precision", "saliency", "channels_last", "lessons"}
# The simulator, floor plan and cost model stand beside the pipeline: they read netlists and targets.
PLACED = {name: number for number, line in enumerate(LAYERS) for name in line.split()}


def sources() -> dict[str, Path]:
    """Modules by name below gscompile, links followed."""
    found = {}
    for path in sorted((ROOT / "gscompile").glob("*.py")) + [
        p for d in ("execute", "passes", "targets") for p in sorted((ROOT / "gscompile" / d).glob("*.py"))
    ]:
        relative = path.relative_to(ROOT / "gscompile").with_suffix("")
        found[".".join(relative.parts)] = path
    return found


def imports(path: Path, deep: bool = False) -> Iterator[str]:
    """Modules that are imported when the file is; with `deep` also those inside functions. Types alone do not count."""
    pending: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                [f"{node.module}.{a.name}" for a in node.names]
                if node.module == "gscompile"
                else [node.module]
            )
        elif deep or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += ast.iter_child_nodes(node)


def ours(path: Path, deep: bool = False) -> set[str]:
    """Modules of gscompile that a file imports, as `netlist` or `execute.block`."""
    return {name.removeprefix("gscompile.") for name in imports(path, deep) if name.startswith("gscompile.")}


MODULES = sources()


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] in PLACED])
def test_arrows_point_down_only(name: str) -> None:
    mine = PLACED[name.split(".")[0]]
    up = {other for other in ours(MODULES[name]) if PLACED.get(other.split(".")[0], -1) > mine}
    assert not up, f"{name} imports {sorted(up)} from above"


def test_no_modules_import_each_other_in_a_circle() -> None:
    waiting = {name: ours(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    while waiting:
        ready = {name for name, on in waiting.items() if not on & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        waiting = {name: on for name, on in waiting.items() if name not in ready}


@pytest.mark.parametrize("name", MODULES)
def test_torch_is_known_to_execution_and_tuning_alone(name: str) -> None:
    knows = any(module.split(".")[0] == "torch" for module in imports(MODULES[name]))
    assert not knows or name.split(".")[0] in TORCH
    if name.split(".")[0] in ("passes", "targets"):
        assert not any(module.split(".")[0] == "torch" for module in imports(MODULES[name], deep=True))


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("passes.", "targets."))])
def test_passes_and_targets_know_neither_each_other_nor_the_pipeline(name: str) -> None:
    folder = name.split(".")[0]
    known = ours(MODULES[name], deep=True)
    shared_by_formats = {"targets.names", "targets.modules"}
    assert (
        not {m for m in known if m.startswith(("passes", "targets"))}
        - shared_by_formats
        - ({"targets"} if folder == "targets" else set())
    )
    assert not known & {"driver", "cli", "api", "tune", "judge", "statistics", "objective", "registry"}


def test_the_command_line_and_the_package_load_nothing_heavy() -> None:
    for name in ("cli", "__init__", "errors", "options"):
        assert not {m.split(".")[0] for m in imports(MODULES[name])} & {
            "torch",
            "onnx",
            "onnxruntime",
            "onnx_ir",
            "scipy",
            "rich",
        }


def test_the_package_list_is_the_folders() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {"gscompile"} | {
        f"gscompile.{path.name}"
        for path in (ROOT / "gscompile").iterdir()
        if (path / "__init__.py").is_file()
    }
    assert set(config["packages"]) == folders
    for package, folder in config["package-dir"].items():
        assert (ROOT / folder).resolve() == (ROOT / package.replace(".", "/")).resolve()


def test_passes_and_targets_are_relative_links() -> None:
    for name in ("passes", "targets"):
        link = ROOT / "gscompile" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name
