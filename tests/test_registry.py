"""Names and options become passes and formats; mistakes are one line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from gscompile.declaration import option
from gscompile.errors import UsageError
from gscompile.passes import PASSES
from gscompile.passes.drop_dead_units import DropDeadUnits
from gscompile.passes.rank_clip import RankClip
from gscompile.registry import create
from gscompile.targets import FORMATS


@dataclass(frozen=True)
class Sample:
    """One option of each kind."""

    mode: Literal["fast", "good"] = "fast"
    share: float = option(0.5, "A part.", minimum=0, maximum=1)
    steps: int = 3
    loud: bool = False
    note: str | None = None


TABLE = {"sample": f"{__name__}:Sample", "other": "no.such.module:Thing"}


def test_options_are_read_by_their_types() -> None:
    assert create("pass", TABLE, "sample") == Sample()
    assert create("pass", TABLE, "sample:mode=good,share=0.2,steps=7,loud=yes,note=a=b") == Sample(
        "good", 0.2, 7, True, "a=b"
    )
    assert create("pass", PASSES, "rank-clip:method=pca,epsilon=0.1,ranks=5/12/36") == RankClip(
        "pca", epsilon=0.1, ranks="5/12/36"
    )


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    assert create("pass", TABLE, "sample")  # `other` would fail
    assert "no.such.module" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smaple", r"pass 'smaple': unknown \(did you mean 'sample'\?\); there are sample, other"),
        ("sample:step=1", r"pass 'sample': option 'step=1'.*write one of loud, mode, note, share, steps"),
        ("sample:steps", "pass 'sample': option 'steps'"),
        ("sample:steps=1.5", "pass 'sample': option 'steps': '1.5' is not a whole number"),
        ("sample:share=much", "'much' is not a number"),
        ("sample:share=2", r"option 'share': '2' must be from 0 to 1"),
        ("sample:share=nan", r"option 'share': 'nan' must be from 0 to 1"),
        ("sample:mode=bad", "'bad'; expected one of fast, good"),
        ("sample:loud=1", "'1'; expected true or false"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_do(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        create("pass", TABLE, spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "table"), [("pass", PASSES), ("format", FORMATS)])
def test_everything_in_the_tables_can_be_made_and_knows_its_name(kind: str, table: dict[str, str]) -> None:
    for name in table:
        assert create(kind, table, name).name == name


def test_a_pass_is_a_value() -> None:
    assert DropDeadUnits() == DropDeadUnits()
    assert "epsilon=0.03" in repr(RankClip())


def test_former_names_of_options_are_accepted() -> None:
    former = "recover=2,heat=1,least=0.1,slack=3,ranks=no,normalize=no"
    names = (
        "recovery_epochs=2,recovery_lr_scale=1,min_step=0.1,curve_slack=3,allow_rank_clipping=no,reinsert_batch_norm=no"
    )
    assert create("pass", PASSES, f"delete-groups:{former}") == create("pass", PASSES, f"delete-groups:{names}")
    assert create("pass", PASSES, "rank-clip:reach=2,every=5,stop=0.5") == RankClip(
        max_drop_per_round=2, clip_every_steps=5, clip_until_fraction=0.5
    )
    with pytest.raises(UsageError, match="option 'recover=1': recovery_epochs is given twice"):
        create("pass", PASSES, "delete-groups:recovery_epochs=2,recover=1")
