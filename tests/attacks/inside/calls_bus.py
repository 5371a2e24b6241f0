"""The window speaks to services of the session bus; what they heard, and what the page says of the window meanwhile."""

from __future__ import annotations

from tests.attacks.inside.taken import Taken
from tests.attacks.inside.verdicts import honest
from tests.attacks.registry import Seen, Skip


def calls_a_service(here) -> None:  # type: ignore[no-untyped-def]
    import glob
    import os
    import socket

    from planted_code import dbus

    given = here.given
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")

    def call(path: str) -> None:
        with dbus.connect(path) as sock:
            dbus.call(sock, 2, given["service"], given["path"], given["interface"], given["member"], *given["texts"])
            dbus.answer(sock, 2)

    def by_descriptor(number: int) -> None:
        """The connection that the process holds already: a call beside those of the toolkit, no answer wanted."""
        sock = socket.socket(fileno=os.dup(number))
        if "bus" not in str(sock.getpeername()):
            raise OSError("not the bus")
        dbus.call(sock, 1 << 20, given["service"], given["path"], given["interface"], given["member"], *given["texts"], flags=1)

    here.say("address", address)
    here.attempt("told", lambda: call(address.partition("path=")[2].partition(",")[0]))
    here.attempt("known", lambda: call(given["bus"]))
    for path in glob.glob(f"/proc/{os.getppid()}/root{given['bus']}"):
        here.attempt("by the keeper's root", lambda path=path: call(path))
    for number in map(int, os.listdir("/proc/self/fd")):
        if os.path.exists(f"/proc/self/fd/{number}") or True:
            here.attempt(f"descriptor {number}", lambda number=number: by_descriptor(number))


def judged(one: Taken, service: str, path: str, interface: str, member: str, *texts: str) -> Seen:
    if one.bus is None:
        raise Skip("there is no dbus-daemon here")
    one.window()
    before = len(one.bus.called)
    one.run(calls_a_service, "gui", bus=str(one.bus.path), service=service, path=path, interface=interface, member=member, texts=texts)
    called = sorted({f"{name} {what}" for name, what in one.bus.called[before:] if what == member})
    return honest(called, one.view())
