"""What a simulation leaves behind: its figures as JSON and CSV, and a picture for each device effect."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from gscompile.accuracy_picture import accuracy_svg
from gscompile.simulate import Figure, SimulationReport


def write_simulation(report: SimulationReport, folder: str | Path) -> tuple[Path, ...]:
    """Write simulation.json, accuracy.csv, accuracy.svg of all sweeps and accuracy_PARAMETER.svg of each into `folder`;
    returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "simulation.json"
    figures.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    return figures, _table(report, folder / "accuracy.csv"), *_pictures(report, folder)


def _table(report: SimulationReport, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["parameter", "value", "mean_percent", "spread_percent", "chips"])
        for f in report.figures:
            writer.writerow(
                [f.parameter, f"{f.value:g}", f"{f.mean:.4f}", f"{f.spread:.4f}", len(f.accuracies)]
            )
    return path


def _pictures(report: SimulationReport, folder: Path) -> list[Path]:
    swept: dict[str, list[Figure]] = {}
    for figure in report.figures:
        if figure.parameter != "target":
            swept.setdefault(figure.parameter, []).append(figure)
    pictures = {"accuracy.svg": swept} if swept else {}
    pictures |= {f"accuracy_{parameter}.svg": {parameter: figures} for parameter, figures in swept.items()}
    for name, effects in pictures.items():
        (folder / name).write_text(accuracy_svg(effects, report.ideal), encoding="utf-8")
    return [folder / name for name in pictures]
