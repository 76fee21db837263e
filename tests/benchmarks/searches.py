"""Full searches and their results: every run is kept as JSON, and docs/results/index.md shows the best per budget.

    python -m tests.benchmarks.searches add OUT...   # add output folders of gscompile, compiled with test data
    python -m tests.benchmarks.searches              # write the table again

Every figure is read from a folder's report.json, where it was measured on the written files. A run replaces an earlier
run of the same command and seed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from gscompile.declaration import Declaration, declarations, with_new_names
from gscompile.options import Options

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("searches.json")
PAGE = ROOT / "docs/results/index.md"
BEGIN, END = "<!-- searches: made by tests/benchmarks/searches.py -->", "<!-- end of searches -->"
NOT_SAID = {"seed", "threads", "emit", "place", "nproc"}  # no part of what is searched for
NAMED_DEFAULTS = " --pass rank-clip --pass delete-groups:normalize=true --pass drop-dead-units"
FILES = ("data", "val", "test", "teacher")
Row = Mapping[str, Any]


def row(report: Row, date: str) -> dict[str, Any]:
    """What a report says of its search. Wires, cells and tiles are those of all matrices."""
    test = report["accuracy"][-1]
    return {
        "command": command(report["model"], report["options"]),
        "seed": report["seed"],
        "date": date,
        "before": {name: report["before"][name] for name in ("cells", "tiles", "wires")},
        "after": {name: report["after"][name] for name in ("cells", "tiles", "wires")},
        "accuracy": {"split": test["split"], "before": test["before"], "after": test["after"]},
        "seconds": round(report["seconds"]),
        "versions": report["versions"],
    }


def command(model: str, options: Row) -> str:
    """The command line of a report's options, files by their names alone; the seed is left out."""
    declared, default = declarations(Options), Options(crossbar=options["crossbar"]).plain()
    options = with_new_names(declared, options)
    words = [f"gscompile {model}.onnx --crossbar {options['crossbar']}"]
    for name, each in declared.items():
        value = options.get(name, default[name])  # a report from before there was such an option
        if name not in NOT_SAID | {"crossbar"} and value != default[name]:
            words += _words(each, value)
    return " ".join(words)


def _words(declared: Declaration, value: Any) -> Iterator[str]:
    option = (*declared.about.flags, f"--{declared.key}")[0]
    for each in value if isinstance(value, list) else [value]:
        if each is False:
            yield option.replace("--", "--no-", 1)
        else:
            yield option if each is True else f"{option} {Path(each).name if declared.name in FILES else each}"


def added(known: Sequence[Row], new: Iterable[Row]) -> list[Row]:
    """Rows by command and seed, in order; a new one takes the place of an old one."""
    rows = {(r["command"], r["seed"]): r for r in (*known, *new)}
    return [rows[key] for key in sorted(rows)]


def table(rows: Sequence[Row]) -> str:
    """Return the table of the best search of each network and budget, and the commands below it."""
    found = [*best(rows)]
    lines = [
        "| network | drop allowed | test accuracy | cells | tiles | wires | seeds | time |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(runs) for runs in found),
        "",
        *(f"- `{runs[-1]['command']}`: {_made(runs)}" for runs in found),
    ]
    return "\n".join(lines)


def best(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield the best search of each network and budget, as its runs by seed.

    A search counts where each of its runs stays within the allowed drop on the test data. The best has the most seeds,
    up to three, and then the fewest wires on average.
    """
    rivals: dict[tuple[str, float, float], list[Sequence[Row]]] = {}
    for runs in searches(rows):
        drop = _drop(runs[0])
        if all(run["accuracy"]["before"] - run["accuracy"]["after"] <= drop + 1e-9 for run in runs):
            network = (_network(runs[0]), round(runs[0]["accuracy"]["before"], 2), drop)
            rivals.setdefault(network, []).append(runs)
    for network in sorted(rivals):
        yield min(rivals[network], key=lambda runs: (-min(len(runs), 3), fmean(r["after"]["wires"] for r in runs)))


def searches(rows: Iterable[Row]) -> list[Sequence[Row]]:
    """Return runs of the same search, one per seed: the latest. Naming a default makes no difference."""
    found: dict[str, dict[int, Row]] = {}
    for run in sorted(rows, key=lambda run: run["date"]):
        found.setdefault(run["command"].replace(NAMED_DEFAULTS, ""), {})[run["seed"]] = run
    return [[runs[seed] for seed in sorted(runs)] for runs in found.values()]


def _network(run: Row) -> str:
    return str(run["command"].split()[1].removesuffix(".onnx"))


def _drop(run: Row) -> float:
    found = re.search(r"--max-drop (\S+)", run["command"])
    return float(found[1]) if found else 0.0


def _line(runs: Sequence[Row]) -> str:
    first = runs[0]
    accuracy = _spread([r["accuracy"]["after"] for r in runs], "{:.2f}")
    cells, tiles, wires = (_spread([r["after"][n] for r in runs], "{:,.0f}") for n in ("cells", "tiles", "wires"))
    share = 100 * fmean(r["after"]["cells"] for r in runs) / max(first["before"]["cells"], 1)
    minutes = _spread([r["seconds"] / 60 for r in runs], "{:.0f}")
    return (
        f"| {_network(first)} | {_drop(first):g} | {first['accuracy']['before']:.2f} -> {accuracy} % "
        f"| {cells} ({share:.2f} %) | {tiles} | {wires} of {first['before']['wires']:,} | {len(runs)} | {minutes} min |"
    )


def _spread(values: Sequence[float], form: str) -> str:
    """The mean, and the range where there is one.

    >>> _spread([3.0], "{:.1f}"), _spread([1, 2, 3], "{:.0f}")
    ('3.0', '2 (1-3)')
    """
    mean = form.format(fmean(values))
    return mean if len({*values}) == 1 else f"{mean} ({form.format(min(values))}-{form.format(max(values))})"


def _made(runs: Sequence[Row]) -> str:
    dates, seeds = sorted({r["date"] for r in runs}), ", ".join(str(r["seed"]) for r in runs)
    named = ("gscompile", "torch", "onnxruntime")
    versions = ", ".join(f"{name} {runs[-1]['versions'][name]}" for name in named)
    return f"seed {seeds}; {' and '.join(dict.fromkeys((dates[0], dates[-1])))}; {versions}"


def shown(page: str, rows: Sequence[Row]) -> str:
    """The page with the table between its marks. Raises ValueError where they are missing."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE.name}: no {BEGIN} with {END}")
    return f"{before}{BEGIN}\n\n{table(rows) if rows else 'None yet.'}\n\n{END}{after}"


def read() -> list[Row]:
    """The rows that are kept."""
    return list(json.loads(RESULTS.read_text("utf-8"))) if RESULTS.is_file() else []


def record(reports: Iterable[Row]) -> None:
    """Keep what reports say, and bring the page up to date."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    rows = added(read(), [row(report, today) for report in reports])
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    PAGE.write_text(shown(PAGE.read_text("utf-8"), rows), "utf-8")


def main(words: Sequence[str]) -> None:
    if words[:1] not in ([], ["add"]):
        sys.exit("usage: python -m tests.benchmarks.searches [add OUT...]")
    record([json.loads((Path(out) / "report.json").read_text("utf-8")) for out in words[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
