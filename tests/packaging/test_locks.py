"""The lock files: complete, checked by hash, and silent about where packages come from."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("packaging/requirements.txt", "packaging/requirements-dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(lock: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Package -> its requirement and its hashes."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        parsed = Requirement(requirement)
        found[canonicalize_name(parsed.name)] = (parsed, hashes)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_and_has_hashes(lock: str) -> None:
    assert len(entries(lock)) > 30
    for requirement, hashes in entries(lock).values():
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_says_where_packages_come_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--(index|extra|find|trusted)|file:|@ ", text)
    assert not re.search(r"(^|\s)/\w", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_first_lines_say_how_anyone_makes_it_again(lock: str) -> None:
    head = (ROOT / lock).read_text().splitlines()[1]
    assert "uv pip compile pyproject.toml" in head
    assert "--universal" in head
    assert "--generate-hashes" in head
    assert "--no-emit-index-url" in head
    assert "--no-strip-extras" in head
    assert head.endswith(f"-o {lock}")


def test_a_package_that_others_want_with_extras_is_pinned_with_them() -> None:
    """pip 23 takes `name[extra]` for another package than the pinned `name`, and refuses to install once a newer release exists."""
    held, environment = entries(LOCKS[1]), default_environment()
    wanted = [
        (distribution.metadata["Name"], Requirement(text))
        for distribution in distributions()
        if canonicalize_name(distribution.metadata["Name"]) in held
        for text in distribution.requires or ()
    ]
    with_extras = [
        (by, requirement)
        for by, requirement in wanted
        if requirement.extras and (requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""}))
    ]
    assert with_extras, "google-genai wants google-auth[requests]"
    for by, requirement in with_extras:
        pinned = held[canonicalize_name(requirement.name)][0]
        assert requirement.extras <= pinned.extras, f"{by} wants {requirement}, the lock has {pinned}"


def test_the_locks_hold_what_the_project_declares() -> None:
    declared = {"packaging/requirements.txt": PROJECT["project"]["dependencies"]}
    declared["packaging/requirements-dev.txt"] = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for lock, wanted in declared.items():
        held = entries(lock)
        for text in wanted:
            requirement = Requirement(text)
            pinned = next(iter(held[canonicalize_name(requirement.name)][0].specifier)).version
            assert requirement.specifier.contains(pinned), f"{lock}: {text} is pinned to {pinned}"


def test_the_tests_lock_holds_the_apps_at_the_same_versions() -> None:
    run, test = (entries(lock) for lock in LOCKS)
    assert {name: run[name][0].specifier for name in run} == {name: test[name][0].specifier for name in run}


def test_what_the_app_must_not_bring_is_not_in_its_lock() -> None:
    assert not {"qtpy", "qtawesome", "pyside6-addons", "pyside6", "httpx", "requests", "pydantic", "litellm"} & set(entries(LOCKS[0]))
