"""The files of a simulation: figures as JSON and CSV, and a picture per device effect."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from gscompile.files.staging import renewed
from gscompile.simulation.accuracy_picture import accuracy_svg
from gscompile.simulation.simulate import Figure, SimulationReport

_FIGURES = "simulation.json"


def write_simulation(report: SimulationReport, folder: str | Path) -> tuple[Path, ...]:
    """Write simulation.json, accuracy.csv, accuracy.svg of all sweeps and accuracy_PARAMETER.svg of each into `folder`.

    The files replace an earlier simulation when all are written. Returns the files; raises OutputError.
    """
    folder = Path(folder)
    with renewed(folder, _FIGURES) as stage:
        (stage / _FIGURES).write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        files = stage / _FIGURES, _table(report, stage / "accuracy.csv"), *_pictures(report, stage)
    return tuple(folder / path.name for path in files)


def _table(report: SimulationReport, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["parameter", "value", "mean_percent", "spread_percent", "chips"])
        for f in report.figures:
            writer.writerow([f.parameter, f"{f.value:g}", f"{f.mean:.4f}", f"{f.spread:.4f}", len(f.accuracies)])
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
