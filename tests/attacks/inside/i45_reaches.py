"""I45: the ways out themselves."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused, silent
from tests.attacks.judge import both
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


def reaches(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os
    import socket
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    port, name = here.given["port"], here.verb
    address = struct.pack("=H", 2) + struct.pack("!H", port) + socket.inet_aton("127.0.0.1") + bytes(8)

    def check(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return result

    def native(kind: int, protocol: int = 0) -> None:
        made = check(libc.socket(2, kind, protocol))
        check(libc.connect(made, address, 16))
        libc.send(made, name.encode(), 6, 0)

    def re_aimed() -> None:
        for number in map(int, os.listdir("/proc/self/fd")):
            libc.connect(number, struct.pack("=H14x", 0), 16)
            if libc.connect(number, address, 16) >= 0:
                return
        raise OSError("no descriptor could be aimed elsewhere")

    def netlink() -> None:
        made = check(libc.socket(16, 3, 0))
        os.close(made)

    here.attempt("Python", lambda: socket.create_connection(("127.0.0.1", port), 2).send(name.encode()))
    here.attempt("native TCP", lambda: native(1))
    here.attempt("multipath TCP", lambda: native(1, 262))
    here.attempt("native UDP", lambda: native(2))
    here.attempt("SCTP", lambda: native(1, 132))
    here.attempt("packets", lambda: check(libc.socket(17, 3, 0x300)))
    here.attempt("vsock", lambda: check(libc.socket(40, 1, 0)))
    here.attempt("re-aimed", re_aimed)
    here.attempt("look-up", lambda: socket.getaddrinfo("planted-look-up.example", 443))
    if name == "engine":
        here.attempt("netlink", netlink)
        here.attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())


@attack("I45", "engine and window call a listener in 11 ways and have a name looked up", promise=DOOR, expected="refused in each")
def ways_out(stage: Stage) -> Seen:
    """The lock on sockets, from code in both processes."""
    one = taken(stage)
    seen = [refused(one.run(reaches, verb, port=one.listener.port)) for verb in ("engine", "gui")]
    asked = [name for name in (one.resolver.asked if one.resolver is not None else []) if "planted-look-up" in name]
    return both(*seen, silent([*one.listener.at(one.listener.port), *asked]))
