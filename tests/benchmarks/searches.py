"""Full searches and what they found: kept as JSON, a row a run, and shown as a table in samples/README.md.

    python -m tests.benchmarks.searches add OUT...   # output folders of gscompile, with test data
    python -m tests.benchmarks.searches              # the table anew

Every figure is read from a folder's report.json, where it was measured on the written files. A run takes the place of
an earlier one of the same command and seed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from gscompile.options import Options

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("searches.json")
PAGE = ROOT / "samples/README.md"
BEGIN, END = "<!-- searches: made by tests/benchmarks/searches.py -->", "<!-- end of searches -->"
NOT_SAID = {"seed", "threads", "emit", "place", "nproc"}  # no part of what is searched for
FILES = ("data", "eval", "test", "teacher")
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
    default = Options(crossbar=options["crossbar"]).plain()
    words = [f"gscompile {model}.onnx --crossbar {options['crossbar']}"]
    for field in dataclasses.fields(Options):
        value = options.get(field.name, default[field.name])  # a report from before there was such an option
        if field.name not in NOT_SAID | {"crossbar"} and value != default[field.name]:
            words += _words(field.name, value)
    return " ".join(words)


def _words(name: str, value: Any) -> Iterator[str]:
    option = {"passes": "--pass"}.get(name, "--" + name.replace("_", "-"))
    for each in value if isinstance(value, list) else [value]:
        if each is False:
            yield option.replace("--", "--no-", 1)
        else:
            yield option if each is True else f"{option} {Path(each).name if name in FILES else each}"


def added(known: Sequence[Row], new: Iterable[Row]) -> list[Row]:
    """Rows by command and seed, in order; a new one takes the place of an old one."""
    rows = {(r["command"], r["seed"]): r for r in (*known, *new)}
    return [rows[key] for key in sorted(rows)]


def table(rows: Sequence[Row]) -> str:
    """A line a command: means over seeds, and from the least to the most where they differ."""
    commands = list(dict.fromkeys(r["command"] for r in rows))
    lines = [
        "| search | test accuracy | cells | tiles | wires | seeds | time |",
        "|---|---|---|---|---|---|---|",
        *(_line(number, [r for r in rows if r["command"] == c]) for number, c in enumerate(commands, 1)),
        "",
        *(f"{number}. `{c}`: {_made([r for r in rows if r['command'] == c])}" for number, c in enumerate(commands, 1)),
    ]
    return "\n".join(lines)


def _line(number: int, runs: Sequence[Row]) -> str:
    first = runs[0]
    accuracy = _spread([r["accuracy"]["after"] for r in runs], "{:.2f}")
    cells, tiles, wires = (_spread([r["after"][n] for r in runs], "{:,.0f}") for n in ("cells", "tiles", "wires"))
    share = 100 * fmean(r["after"]["cells"] for r in runs) / max(first["before"]["cells"], 1)
    model = first["command"].split()[1].removesuffix(".onnx")
    return (
        f"| {model} ({number}) | {first['accuracy']['before']:.2f} -> {accuracy} % | {cells} ({share:.2f} %) | {tiles} "
        f"| {wires} of {first['before']['wires']:,} | {len(runs)} | {_spread([r['seconds'] for r in runs], '{:,.0f}')} s |"
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
