"""Typical architectures, written small, which torch exports in its two ways.

Weights are random but fixed; what counts is the graph that an exporter makes of each.
"""

from __future__ import annotations

from tests.zoo.exports import STYLES, export
from tests.zoo.other import OTHER
from tests.zoo.recipe import Recipe
from tests.zoo.sequences import SEQUENCES
from tests.zoo.vision import VISION

__all__ = ["RECIPES", "STYLES", "Recipe", "export"]

RECIPES: dict[str, Recipe] = {**VISION, **SEQUENCES, **OTHER}
