"""What many tests share: the folder of real data and networks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import checkout
from tests.forked_commands import Commands, commands
from tests.gears import gear_of

os.environ.update(checkout.environment())

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m does not select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its gear."""
    for item in items:
        file = item.path.relative_to(Path(__file__).parents[1]).as_posix()
        gear = gear_of(file, item.name.partition("[")[0])
        if gear is not None:
            item.add_marker(gear)


@pytest.fixture(scope="session")
def forked() -> Iterator[Commands]:
    """A process that has imported everything, and runs command lines and scripts in copies of itself."""
    with commands() as started:
        yield started


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with published data and networks, GSCOMPILE_SHARED or ../shared."""
    folder = Path(os.environ.get("GSCOMPILE_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set GSCOMPILE_SHARED to the folder with data/ and models/")
    return folder
