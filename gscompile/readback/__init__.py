"""Emitted netlists read back and compared with netlist.json, one file a format; a new format is one line here."""

READERS = {
    "verilog": "gscompile.readback.verilog",
    "yosys": "gscompile.readback.yosys",
    "spice": "gscompile.readback.spice",
    "lefdef": "gscompile.readback.lefdef",
    "dot": "gscompile.readback.dot",
}
