"""The compression passes, by the name the command line knows them by: one pass, one file, one line here."""

from __future__ import annotations

PASSES = {
    "rank-clip": "gscompile.passes.rank_clip:RankClip",
    "delete-groups": "gscompile.passes.delete_groups:DeleteGroups",
    "drop-dead-units": "gscompile.passes.drop_dead_units:DropDeadUnits",
}
