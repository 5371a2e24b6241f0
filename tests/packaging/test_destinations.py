"""The published list of destinations is what the program says, and nothing on it is on by itself."""

from __future__ import annotations

import importlib.util
import plistlib
from pathlib import Path
from types import ModuleType

from app.providers.catalogue import KINDS

ROOT = Path(__file__).resolve().parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_destinations", ROOT / "packaging" / "make_destinations.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_files_are_what_the_program_says() -> None:
    for path, content in script().files().items():
        assert path.read_bytes() == content, f"{path.name} is old: run packaging/make_destinations.py"


def test_every_kind_is_listed_and_nothing_is_on_by_itself() -> None:
    listed = script().destinations()
    assert {each["kind"] for each in listed} == set(KINDS)
    assert not any(each["on_after_installation"] for each in listed)
    assert all(each["host"] and each["purpose"] and each["trigger"] and each["off"] for each in listed)


def test_the_policy_for_macos_names_no_local_host() -> None:
    policy = plistlib.loads(script().files()[ROOT / "packaging" / "macos" / "InternetAccessPolicy.plist"])
    hosts = [each["Host"] for each in policy["Connections"]]
    assert len(hosts) == len(set(hosts))
    assert "127.0.0.1" not in hosts
    assert "api.openai.com" in hosts
