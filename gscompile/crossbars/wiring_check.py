"""Check that a netlist joins matrices, ports, buses and blocks as its network asks, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gscompile.crossbars.digital_blocks import wire_up
from gscompile.crossbars.netlist import Netlist
from gscompile.errors import VerificationError
from gscompile.graph.network import Network

Parts = Mapping[str, Mapping[str, Any]]  # name -> its attributes in the netlist


def check_wiring(network: Network, netlist: Netlist) -> None:
    """Raise VerificationError, naming the place, unless the netlist has the digital side of `network`.

    A netlist may be well formed and still join the wrong things: two buses exchanged, a block left out.
    """
    wiring = wire_up(network)
    sides = {m.name: {"inputs on": m.input_bus, "outputs on": m.output_bus} for m in netlist.matrices}
    asked = {name: {"inputs on": a, "outputs on": b} for name, (a, b) in wiring.sides.items()}
    _compare("matrix", sides, asked)
    for direction in ("input", "output"):
        found, wanted = ([p for p in ports if p.direction == direction] for ports in (netlist.ports, wiring.ports))
        _compare(f"{direction} port", _by_name(found), _by_name(wanted))
    _compare("bus", _by_name(netlist.buses), _by_name(wiring.buses))
    _compare("block", _by_name(netlist.blocks), _by_name(wiring.blocks))


def _by_name(parts: Any) -> Parts:
    return {part.name: {k: v for k, v in vars(part).items() if k != "name"} for part in parts}


def _compare(kind: str, found: Parts, wanted: Parts) -> None:
    for name in (*wanted, *found):
        if name not in found:
            raise VerificationError(f"{kind} {name!r}: missing from the netlist; model.onnx asks for it")
        if name not in wanted:
            raise VerificationError(f"{kind} {name!r}: model.onnx asks for none of that name")
        for what, value in wanted[name].items():
            if found[name][what] != value:
                raise VerificationError(
                    f"{kind} {name!r}: {what} {_short(found[name][what])}; model.onnx asks for {_short(value)}"
                )


def _short(value: Any) -> str:
    text = ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
    text = text or "nothing"
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-16:]}"
