"""The frontier: accuracy against cells, tiles and wires, from one walk down and a longer tuning at every stop."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gscompile.driver import Job, finish, prepare
from gscompile.errors import UsageError
from gscompile.frontier_picture import frontier_svg
from gscompile.mapping import footprint
from gscompile.network import Network
from gscompile.options import Options
from gscompile.output import staged
from gscompile.passes import PASSES
from gscompile.progress import Progress
from gscompile.registry import create
from gscompile.transform import Change, PassResult


@dataclass(frozen=True)
class Point:
    """One network of the frontier: what it takes, and its validation score in percent, through onnxruntime."""

    cells: int
    tiles: int
    wires: int
    score: float
    file: str


def write_frontier(
    original: Network,
    name: str,
    out: Path,
    options: Options,
    points: int = 8,
    folders: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[Point, ...]:
    """Write `frontier.csv`, `.json`, `.svg` and a model per point into `out`; compiled folders too when asked.

    The walk ends `options.max_drop` points below the original. Raises a GscompileError; then `out` was not touched.
    """
    if options.data is None:
        raise UsageError("frontier: needs --data: accuracy is what the curve is about")
    job = prepare(original, name, options, progress or Progress())
    with staged(out, force) as folder:
        found = [
            _write_point(job, number, network, folder) for number, network in enumerate(_stops(job, points))
        ]
        best = _not_dominated(found)
        _write_files(folder, name, best)
        if folders:
            for point in best:
                _compile_point(job, folder, point)
    return tuple(best)


def _stops(job: Job, points: int) -> Iterator[Network]:
    """The original, the rank-clipped network, and networks evenly spread along the walk down, each tuned for long."""
    yield job.folded
    clipped = create("pass", PASSES, "rank-clip").run(job.folded.copy(), job.context).network
    yield clipped
    deletion = create("pass", PASSES, "delete-groups")
    way = [network for network, _ in deletion.walk(clipped, job.context)]
    stride = max(1, len(way) / max(points - 2, 1))
    for number in range(min(points - 2, len(way))):
        yield deletion.recovered(way[min(len(way) - 1, round((number + 1) * stride) - 1)], job.context)[0]


def _write_point(job: Job, number: int, network: Network, folder: Path) -> Point:
    path = folder / f"point-{number:02d}.onnx"
    network.save(path)
    written = Network.load(path)
    now = footprint(written, job.context.mapping)
    score = job.judge.measure(path).accuracy[0].after
    return Point(now.cells, now.tiles, now.wires, score, path.name)


def _not_dominated(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in cells, wires and score at once, the largest first.

    >>> a, b = Point(10, 1, 10, 99.0, "a"), Point(12, 1, 11, 98.0, "b")
    >>> [p.file for p in _not_dominated([a, b])]
    ['a']
    """

    def beats(q: Point, p: Point) -> bool:
        no_worse = q.cells <= p.cells and q.wires <= p.wires and q.score >= p.score
        return no_worse and (q.cells, q.wires, -q.score) != (p.cells, p.wires, -p.score)

    return sorted((p for p in points if not any(beats(q, p) for q in points)), key=lambda p: -p.cells)


def _write_files(folder: Path, name: str, points: Sequence[Point]) -> None:
    rows = [asdict(point) for point in points]
    (folder / "frontier.json").write_text(
        json.dumps({"model": name, "points": rows}, indent=1) + "\n", "utf-8"
    )
    with (folder / "frontier.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Point)])
        writer.writeheader()
        writer.writerows(rows)
    figures = [(p.cells, p.wires, p.score) for p in points]
    (folder / "frontier.svg").write_text(frontier_svg(name, figures), "utf-8")


def _compile_point(job: Job, folder: Path, point: Point) -> None:
    network = Network.load(folder / point.file)
    change = Change("all layers", "taken from the frontier", "", point.file)
    finish(
        job, PassResult(network, (change,)), [], folder / f"{Path(point.file).stem}.gscompile", force=False
    )
