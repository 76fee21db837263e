"""Options are checked when they are made; a file of them says which is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gscompile.cli import main
from gscompile.command_options import OptionGroup
from gscompile.errors import UsageError
from gscompile.options import COMMANDS, Options, options_of, read_config, terminal_options_of
from gscompile.training.checkpoint import key_of


def config(folder: Path, text: str) -> dict[str, Any]:
    (folder / "c.toml").write_text(text, "utf-8")
    return read_config(folder / "c.toml")


def test_a_file_may_hold_every_kind_of_option(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        'crossbar = "32x32"\nmax-drop = 1\nmax_error = 0.1\nseed = 3\nstrict = true\nemit = ["dot"]\nthreads = 2\n',
    )
    options = Options(**found)
    assert (options.crossbar, options.max_drop, options.seed, options.strict) == ("32x32", 1, 3, True)
    assert (options.emit, options.threads, options.max_output_error) == (("dot",), 2, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "option 'colour' is unknown$"),
        ("max-dorp = 1", r"option 'max-dorp' is unknown \(did you mean 'max-drop'\?\)"),
        ("max-drop = '1'", "option 'max-drop' is '1'; expected a number"),
        ("seed = 1.5", "option 'seed' is 1.5; expected a whole number"),
        ("seed = true", "option 'seed' is True; expected a whole number"),
        ("strict = 1", "option 'strict' is 1; expected true or false"),
        ("crossbar = 64", "option 'crossbar' is 64; expected ROWSxCOLS"),
        ("emit = 'dot'", "option 'emit' is 'dot'; expected a list of texts"),
        ("emit = [1]", r"option 'emit' is \[1\]; expected a list of texts"),
        ("threads = 'all'", "option 'threads' is 'all'; expected a whole number"),
        ("[crossbar]\nrows = 1", "option 'crossbar' is"),
        ("threads = 0", "threads 0: must be at least 1"),
        ("tiling = 'round'", "tiling 'round': expected one of full, equal"),
        ("target = 5", "option 'target' is 5; expected the name of a target, or the path of a .toml file"),
        ("seed = ", "not TOML"),
        ("seed = 1\nseed = 2", "not TOML"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_option(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        config(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'c.toml'}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crossbar": "64"}, "crossbar size '64'"),
        ({"tiling": "round"}, "tiling 'round': expected one of full, equal"),
        ({"effort": "huge"}, "effort 'huge': expected one of quick, standard, max"),
        ({"max_drop": -1.0}, "max-drop -1.0: must be at least 0"),
        ({"finetune": "some"}, "finetune 'some': expected one of none, blocks, full"),
        ({"finetune": "none", "data": "x.npz", "teacher": "t.onnx"}, "--teacher needs --finetune full"),
        ({"finetune": "none", "data": "x.npz", "nproc": 2}, "expected --nproc 1, found 2"),
        ({"max_drop": float("nan")}, "max-drop nan"),
        ({"max_cells": "half"}, "max-cells 'half': expected a number or a percentage, as in 50000 or 40%"),
        ({"max_tiles": "-5"}, "max-tiles '-5': expected a number"),
        ({"max_wires": "120%"}, "max-wires '120%': must be at most 100%"),
        ({"max_output_error": float("inf")}, "max-output-error inf"),
        ({"epochs_per_round": 0.0}, "epochs-per-round 0.0"),
        ({"lr": float("nan")}, "lr nan"),
        ({"batch_size": 0}, "batch-size 0"),
        ({"threads": 0}, "threads 0: must be at least 1"),
        ({"seed": -1}, "seed -1"),
        ({"val": "x.npz"}, "--val needs --data"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**wrong)


def test_a_report_prints_options_as_plain_data() -> None:
    plain = Options(data={"x": 1}, val=Path("a.npz"), emit=("dot",)).plain()
    assert (plain["data"], plain["val"], plain["emit"], plain["threads"]) == (
        "<dict>",
        "a.npz",
        ["dot"],
        None,
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_drop": "1"}, "option 'max_drop' is '1'; expected a number"),
        ({"seed": 1.5}, "option 'seed' is 1.5; expected a whole number"),
        ({"passes": "rank-clip"}, "option 'passes' is 'rank-clip'; expected a list of texts"),
        ({"crossbar": (64,)}, r"option 'crossbar' is \(64,\); expected ROWSxCOLS"),
    ],
)
def test_a_value_of_a_wrong_type_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**wrong)


def test_any_loss_is_allowed_where_only_a_size_is_asked_for() -> None:
    asked: dict[str, Any] = {"data": "x.npz", "finetune": "none", "max_cells": "40%"}
    assert (Options().max_drop, Options().drop) == (0.0, 0.0)
    assert (Options(**asked).max_drop, Options(**asked).drop) == (None, float("inf"))
    assert Options(max_drop=1.0, **asked).drop == 1.0
    assert Options(minimize="wires", **asked).priced_by == "cells"
    assert Options(minimize="wires", max_tiles=9, **asked).priced_by == "wires"


def test_a_pair_is_a_crossbar() -> None:
    assert Options(crossbar=(8, 16)).plain()["crossbar"] == "8x16"


def test_a_byte_order_mark_is_passed_over_and_deep_brackets_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfseed = 3\n")
    assert read_config(tmp_path / "c.toml") == {"seed": 3}
    with pytest.raises(UsageError, match="its brackets are nested too deeply"):
        config(tmp_path, "a=" + "[" * 5000)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_lists_every_option_in_the_group_it_is_declared_in(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"], terminal_width=1000).stdout
    sections = dict(re.findall(r"^(\S.*):\n((?:  .*\n)+)", shown, re.MULTILINE))
    declared = {**options_of(command), **terminal_options_of(command)}
    for each in declared.values():
        assert each.about.help, each.name
        assert each.about.help in sections[each.about.group], each.name
    assert sections.keys() == {each.about.group for each in declared.values()} | {OptionGroup.GENERAL}


def test_help_shows_choices_bounds_and_defaults() -> None:
    shown = CliRunner().invoke(main, ["compile", "--help"], terminal_width=1000).stdout
    for words in (
        "--effort [quick|standard|max]",
        "[default: standard]",
        "in standard errors of the score.  [default: 0.0; x>=0]",
        "Learning rate.  [default: (found by trials); x>=1e-12]",
        "[default: rank-clip, delete-groups, drop-dead-units]",
    ):
        assert words in shown


def test_a_checkpoint_is_of_the_options_that_affect_training() -> None:
    def key(**options: Any) -> str:
        return key_of([], Options(**options), [])

    same: list[dict[str, Any]] = [{"emit": ["dot"]}, {"threads": 2}, {"strict": True}, {"time_budget": "1h"}]
    assert {key(), *(key(**options) for options in same)} == {key()}
    other: list[dict[str, Any]] = [{"seed": 1}, {"max_drop": 2.0}, {"crossbar": "8x8"}, {"passes": ["rank-clip"]}]
    assert len({key(), *(key(**options) for options in other)}) == 5


def test_a_file_may_be_shared_by_compile_and_frontier(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("strict = true\nmax-drop = -1\n")
    done = CliRunner().invoke(main, ["frontier", "none.onnx", "--config", str(tmp_path / "c.toml")])
    assert "max-drop -1: must be at least 0" in done.stderr  # and nothing about `strict`, which is of compile


def test_former_names_are_accepted_in_a_file(tmp_path: Path) -> None:
    found = config(tmp_path, "eval = 'v.npz'\nmax-error = 0.1\nepochs = 2\n")
    assert found == {"val": "v.npz", "max_output_error": 0.1, "epochs_per_round": 2}
    with pytest.raises(UsageError, match="option 'eval' is given twice, once as 'val'"):
        config(tmp_path, "val = 'v.npz'\neval = 'v.npz'\n")


def test_former_names_are_accepted_on_the_command_line_and_not_in_its_help() -> None:
    done = CliRunner().invoke(main, ["none.onnx", "--eval", "v.npz"])
    assert done.stderr == "gscompile: --val needs --data: without training data nothing is tuned\n"
    done = CliRunner().invoke(main, ["none.onnx", "--max-error", "-1"])
    assert done.stderr == "gscompile: max-output-error -1.0: must be at least 0\n"
    done = CliRunner().invoke(main, ["none.onnx", "--epochs", "many"])
    assert done.stderr == "gscompile: Invalid value for '--epochs-per-round': 'many' is not a valid float.\n"
    shown = CliRunner().invoke(main, ["compile", "--help"]).stdout
    assert "--val DATA" in shown
    assert not re.findall(r"--eval|--max-error|--epochs ", shown)
