"""gscompile: an ONNX network in, a smaller ONNX network and a crossbar netlist out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gscompile.version import __version__

if TYPE_CHECKING:
    from gscompile.api import Result, compile, explain, frontier, inspect, place, simulate, verify
    from gscompile.crossbars.crossbar import Crossbar, TileGrid
    from gscompile.crossbars.netlist import Netlist
    from gscompile.errors import GscompileError
    from gscompile.graph.network import Layer, Network

__all__ = ["Crossbar", "GscompileError", "Layer", "Netlist", "Network", "Result", "TileGrid", "__version__"]
__all__ += ["compile", "explain", "frontier", "inspect", "place", "simulate", "verify"]

# Imported when first asked for, so that `gscompile --help` loads neither onnx nor torch.
_HOME = {
    "Crossbar": "crossbars.crossbar",
    "GscompileError": "errors",
    "Layer": "graph.network",
    "Netlist": "crossbars.netlist",
    "Network": "graph.network",
    "Result": "api",
    "TileGrid": "crossbars.crossbar",
    "compile": "api",
    "explain": "api",
    "frontier": "api",
    "inspect": "api",
    "place": "api",
    "simulate": "api",
    "verify": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gscompile' has no attribute {name!r}")
    return getattr(import_module(f"gscompile.{_HOME[name]}"), name)
