"""Which other programs a locked window can still ask for something: tried by connecting to their local sockets, nothing is sent.

A window must reach the screen, and on the way to it a filter lets local sockets through: it sees no path, so it cannot let one through
and not another. Over the session bus any program can be started with any environment, over an X11 screen keys can be typed into another
program's window: what answers there is a way to programs that nobody locks. A proxy for the bus would be no lock either: the bus is at
a path that everybody knows, and what Qt has open can be used by everything in the process.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from app.system.owners import own_uid

_LINUX: bool = sys.platform == "linux"
_WAIT_S: Final = 0.2
_FULL: Final = frozenset({errno.EAGAIN, errno.EINPROGRESS})  # somebody listens, who is busy
_SCREEN: Final = re.compile(r"(?:unix)?:(\d{1,5})(?:\.\d{1,5})?")
_SYSTEM: Final = (
    ("system bus", b"/run/dbus/system_bus_socket"),
    ("name resolver", b"/run/systemd/resolve/io.systemd.Resolve"),
)


def programs(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Their names, each once: what this process can connect to now, by `environment` or at the places everybody knows. Linux only."""
    if not _LINUX:
        return ()
    return tuple(dict.fromkeys(name for name, address in _places(environment) if address is None or _answers(address)))


def _places(environment: Mapping[str, str]) -> Iterator[tuple[str, bytes | None]]:
    """(name, address of a local socket; None where the way there is not a socket that could be tried)."""
    for each in filter(None, environment.get("DBUS_SESSION_BUS_ADDRESS", "").split(";")):
        yield "session bus", _of_bus(each)
    for folder in filter(None, dict.fromkeys((environment.get("XDG_RUNTIME_DIR"), f"/run/user/{own_uid()}"))):
        yield "session bus", os.fsencode(Path(folder, "bus"))
        yield "service manager", os.fsencode(Path(folder, "systemd", "private"))
        yield "Wayland screen", os.fsencode(Path(folder, environment.get("WAYLAND_DISPLAY") or "wayland-0"))
    if found := _SCREEN.fullmatch(environment.get("DISPLAY", "")):
        path = b"/tmp/.X11-unix/X" + found[1].encode()
        yield "X11 screen", path
        yield "X11 screen", b"\0" + path
    yield from _SYSTEM


def _of_bus(address: str) -> bytes | None:
    """One address as D-Bus writes it (D-Bus specification, "Server Addresses"); only unix ones with a name are sockets to try."""
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - a window's alone, and this is loaded before every lock

    transport, _, rest = address.partition(":")
    values = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
    if transport != "unix":
        return None
    if "abstract" in values:
        return b"\0" + unquote_to_bytes(values["abstract"])
    return unquote_to_bytes(values["path"]) if "path" in values else None


def _answers(address: bytes) -> bool:
    """Whether somebody listens there whom this process may ask."""
    if sys.platform == "win32":
        return False
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
                made.settimeout(_WAIT_S)
                made.connect(address)
        except OSError as error:
            return isinstance(error, TimeoutError) or error.errno in _FULL
        except ValueError:  # longer than an address can be
            return False
        return True
