"""Hardware descriptions: three ship, each number has a source, mistakes are one clear line."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.errors import TargetError
from gscompile.hardware.target import load_target, shipped_targets


def text_of(name: str) -> str:
    return files("gscompile.targets").joinpath(f"{name}.toml").read_text("utf-8")


def test_three_descriptions_ship() -> None:
    assert shipped_targets() == ("group_scissor", "macro_128", "rram_45nm")
    assert load_target().size == Crossbar(64, 64)
    assert load_target("macro_128").crossbar.fixed
    assert load_target("group_scissor").periphery is None


def test_a_cell_of_4_f2_at_80_nm_is_a_square_of_160_nm() -> None:
    assert load_target("group_scissor").pitch_um == pytest.approx(0.16)
    assert load_target("rram_45nm").pitch_um == pytest.approx((2 * 48) ** 0.5 * 0.08)


@pytest.mark.parametrize("name", ["group_scissor", "macro_128", "rram_45nm"])
def test_every_number_has_a_source_beside_it(name: str) -> None:
    numbers = [line for line in text_of(name).splitlines() if re.match(r"\w+ = [\d.]", line)]
    assert len(numbers) > 10
    known = r"# (Group Scissor|DNN\+NeuroSim 1\.4|ISAAC\b|estimate: \w+(?: [^ ]+){2,})"
    assert [line for line in numbers if not re.search(known, line)] == []


def test_the_crossbar_size_can_be_replaced() -> None:
    assert load_target("rram_45nm").with_crossbar(Crossbar(32, 16)).size == Crossbar(32, 16)


WRONG = {
    "unknown key": ("rows = 64", "rwos = 64", r"crossbar\.rwos: unknown \(did you mean 'rows'\?\)"),
    "wrong unit": ("read_ns = 10.0", "read_us = 0.01", r"device\.read_us: this is given as 'read_ns'"),
    "impossible": ("rows = 64", "rows = 0", r"crossbar\.rows = 0 is impossible; from 1 to 1e\+06"),
    "negative": ("area_f2 = 4.0", "area_f2 = -4.0", r"cell\.area_f2 = -4 is impossible"),
    "infinite": ("off_ohm = 1.7e6", "off_ohm = inf", r"device\.off_ohm = inf is impossible"),
    "nan": ("off_ohm = 1.7e6", "off_ohm = nan", r"device\.off_ohm = nan is impossible"),
    "text": ("rows = 64", 'rows = "64"', r"crossbar\.rows = '64' is not a whole number"),
    "fraction": ("rows = 64", "rows = 64.5", r"crossbar\.rows = 64\.5 is not a whole number"),
    "boolean": ("rows = 64", "rows = true", r"crossbar\.rows = True is not a whole number"),
    "order": ("off_ohm = 1.7e6", "off_ohm = 10", r"off_ohm 10 must exceed on_ohm 100000"),
    "no TOML": ("rows = 64", "rows 64", "not TOML"),
    "unknown table": ("[wire]", "[wires]", r"wires: unknown \(did you mean 'wire'\?\)"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_one_line_that_names_the_key(mistake: str, tmp_path: Path) -> None:
    old, new, message = WRONG[mistake]
    text = text_of("group_scissor")
    assert old in text
    (tmp_path / "my.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(TargetError, match=message) as caught:
        load_target(tmp_path / "my.toml")
    assert "\n" not in str(caught.value)


def test_a_missing_table_file_or_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('name = "x"\ndescription = "y"\n')
    for target, message in (
        (tmp_path / "my.toml", "crossbar is missing"),
        (tmp_path / "none.toml", "cannot be read"),
        ("macro128", r"unknown \(did you mean 'macro_128'\?\); a \.toml file or one of group_scissor"),
    ):
        with pytest.raises(TargetError, match=message):
            load_target(target)


@pytest.mark.parametrize(
    ("target", "rho", "aspect", "width", "barrier", "without_barrier"),
    [
        ("group_scissor", 23.7, 1.7, 80, 5, 2.18),
        ("rram_45nm", 23.7, 1.7, 80, 5, 2.18),
        ("macro_128", 26.3, 1.8, 56, 4, 4.66),
    ],
)
def test_wires_have_the_resistance_of_the_formula_they_cite(
    target: str, rho: float, aspect: float, width: float, barrier: float, without_barrier: float
) -> None:
    """Copper of `rho` ohm nm in lines of `width` x `width` `aspect` nm^2; a barrier takes part of their section.

    R = 1000 rho / (w^2 AR) ohm per um, over the part of the section that is copper.
    """
    bare = 1000 * rho / (width**2 * aspect)
    copper = 1 - (2 * aspect + 1) * barrier / (aspect * width)
    assert bare == pytest.approx(without_barrier, abs=0.005)
    assert load_target(target).wire.resistance_ohm_per_um == pytest.approx(bare / copper, abs=0.005)
