"""The whole program, window and all, in a network of its own: not one packet to anything that was not declared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests import rights
from tests.packet.inside import METADATA, PROXIES

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("unshare", "ip", "mount", "Xvfb", "dbus-daemon", "gnome-keyring-daemon", "curl")
WAYS = {"root": ["unshare", "-nm"], "any user": ["unshare", "-Urnm"]}
RIGHTS = {"root": "a network of root's", "any user": "a network of its own"}
LEAKS = {
    "look-up", "plain TCP", "TCP by uvloop", "UDP, native", "IPv6", "mDNS", "child curl", "TCP Fast Open", "resolver socket", "D-Bus",
    "re-aimed accepted descriptor", "source route", "window: plain TCP", "window: look-up",
}  # fmt: skip


def possible(way: str) -> str:
    """ "" or why it cannot be run here."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    missing = [name for name in NEEDED if which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    why = rights.refused(RIGHTS[way])
    return why and f"NOT PROVED HERE: {why}"


def story(way: str, folder: Path, *more: str, told_by: str = "inside") -> dict[str, Any]:
    if reason := possible(way):
        pytest.skip(reason)
    result = folder / "result.json"
    done = subprocess.run(
        [*WAYS[way], sys.executable, "-m", f"tests.packet.{told_by}", str(result), *more],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    found: dict[str, Any] = json.loads(result.read_text())
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(right)) for way, right in RIGHTS.items()])
def test_no_packet_goes_to_anything_undeclared_whatever_is_planted(way: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    idle = "120" if request.config.getoption("--slow") else "6"
    found = story(way, tmp_path, "--idle", idle)

    assert found["undeclared"] == {}
    assert found["names"] == ["api.one.test", "api.two.test", "metadata.test", "mixed.test", "rebinding.test"]
    # What was declared was really used, or nothing would be proved.
    assert found["declared"]["provider"] > 40
    assert found["declared"]["resolver"] > 1
    assert found["statuses"] == [200] * 21 + [0]
    assert {"home", "clients", "providers", "activity"} <= set(found["pages"])

    misdirected(found)

    # Every planted leak was tried and none went.
    assert set(found["leaks"]) >= LEAKS
    assert [name for name, what in found["leaks"].items() if what == "went" and name != "declaration"] == []
    assert found["reached"] == []
    for name in ("re-aimed accepted descriptor", "source route"):  # both found a descriptor to try it on
        assert found["leaks"][name].startswith("PermissionError") or "[Errno 13]" in found["leaks"][name]

    # It was said: by whom, and that it stopped there.
    view, after = found["view"], found["after"]
    assert view["level"] == "desktop", view["level_reason"]  # no socket for anybody, but a window on a screen with a bus
    assert "session bus" in view["level_reason"] and "X11 screen" in view["level_reason"]
    assert {each["role"]: each["level"] for each in view["processes"]}["engine"] == "kernel"
    assert view["unexplained"] == []
    assert view["books"]["mismatches"] == []
    refused = {(each["process"], each["target"]) for each in after["refused"]}
    assert {("engine", "telemetry.vendor.example"), ("engine", "TCP over IPv4"), ("window", "window.vendor.example")} <= refused
    assert any("planted" in frame or "engine_leaks" in frame for each in after["refused"] for frame in each["stack"])

    # A host that nobody asked for is held, shown, and in the keeper's own log.
    assert [(each["subject"], each["value"]) for each in after["waiting"]] == [("extra", "https://exfiltration.example:443")]
    assert "https://api.one.test:443 was removed for “one” without a command." in after["unexplained"]
    assert {"egress.tripped", "egress.held", "egress.unexplained", "egress.level"} <= set(found["written"])
    assert "a destination is held, waits for a person as number 1: extra may be sent to https://exfiltration.example:443" in found["log"]

    # The program's own self-test says the same.
    assert [each["name"] for each in found["self_test"] if not each["good"]] == []
    assert {each["process"] for each in found["self_test"]} == {"engine", "window", "keeper"}
    assert found["exit"] == 0


def misdirected(found: dict[str, Any]) -> None:
    """What would redirect or record traffic was refused or ignored, and shown; the capture says that nothing was sent."""
    said, view = dict(found["refusals"]), found["after"]
    assert said.pop("rebinding, first") == "reached"
    assert "this machine" in said.pop("rebinding, second")
    assert "198.51.100.81, which is not followed" in said.pop("one/fault/redirect")
    assert "198.51.100.63" in said.pop("gatehouse/echo")  # hostile markup is an answer like any other, and nobody fetched from it
    assert len(said) == 2 * len(METADATA)
    for spelling, sentence in said.items():
        known = ("metadata service", "not an IP address", "disguise", "letters a to z", "on the internet")
        assert any(words in sentence for words in known), f"{spelling}: {sentence}"
    shown = {each["target"] for each in view["refused"] if each["rule"] == "metadata"}
    assert {"https://[64:ff9b::a9fe:a9fe]:443", "http://metadata.test:80", "https://mixed.test:443"} <= shown
    assert {each["rule"] for each in view["refused"]} >= {"metadata", "loopback", "tripwire"}
    assert view["refused_count"] > 2 * len(METADATA)

    suspect = {*PROXIES, "SSLKEYLOGFILE", "LD_PRELOAD"}
    assert suspect <= set(view["environment"])
    for names in found["environments"].values():
        assert not suspect & set(names)
    assert not found["tls_keys"]


@pytest.mark.needs("a network")
@pytest.mark.timeout(300)
def test_without_locks_the_same_leaks_are_seen_so_the_judge_is_not_blind(tmp_path: Path) -> None:
    way = "any user" if possible("root") else "root"
    found = story(way, tmp_path, "--unlocked", "--idle", "0")

    seen = " ".join(found["undeclared"])
    for target in (
        "198.51.100.6", "198.51.100.7", "198.51.100.8", "198.51.100.9", "198.51.100.12", "127.0.0.66", "198.51.100.71", "198.51.100.72",
    ):  # fmt: skip
        assert target in seen, f"{target} went unnoticed: {seen}"
    assert "224.0.0.251" in seen
    assert "telemetry.vendor.example" in found["names"]
    assert found["reached"] == ["leak"]
    assert found["view"]["level"] == "guarded"
    assert found["view"]["level_reason"]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(right)) for way, right in RIGHTS.items()])
def test_what_a_taken_engine_leaves_behind_sends_no_packet_either(way: str, tmp_path: Path) -> None:
    """Code in the engine plants files where a start would run them, and dies: the keeper revives it, and is started anew."""
    found = story(way, tmp_path, told_by="left_behind")

    assert found["undeclared"] == {}
    assert found["ran"] == []
    assert [place for place in found["written"] if not place.startswith("/home/data/")] == []
    # It was really tried, and what was revived is locked and works.
    assert len(found["tried"]) == 6
    refused = [name for name, what in found["tried"].items() if what.startswith("PermissionError")]
    assert len(refused) >= 4, found["tried"]
    assert {(name, each["Seccomp"], each["NoNewPrivs"]) for name, each in found["statuses"].items()} == {
        ("revived", "2", "1"), ("next start", "2", "1"),
    }  # fmt: skip
    assert found["state"] == "running"


@pytest.mark.needs("a network")
@pytest.mark.timeout(200)
def test_without_locks_what_is_left_behind_is_seen_so_the_judge_is_not_blind(tmp_path: Path) -> None:
    way = "any user" if possible("root") else "root"
    found = story(way, tmp_path, "--unlocked", told_by="left_behind")

    assert any("198.51.100.90" in where for where in found["undeclared"]), found
    assert {"zz-left.pth", "sitecustomize.py"} <= {Path(place).name for place in found["written"]}
