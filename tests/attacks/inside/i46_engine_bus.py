"""I46: local sockets from the engine."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused
from tests.attacks.registry import DOOR, Seen, Skip, attack
from tests.attacks.stage import Stage


def speaks(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import glob
    import os
    import socket

    from planted_code import dbus

    def native(path: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        made = libc.socket(1, 1, 0)
        address = b"\1\0" + path.encode() + b"\0"
        if made < 0 or libc.connect(made, address, len(address)) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    def plain(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(path)

    here.attempt("session bus", lambda: dbus.connect(here.given["bus"]).close())
    for path in (here.given["bus"], *here.given["sockets"], *glob.glob("/run/*/*sock*")[:20], *glob.glob("/tmp/.X11-unix/*")[:3]):
        here.attempt(f"native {path}", lambda path=path: native(path))
        here.attempt(f"plain {path}", lambda path=path: plain(path))
    for name in ("/tmp/.X11-unix/X0", "/tmp/dbus-planted"):
        here.attempt(f"abstract {name}", lambda name=name: plain("\0" + name))
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            here.attempt(f"{number} to the bus", lambda number=number: socket.socket(fileno=os.dup(number)).connect(here.given["bus"]))


@attack("I46", "engine connects to the session bus, the screen, system services and our own channels", promise=DOOR, expected="refused")
def engine_bus(stage: Stage) -> Seen:
    """Each of them leads to a program without a lock."""
    one = taken(stage)
    if one.bus is None:
        raise Skip("there is no dbus-daemon here")
    before = len(one.bus.called)
    seen = refused(one.run(speaks, bus=str(one.bus.path), sockets=[str(one.runtime / name) for name in ("control.sock", "instance.sock")]))
    called = one.bus.called[before:]
    return Seen(seen.held and not called, f"called {called}" if called else seen.observed)
