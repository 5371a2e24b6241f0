"""What every test can ask for: the `--slow` and `--programs` switches, a data folder of its own, and the local upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import disks, rights
from tests.upstream import Upstream, upstream


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long campaigns too")
    parser.addoption("--programs", action="store_true", help="run the real programs too, which are installed for it")
    parser.addoption(
        "--root-cases",
        choices=("few", "more"),
        help="only what an ordinary user may not do; more: nor make namespaces here (packaging/dev.py passes it, as root)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of the few cases that need root, the other files need not be imported."""
    if not config.getoption("--root-cases") or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    return None if any(word in text for word in (".needs(", "needs_root", "small_disk")) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--root-cases"):
        more = config.getoption("--root-cases") == "more"
        rest = [item for item in items if not _is_roots(item, more=more)]
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if item not in rest]
    for item in items:
        if "small_disk" in getattr(item, "fixturenames", ()):
            item.add_marker("small_disk")
        if "program" in item.keywords and not config.getoption("--programs"):
            item.add_marker(pytest.mark.skip(reason="a real program: runs with --programs"))
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="a long campaign: runs with --slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for right in rights_of(item):
        if why := rights.refused(right):
            pytest.skip(why)


def _is_roots(item: pytest.Item, *, more: bool) -> bool:
    wanted = set(rights_of(item))
    return bool(wanted & set(rights.ROOTS)) or (more and ("a network" in wanted or "small_disk" in getattr(item, "fixturenames", ())))


def rights_of(item: pytest.Item) -> list[str]:
    return [str(right) for mark in item.iter_markers("needs") for right in mark.args]


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
