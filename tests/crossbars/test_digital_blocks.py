"""Between the matrices: blocks that do not wait for each other in a circle, buses with one driver, ports connected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.digital_blocks import Wiring, wire_up
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist import check
from tests.small_networks import network

NETS = {
    "a product": "g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }",
    "two factors": """g (float[n,4] x) => (float[n,3] y) <float[4,2] u, float[2,3] v>
        { h = MatMul (x, u)  y = MatMul (h, v) }""",
    "residual": """g (float[n,4] x) => (float[n,4] y) <float[4,4] a, float[4,4] b>
        { h = MatMul (x, a)  r = Relu (h)  k = MatMul (r, b)  s = Add (k, x)  t = Add (s, r)  y = Relu (t) }""",
    "branches of unequal depth": """g (float[n,4] x) => (float[n,4] y) <float[4,4] a, float[4,4] b, float[4,4] c>
        { p = MatMul (x, a)  q = Relu (p)  r = MatMul (q, b)  s = MatMul (x, c)  t = Mul (r, s)  y = Add (t, q) }""",
    "a matrix used twice": """g (float[n,4] x) => (float[n,4] y) <float[4,4] w>
        { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, w) }""",
    "a recurrent layer": """g (float[5,n,4] x) => (float[5,1,n,2] y) <float[1,8,4] w, float[1,8,2] r>
        { h = Relu (x)  y, c, d = LSTM <hidden_size = 2> (h, w, r) }""",
    "groups": "g (float[n,4,5] x) => (float[n,4,3] y) <float[4,2,3] w> { y = Conv <group = 2> (x, w) }",
    "an input that is an output": """g (float[n,4] x) => (float[n,4] y, float[n,4] z) <float[4,4] w>
        { y = MatMul (x, w)  z = Identity (x) }""",
    "an input nobody reads": "g (float[n,4] x, float[n] q) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }",
    "a constant output": "g (float[n,4] x) => (float[n,4] y, float[2] c) <float[2] c> { y = Relu (x) }",
    "a computed constant output": """g (float[n,4] x) => (float[n,4] y, float[2] d) <float[2] c>
        { y = Relu (x)  d = Neg (c) }""",
    "nothing to do": "g (float[n,4] x) => (float[n,4] y) { y = Identity (x) }",
    "a weight in a branch": """g (bool q, float[n,3] x) => (float[n,2] y) <float[3,2] a> {
        h = Relu (x)
        y = If (q) <then_branch = t () => (float[n,2] p) { p = MatMul (h, a) },
                    else_branch = e () => (float[n,2] o) { o = MatMul (x, a) }> }""",
    "a way past the weight": """g (bool q, float[n,3] x) => (float[n,3] y) <float[3,3] a> {
        y = If (q) <then_branch = t () => (float[n,3] p) { p = MatMul (x, a) },
                    else_branch = e () => (float[n,3] o) { o = Relu (x) }> }""",
    "a loop": """g (int64 n, bool c, float[m,3] x) => (float[m,3] y) <float[3,3] w> {
        y = Loop (n, c, x) <body = b (int64 i, bool d, float[m,3] h) => (bool e, float[m,3] k)
            { e = Identity (d)  l = MatMul (h, w)  k = Tanh (l) }> }""",
}


IN_TURN = ("a recurrent layer", "a matrix used twice", "a weight in a branch", "a way past the weight", "a loop")


def depends(wiring: Wiring) -> dict[str, set[str]]:
    """What drives what each block and matrix reads, by driver."""
    driver = {bus: f"block {b.name}" for b in wiring.blocks for bus in b.outputs}
    driver |= {out: f"matrix {name}" for name, (_, out) in wiring.sides.items()}
    reads = {f"block {b.name}": set(b.inputs) for b in wiring.blocks}
    reads |= {f"matrix {name}": {before} for name, (before, _) in wiring.sides.items()}
    return {reader: {driver[bus] for bus in buses if bus in driver} for reader, buses in reads.items()}


@pytest.mark.parametrize("case", NETS)
def test_every_bus_that_is_read_has_one_driver(case: str) -> None:
    check(map_network(network(NETS[case]), MapOptions(Crossbar(64, 64))))


@pytest.mark.parametrize("case", NETS)
def test_every_port_is_connected(case: str) -> None:
    net = network(NETS[case])
    wiring = wire_up(net)
    buses = {bus.name for bus in wiring.buses}
    assert {port.bus for port in wiring.ports} <= buses
    assert [p.name for p in wiring.ports] == [v.name for v in (*net.inputs, *net.outputs)]
    driven = {bus for block in wiring.blocks for bus in block.outputs} | {
        p.bus for p in wiring.ports if p.direction == "input"
    }
    assert all(port.bus in driven for port in wiring.ports if port.direction == "output")


@pytest.mark.parametrize(
    "case",
    [case for case in NETS if case not in IN_TURN],
)
def test_feed_forward_blocks_never_wait_in_a_circle(case: str) -> None:
    waiting = depends(wire_up(network(NETS[case])))
    while waiting:
        ready = {name for name, on in waiting.items() if not on & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        waiting = {name: on for name, on in waiting.items() if name not in ready}


@pytest.mark.parametrize(
    "case",
    [case for case in NETS if case not in ("an input nobody reads", "a constant output", "a computed constant output")],
)
def test_everything_lies_on_a_way_from_an_input_to_an_output(case: str) -> None:
    assert floating(wire_up(network(NETS[case]))) == set()


def floating(wiring: Wiring) -> set[str]:
    """Blocks and matrices that no way from an input or to an output leads through, and buses that nothing is on."""
    parts = {f"block {b.name}": (b.inputs, b.outputs) for b in wiring.blocks}
    parts |= {f"matrix {name}": ((before,), (after,)) for name, (before, after) in wiring.sides.items()}
    ends = {side: {p.bus for p in wiring.ports if p.direction == side} for side in ("input", "output")}
    fed = reached(parts, ends["input"])
    read = reached({name: (outs, ins) for name, (ins, outs) in parts.items()}, ends["output"])
    joined = {bus for ins, outs in parts.values() for bus in (*ins, *outs)}
    return (set(parts) - (fed & read)) | ({bus.name for bus in wiring.buses} - joined)


def reached(parts: Mapping[str, tuple[Sequence[str], Sequence[str]]], buses: set[str]) -> set[str]:
    """The parts that one comes to from the buses."""
    found, known = set[str](), set(buses)
    while new := {name for name, (ins, _) in parts.items() if name not in found and known & {*ins}}:
        found |= new
        known |= {bus for name in new for bus in parts[name][1]}
    return found


@pytest.mark.parametrize("case", ["a way past the weight", "a loop"])
def test_what_is_computed_in_turn_goes_round_through_one_block(case: str) -> None:
    """A loop's result goes back to its matrix; what a branch leaves alone reaches the output without one."""
    wiring = wire_up(network(NETS[case]))
    (block,) = wiring.blocks
    assert {"tensor:x"} | {out for _, out in wiring.sides.values()} <= {*block.inputs}
    assert {*block.outputs} == {"tensor:y"} | {before for before, _ in wiring.sides.values()}


def test_one_factor_feeds_the_next_directly() -> None:
    wiring = wire_up(network(NETS["two factors"]))
    assert wiring.sides == {"n0": ("n0.in", "n0.out"), "n1": ("n0.out", "n1.out")}
    assert [block.name for block in wiring.blocks] == ["n0:input", "n1:output"]


def test_a_bias_between_two_products_is_digital_work() -> None:
    text = """g (float[n,4] x) => (float[n,3] y) <float[4,2] u, float[2] b, float[2,3] v>
        { h = Gemm (x, u, b)  y = MatMul (h, v) }"""
    wiring = wire_up(network(text))
    assert wiring.sides["n1"] == ("n1.in", "n1.out")
    assert [(block.inputs, block.outputs) for block in wiring.blocks][1] == (("n0.out",), ("n1.in",))


def test_a_residual_block_reads_what_skips_the_matrices() -> None:
    last = wire_up(network(NETS["residual"])).blocks[-1]
    assert last.nodes == ("n2:output", "n3", "n4", "n5")
    assert set(last.inputs) == {"n2.out", "tensor:x", "tensor:r"}
    assert last.outputs == ("tensor:y",)


def test_a_matrix_used_twice_is_built_once_and_driven_by_one_block() -> None:
    wiring = wire_up(network(NETS["a matrix used twice"]))
    assert list(wiring.sides) == ["n0"]
    assert sum("n0.in" in block.outputs for block in wiring.blocks) == 1
