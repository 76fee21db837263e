"""Hardware descriptions (`*.toml`) and output formats, one file each; a new format is one line here."""

from __future__ import annotations

FORMATS = {
    "verilog": "gscompile.targets.verilog:Verilog",
    "yosys": "gscompile.targets.yosys:Yosys",
    "spice": "gscompile.targets.spice:Spice",
    "lefdef": "gscompile.targets.lefdef:LefDef",
    "dot": "gscompile.targets.dot:Dot",
}
