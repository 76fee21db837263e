"""The channel width that a placed netlist needs, found by routing it with nextpnr-generic (Debian).

The described fabric is a grid of squares with W tracks between neighbours. A net has one terminal in each square that
holds a pin of it; the first terminal drives, the others listen. A terminal reaches some of the tracks at its square.
Where tracks meet, each track continues straight, and turns into the track of its own number or the next. The routes are
read back and followed: the exit code of the router is not taken as proof.

The fabric is a grid of squares with W tracks between neighbours. A net has one terminal in each square that
holds a pin of it; the first drives, the others listen. A terminal reaches some of the tracks at its square;
where tracks meet, each goes on straight, and turns into the track of its own number or the next. That there
are no failed routes is not believed: the routes are read back and followed.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gscompile.crossbars.netlist import Netlist
from gscompile.errors import OutputError, UsageError
from gscompile.hardware.floorplan import Floorplan
from gscompile.placement.congestion import Squares, net_squares

REACH = 6  # tracks of each side that a terminal reaches, evenly spread
PROGRAM = "nextpnr-generic"
_MEGABYTES = 4096
_MIN_TRY_SECONDS = 0.5  # shortest try; starting nextpnr alone takes some tenths of a second
_WIDEST = 4096  # most tracks in a channel that are tried

_FABRIC = """
import json
with open(DATA) as file:
    data = json.load(file)
cols, rows, width, reach = data["cols"], data["rows"], data["width"], data["reach"]
ctx.setDelayScaling(1.0, 0.5)
near, far = ctx.getDelayFromNS(0.1), ctx.getDelayFromNS(1.0)

def sides(x, y):
    found = {}
    if x + 1 < cols: found["e"] = "X%d/Y%d/h" % (x, y)
    if x > 0: found["w"] = "X%d/Y%d/h" % (x - 1, y)
    if y + 1 < rows: found["n"] = "X%d/Y%d/v" % (x, y)
    if y > 0: found["s"] = "X%d/Y%d/v" % (x, y - 1)
    return found

def pip(x, y, source, sink, delay):
    ctx.addPip(name="X%d/Y%d/%s>%s" % (x, y, source.replace("/", "."), sink.replace("/", ".")), type="p",
               srcWire=source, dstWire=sink, delay=delay, loc=Loc(x, y, 0))

for y in range(rows):
    for x in range(cols):
        for side, name in sides(x, y).items():
            if side in "en":
                for t in range(width):
                    ctx.addWire(name="%s%d" % (name, t), type="t", x=x, y=y)
for y in range(rows):
    for x in range(cols):
        around = sides(x, y)
        for a in around:
            for b in around:
                if a == b: continue
                straight = a + b in ("ew", "we", "ns", "sn")
                for t in range(width):
                    for u in {t} if straight else {t, (t + 1) % width}:
                        pip(x, y, "%s%d" % (around[a], t), "%s%d" % (around[b], u), far)
for number, (x, y, kind) in enumerate(data["terminals"]):
    bel = wire = "X%d/Y%d/b%d" % (x, y, number)
    ctx.addWire(name=wire, type=kind, x=x, y=y)
    ctx.addBel(name=bel, type=kind, loc=Loc(x, y, number), gb=False, hidden=False)
    if kind == "DRIVE": ctx.addBelOutput(bel=bel, name="O", wire=wire)
    else: ctx.addBelInput(bel=bel, name="I", wire=wire)
    for name in sides(x, y).values():
        for t in {(number + k * width // reach) % width for k in range(min(reach, width))}:
            track = "%s%d" % (name, t)
            if kind == "DRIVE": pip(x, y, wire, track, near)
            else: pip(x, y, track, wire, near)
"""


@dataclass(frozen=True)
class ChannelWidth:
    """The smallest width that routed, and the largest width that did not route in the time that it was given."""

    routed: int
    failed: int
    nets: int
    squares: int

    def to_json(self) -> dict[str, int]:
        """Return plain data in a stable order."""
        return {"routed": self.routed, "failed": self.failed, "nets": self.nets, "squares": self.squares}


def channel_width(
    netlist: Netlist,
    plan: Floorplan,
    seconds: int = 20,
    start: int = 16,
    close: float = 0.1,
    say: Callable[[str], None] = lambda _: None,
) -> ChannelWidth:
    """Search for the channel width: double it until it routes, then halve the interval until it is within `close`.

    The search ends after `seconds`. A try gets half of the remaining time, because the router does not stop by itself
    when the channel is too narrow. Raises UsageError if nextpnr-generic is not installed, or if no width has routed in
    time.
    """
    check_router()
    grid = net_squares(netlist, plan)
    nets = [squares for squares in grid.nets if len(squares) > 1]
    deadline = time.monotonic() + seconds
    failed, routed = 0, start
    while nets and not _told(grid, nets, routed, deadline, say):
        failed, routed = routed, 2 * routed
        if _left(deadline) < _MIN_TRY_SECONDS or routed > _WIDEST:
            raise UsageError(
                f"routing: no channel of up to {failed:,} tracks was routed within {seconds} s; "
                "expected one: give more --route-seconds"
            )
    while nets and routed - failed > max(close * routed, 1) and _left(deadline) >= _MIN_TRY_SECONDS:
        middle = (routed + failed) // 2
        routed, failed = (middle, failed) if _told(grid, nets, middle, deadline, say) else (routed, middle)
    return ChannelWidth(routed, failed, len(nets), grid.rows * grid.cols)


def _left(deadline: float) -> float:
    return deadline - time.monotonic()


def _told(
    grid: Squares, nets: Sequence[tuple[int, ...]], width: int, deadline: float, say: Callable[[str], None]
) -> bool:
    say(f"routing {len(nets):,} nets on {width:,} tracks a channel")
    return routes(grid, nets, width, _left(deadline) / 2)


def check_router() -> None:
    """Raise UsageError where nextpnr-generic is not installed."""
    if shutil.which(PROGRAM) is None:
        raise UsageError(f"routing: {PROGRAM} is not installed; apt-get install {PROGRAM}")


def routes(grid: Squares, nets: Sequence[tuple[int, ...]], width: int, seconds: float) -> bool:
    """Return whether every net is routed on channels of `width` tracks within `seconds`; the routes are checked.

    Raises OutputError if there is no room for temporary files.
    """
    try:
        with TemporaryDirectory() as name:
            return _routes_in(Path(name), grid, nets, width, seconds)
    except OSError as problem:
        raise OutputError(f"routing: temporary files cannot be written: {problem.strerror or problem}") from problem


def _routes_in(folder: Path, grid: Squares, nets: Sequence[tuple[int, ...]], width: int, seconds: float) -> bool:
    terminals = list(_terminals(grid, nets))
    fabric = {"cols": grid.cols, "rows": grid.rows, "width": width, "reach": REACH, "terminals": terminals}
    (folder / "data.json").write_text(json.dumps(fabric))
    (folder / "fabric.py").write_text(f"DATA = {str(folder / 'data.json')!r}\n{_FABRIC}")
    (folder / "nets.json").write_text(json.dumps(_design(terminals, nets)))
    command = [PROGRAM, "-q", "--pre-pack", "fabric.py", "--json", "nets.json"]
    command += ["--router", "router2", "--write", "routed.json"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, preexec_fn=_bound, check=False, timeout=max(seconds, 0.0)
        )
    except subprocess.TimeoutExpired:
        return False
    except subprocess.SubprocessError as error:
        raise UsageError(f"routing: {PROGRAM} cannot be started ({error})") from error
    return done.returncode == 0 and _is_routed(folder / "routed.json", terminals, nets)


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEGABYTES << 20, _MEGABYTES << 20))


def _terminals(grid: Squares, nets: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, int, str]]:
    """Yield x, y and kind of each terminal, net by net, with the driver first."""
    for squares in nets:
        for number, square in enumerate(squares):
            yield square % grid.cols, square // grid.cols, "LISTEN" if number else "DRIVE"


def _bel(number: int, terminal: tuple[int, int, str]) -> str:
    return f"X{terminal[0]}/Y{terminal[1]}/b{number}"


def _design(terminals: Sequence[tuple[int, int, str]], nets: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """Return the Yosys JSON of terminals as cells, each fixed to its place."""
    cells, number = {}, 0
    for bit, squares in enumerate(nets, 2):
        for _ in squares:
            terminal = terminals[number]
            port, direction = ("O", "output") if terminal[2] == "DRIVE" else ("I", "input")
            cells[f"c{number}"] = {
                "type": terminal[2],
                "parameters": {},
                "attributes": {"BEL": _bel(number, terminal)},
                "port_directions": {port: direction},
                "connections": {port: [bit]},
            }
            number += 1
    names = {f"n{bit}": {"bits": [bit], "attributes": {}} for bit in range(2, len(nets) + 2)}
    top = {"attributes": {"top": f"{1:032b}"}, "ports": {}, "cells": cells, "netnames": names}
    return {"creator": "gscompile", "modules": {"top": top}}


# -- read back ---------------------------------------------------------------------------------------------


def _is_routed(path: Path, terminals: Sequence[tuple[int, int, str]], nets: Sequence[tuple[int, ...]]) -> bool:
    """Follow every net from its driver to every listener, over tracks that no other net uses."""
    if not path.exists():
        return False
    found = json.loads(path.read_text())["modules"]["top"]["netnames"]
    taken, number = set[str](), 0
    for bit, squares in enumerate(nets, 2):
        ends = [_bel(number + i, terminals[number + i]) for i in range(len(squares))]
        number += len(squares)
        steps = routing_steps(found[f"n{bit}"]["attributes"].get("ROUTING", ""))
        tracks = {wire for wire, _ in steps}
        if not all(leads_to(end, ends[0], dict(steps)) for end in ends[1:]) or tracks & taken:
            return False
        taken |= tracks
    return True


def routing_steps(routing: str) -> list[tuple[str, str]]:
    """Return the steps of a route as (wire, the wire before it), from nextpnr's `wire;pip;strength` triples."""
    words = routing.split(";")
    pairs = zip(words[::3], words[1::3], strict=False)
    return [(wire, _source(pip)) for wire, pip in pairs if wire]


def _source(pip: str) -> str:
    return pip.split("/", 2)[2].split(">")[0].replace(".", "/") if pip else ""


def leads_to(wire: str, driver: str, before: dict[str, str]) -> bool:
    """Return whether following `before` from `wire` reaches `driver`, without going in circles."""
    for _ in range(len(before) + 1):
        if wire == driver:
            return True
        wire = before.get(wire, "")
    return False
