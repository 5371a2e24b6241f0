"""Children inherit what is on a list; what could redirect or inject is found, named and dropped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import get_args

import pytest

from app.system.environment import FOLDER, Child, constructed, display, findings, has_display, scrub

HOSTILE = {
    "HTTPS_PROXY": "http://user:password@proxy.example:8080",
    "all_proxy": "socks5://x",
    "no_proxy": "*",
    "SSLKEYLOGFILE": "/tmp/keys",
    "SSL_CERT_FILE": "/tmp/ca.pem",
    "SSL_CERT_DIR": "/tmp",
    "OPENSSL_CONF": "/tmp/openssl.cnf",
    "LD_PRELOAD": "/tmp/evil.so",
    "LD_LIBRARY_PATH": "/tmp",
    "DYLD_INSERT_LIBRARIES": "/tmp/evil.dylib",
    "PYTHONPATH": "/tmp",
    "PYTHONSTARTUP": "/tmp/x.py",
    "PYTHONHTTPSVERIFY": "0",
    "QT_PLUGIN_PATH": "/tmp",
    "REQUESTS_CA_BUNDLE": "/tmp/ca.pem",
    "RES_OPTIONS": "x",
}
USUAL = {
    "HOME": "/home/ann",
    "PATH": "/usr/bin",
    "LANG": "de_DE.UTF-8",
    "LC_TIME": "C",
    "TZ": "Europe/Berlin",
    "DISPLAY": ":0",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "OPENAI_API_KEY": "sk-secret",
    "XDG_RUNTIME_DIR": "/run/user/1000",
}


@pytest.mark.parametrize("child", get_args(Child))
def test_nothing_that_redirects_or_injects_reaches_a_child(child: Child) -> None:
    made = constructed(child, HOSTILE | USUAL)
    assert not set(made) & set(HOSTILE)
    assert FOLDER not in made
    assert constructed(child, USUAL, folder=Path("/data/engine"))[FOLDER] == "/data/engine"
    assert "OPENAI_API_KEY" not in made
    assert made.get("HOME") == (None if child == "writer" else "/home/ann")
    assert made["LC_TIME"] == "C"


def test_each_child_gets_the_desktop_it_needs_and_no_more() -> None:
    assert "DBUS_SESSION_BUS_ADDRESS" not in constructed("engine", USUAL)
    assert "DISPLAY" not in constructed("engine", USUAL)
    assert constructed("vault", USUAL)["DBUS_SESSION_BUS_ADDRESS"] == USUAL["DBUS_SESSION_BUS_ADDRESS"]
    assert constructed("gui", USUAL)["DISPLAY"] == ":0"


def test_a_second_launch_says_where_the_window_appears_and_nothing_else() -> None:
    asked = {"DISPLAY": ":9", "LD_PRELOAD": "/tmp/evil.so", "HOME": "/tmp"}
    made = constructed("gui", USUAL, asked)
    assert (made["DISPLAY"], made["HOME"]) == (":9", "/home/ann")
    assert "LD_PRELOAD" not in made
    assert "DISPLAY" not in constructed("engine", USUAL, asked)
    assert display(HOSTILE | USUAL) == {name: USUAL[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY")}


def test_findings_are_names_without_values() -> None:
    found = findings(HOSTILE | USUAL)
    assert set(found) == set(HOSTILE)
    assert "password" not in " ".join(found)


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("QT_QPA_PLATFORM", "xcb", True),
        ("QT_QPA_PLATFORM", "wayland;xcb", True),
        ("QT_QPA_PLATFORM", "offscreen:configfile=/tmp/x", True),
        ("QT_QPA_PLATFORM", "", True),
        ("QT_QPA_PLATFORM", "vnc", False),
        ("QT_QPA_PLATFORM", "VNC:size=800x600:port=5900", False),
        ("QT_QPA_PLATFORM", "xcb; vnc", False),
        ("QT_IM_MODULE", "ibus", True),
        ("QT_IM_MODULE", "qtvirtualkeyboard", False),
    ],
)
def test_a_plugin_that_listens_or_brings_the_network_is_not_passed_on_and_is_shown(name: str, value: str, passes: bool) -> None:
    assert (name in constructed("gui", USUAL | {name: value})) == passes
    assert (name in constructed("gui", USUAL, {name: value})) == passes  # from a second launch
    assert (name in findings({name: value})) != passes


def test_scrubbing_removes_them_from_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://x")
    assert "https_proxy" in scrub()
    assert "https_proxy" not in os.environ


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there, a screen is always assumed")
def test_a_display_is_x_wayland_or_asked_for_by_name() -> None:
    assert not has_display({"HOME": "/"})
    assert has_display({"DISPLAY": ":0"})
    assert has_display({"WAYLAND_DISPLAY": "wayland-0"})
    assert has_display({"QT_QPA_PLATFORM": "offscreen"})
