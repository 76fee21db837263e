"""Knowledge flows one way: who may import whom, read off the sources."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From what knows nothing to what knows everything: folders of gscompile/ and the files beside them. What is on a line
# may import what is on lines before it, and itself; a new folder or file is placed here.
ROOMS = """
version errors printable stopping streams
progress
declaration
registry user_function files sizes command_options charts
onnx_files
graph execute
channels data
crossbars scoring
hardware
compression simulation targets
compensation search
reporting formats readback
passes reduction
options
placement training
emit judging
write record compiled_folder hardware_text
driver
curve
api
click_options
cli
__main__ __init__
""".strip().splitlines()
PLACED = {name: number for number, line in enumerate(ROOMS) for name in line.split()}
TORCH_USERS = {"torch_trainer", "training_run", "batches", "optimizer", "teacher_outputs", "teacher_cache", "objective"}
TORCH_USERS |= {"kfac_moments", "fisher_saliency", "batch_norm_reinsertion", "augment", "channels_last", "precision"}
TORCH_USERS |= {
    "process_group",
    "accelerator",
    "sequential",
    "scorer",
    "teacher",
    "training_step",
    "make_trainer",
    "synthetic_fit",
    "blocks",
}
TORCH = {f"training.{name}" for name in TORCH_USERS}  # beside execute


def sources() -> dict[str, Path]:
    """Modules by name below gscompile, links followed."""
    package = ROOT / "gscompile"
    files = [path for pattern in ("*.py", "*/*.py") for path in sorted(package.glob(pattern))]
    return {".".join(path.relative_to(package).with_suffix("").parts): path for path in files}


def imports(path: Path, deep: bool = False) -> Iterator[str]:
    """Yield the modules that a file imports when it is imported; with `deep`, in functions and for types too."""
    pending: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not deep:
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in whole if name.removeprefix("gscompile.") in MODULES]
            yield from known or ([*whole] if node.module == "gscompile" else [node.module])
        elif deep or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += ast.iter_child_nodes(node)


def ours(path: Path, deep: bool = False) -> set[str]:
    """Modules of gscompile that a file imports, as `netlist` or `execute.block`."""
    return {name.removeprefix("gscompile.") for name in imports(path, deep) if name.startswith("gscompile.")}


MODULES = sources()


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in MODULES} == PLACED.keys()


@pytest.mark.parametrize("name", MODULES)
def test_arrows_point_down_only(name: str) -> None:
    mine = room(name)
    others = {other for other in ours(MODULES[name], deep=True) if room(other) in PLACED and room(other) != mine}
    up = {other for other in others if PLACED[room(other)] >= PLACED[mine]}
    assert not up, f"{name} imports {sorted(up)} from above"


def test_no_modules_import_each_other_in_a_circle_for_types_and_in_functions_neither() -> None:
    waiting = {name: ours(path, deep=True) & MODULES.keys() - {name} for name, path in MODULES.items()}
    while waiting:
        ready = {name for name, on in waiting.items() if not on & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        waiting = {name: on for name, on in waiting.items() if name not in ready}


@pytest.mark.parametrize("name", MODULES)
def test_torch_is_known_to_execution_and_tuning_alone(name: str) -> None:
    knows = any(module.split(".")[0] == "torch" for module in imports(MODULES[name]))
    assert not knows or room(name) == "execute" or name in TORCH
    if room(name) in ("passes", "targets"):
        assert not any(module.split(".")[0] == "torch" for module in imports(MODULES[name], deep=True))


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(("passes.", "targets."))])
def test_passes_and_targets_know_neither_each_other_nor_the_pipeline(name: str) -> None:
    folder = room(name)
    known = ours(MODULES[name], deep=True)
    shared_by_formats = {"targets.names", "targets.modules"}
    assert (
        not {m for m in known if m.startswith(("passes", "targets"))}
        - shared_by_formats
        - ({"targets"} if folder == "targets" else set())
    )
    assert not {room(m) for m in known} & {"driver", "cli", "api", "training", "judging", "registry"}


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
        f"gscompile.{path.name}" for path in (ROOT / "gscompile").iterdir() if (path / "__init__.py").is_file()
    }
    assert set(config["packages"]) == folders
    for package, folder in config["package-dir"].items():
        assert (ROOT / folder).resolve() == (ROOT / package.replace(".", "/")).resolve()


def test_passes_and_targets_are_relative_links() -> None:
    for name in ("passes", "targets"):
        link = ROOT / "gscompile" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_no_class_or_constant_has_two_owners() -> None:
    """Type aliases of one meaning and tables that several modules contribute to may repeat."""
    owners: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
            for name in [*names, *([node.name] if isinstance(node, ast.ClassDef) else [])]:
                owners.setdefault(name.strip("_"), set()).add(module)
    shared = {name for name, modules in owners.items() if len(modules) > 1 and not name.startswith("__")}
    assert shared <= {"RULES", "T"}  # a table of each family of ops, joined in channels; a type variable


def dataclasses_of(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the classes of a module that are dataclasses."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.dump(each) for each in node.decorator_list):
            yield node.name


def test_no_result_is_built_from_more_than_four_positional_arguments() -> None:
    """Of five numbers in a row nobody sees which is which: they are named."""
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}
    results = {found for tree in trees.values() for found in dataclasses_of(tree)}
    found = set()
    for module, tree in trees.items():
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
        if any(node.func.id in {*results, "cls"} and len(node.args) > 4 for node in calls):  # type: ignore[attr-defined]
            found.add(module)
    assert not found


def test_a_frozen_object_is_written_while_it_is_made_and_never_afterwards() -> None:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text("utf-8"))
        making = [node for node in ast.walk(tree) if getattr(node, "name", "") == "__post_init__"]
        counts = [sum(ast.unparse(node) == "object.__setattr__" for node in ast.walk(part)) for part in (tree, *making)]
        assert counts[0] == sum(counts[1:]) or name == "options", name  # a method that __post_init__ calls takes types


REMEMBERING = {"judging.error_budget", "training.synthetic_fit"}  # without data; the list may only become shorter


def test_no_property_of_training_or_search_is_computed_once_and_remembered() -> None:
    """A property that trains or runs a network when it is read first makes results depend on who reads it."""
    for name, path in MODULES.items():
        if room(name) in ("training", "search", "judging") and name not in REMEMBERING:
            assert "cached_property" not in path.read_text("utf-8"), name
