"""The tripwire in a real process: armed once, it cannot be taken off again, so each case has a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.egress.tripwire import Trip, Tripwire

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = r"""
import json, socket, sys
sys.path.insert(0, sys.argv[1])
from app.egress import tripwire
wire = tripwire.arm(sys.argv[2])
trips = []
if "--late" not in sys.argv: wire.attach(trips.append)
said = {}
def attempt(name, work):
    try:
        work()
        said[name] = "allowed"
    except tripwire.RefusedError as error:
        said[name] = "refused"
    except OSError as error:
        said[name] = type(error).__name__
listener = None
with tripwire.permitted():
    listener = socket.create_server(("127.0.0.1", 0))
place = listener.getsockname()
def telemetry():
    # as a package would, in a module of that name
    scope = {"__name__": "vendor.telemetry"}
    exec("def report(place):\n import socket\n socket.create_connection(place, 1)", scope)
    scope["report"](place)
def adopt():
    import os
    with tripwire.permitted():
        client = socket.create_connection(place, 2)
    taken, _ = listener.accept()
    socket.socket(fileno=os.dup(client.fileno())).close(); client.dup().close()
with tripwire.permitted():
    ready = [socket.socket() for _ in range(4)] + [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
attempt("adopt", adopt)
attempt("make", lambda: socket.socket().close())
attempt("connect of one made before", lambda: ready[0].connect(place))
attempt("bind anywhere of one made before", lambda: ready[1].bind(("0.0.0.0", 0)))
attempt("bind of one made before", lambda: ready[2].bind(("127.0.0.1", 0)))
attempt("udp of one made before", lambda: ready[4].sendto(b"x", ("192.0.2.1", 53)))
attempt("connect", lambda: socket.socket().connect(place))
attempt("connect_ex", lambda: socket.socket().connect_ex(place))
attempt("udp", lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
attempt("udp message", lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("192.0.2.1", 53)))
attempt("look-up", lambda: socket.getaddrinfo("leak.invalid", 443))
attempt("reverse", lambda: socket.gethostbyaddr("192.0.2.1"))
attempt("bind anywhere", lambda: socket.socket().bind(("0.0.0.0", 0)))
attempt("bind loopback", lambda: socket.socket().bind(("127.0.0.1", 0)))
attempt("program", lambda: __import__("subprocess").run(["true"]))
attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect("/nowhere"))
ends = socket.socketpair()
attempt("pair", lambda: ends[0].sendmsg([b"x"]))
attempt("vendor", telemetry)
with tripwire.permitted():
    attempt("permitted", lambda: socket.create_connection(place, 2))
attempt("again", lambda: socket.socket().connect(place))
if "--late" in sys.argv: wire.attach(trips.append)
print(json.dumps({"said": said, "trips": [trip.fields() for trip in trips]}))
"""


def run(process: str, *extra: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), process, *extra], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("process", ["keeper", "engine", "window", "vault", "writer"])
def test_only_what_the_door_does_itself_gets_through(process: str) -> None:
    said = run(process)["said"]
    assert said["adopt"] == "allowed"
    assert said["make"] == ("allowed" if process == "keeper" else "refused")
    for name in ("connect of one made before", "bind anywhere of one made before", "udp of one made before"):
        assert said[name] == "refused", name
    assert said["bind of one made before"] == ("allowed" if process == "keeper" else "refused")
    for name in ("connect", "connect_ex", "udp", "udp message", "look-up", "reverse", "bind anywhere", "vendor", "again"):
        assert said[name] == "refused", name
    assert said["permitted"] == "allowed"
    assert said["pair"] == "allowed"
    assert said["program"] == ("allowed" if process in ("keeper", "vault") else "refused")
    assert said["unix"] == ("refused" if process in ("engine", "writer") else "FileNotFoundError")
    assert said["bind loopback"] == ("allowed" if process == "keeper" else "refused")


@pytest.mark.parametrize("extra", [(), ("--late",)])
def test_a_report_names_the_modules_that_asked(extra: tuple[str, ...]) -> None:
    trips = [Trip.of(each) for each in run("engine", *extra)["trips"]]
    vendor = next(trip for trip in trips if any(frame.startswith("vendor.telemetry") for frame in trip.stack))
    assert vendor.what in ("socket", "connect", "look-up")
    assert "vendor.telemetry.report" in vendor.stack
    assert {trip.process for trip in trips} == {"engine"}
    assert {"192.0.2.1:53", "leak.invalid"} <= {trip.target for trip in trips}


def test_a_flood_is_counted_and_told_at_every_doubling() -> None:
    trips: list[Trip] = []
    wire = Tripwire("engine")
    wire.attach(trips.append)
    for _ in range(1000):
        with pytest.raises(PermissionError):
            wire.hook("socket.connect", (None, ("192.0.2.1", 80)))
    assert [trip.count for trip in trips] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    for number in range(5000):
        with pytest.raises(PermissionError):
            wire.hook("socket.getaddrinfo", (f"name-{number}.invalid",))
    assert len(trips) < 300


def test_the_one_who_reports_cannot_start_a_chain_of_reports() -> None:
    wire = Tripwire("engine")
    wire.attach(lambda trip: wire.hook("socket.connect", (None, ("192.0.2.9", 9))))
    with pytest.raises(PermissionError):
        wire.hook("socket.connect", (None, ("192.0.2.1", 80)))


@pytest.mark.parametrize(
    "message", [{}, {"process": "x"}, {"process": "x", "what": "y", "target": "z", "stack": 3, "at_us": 1, "count": 1}]
)
def test_a_report_that_is_none_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a report"):
        Trip.of(message)


def test_a_hostile_report_is_bounded() -> None:
    made = Trip.of({"process": "p" * 999, "what": "w" * 999, "target": "t" * 9999, "stack": ["s" * 999] * 99, "at_us": 1, "count": 1})
    assert len(made.target) == 300
    assert len(made.stack) == 16
    assert max(map(len, made.stack)) == 200
