"""What every test can ask for: the `--slow` switch, a data folder of its own, and the local upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import disks
from tests.upstream import Upstream, upstream


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long campaigns too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a long campaign: runs with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data folder that only this user can open."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    yield from disks.small_disk(tmp_path / "small")


@pytest.fixture
def up() -> Iterator[Upstream]:
    """A local provider that speaks the OpenAI and Anthropic dialects, for one test."""
    with upstream() as server:
        yield server
