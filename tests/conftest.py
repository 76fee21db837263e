"""What many tests share: the folder of real data and networks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import checkout

os.environ.update(checkout.environment())

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with published data and networks, GSCOMPILE_SHARED or ../shared."""
    folder = Path(os.environ.get("GSCOMPILE_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set GSCOMPILE_SHARED to the folder with data/ and models/")
    return folder
