"""The ports: made once, held for the keeper's whole life, lent to one engine after another. A crash of an engine loses none of them."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.system.folders import unusable
from app.system.paths import Paths, write_private
from app.system.processes import port_holder
from app.system.sockets import HAS_UNIX, PortTakenError, listen, listen_unix

_NEXT_PORTS: Final = 100


@dataclass(frozen=True, slots=True)
class Listeners:
    """gateway: 127.0.0.1 and, where IPv6 is on, ::1, at the same port. note: why it is not the port that was wanted, or "".

    control: where the control API is, a unix socket's path; on Windows `127.0.0.1:PORT`, and then `token` must come with each request.
    """

    gateway: tuple[socket.socket, ...]
    port: int
    note: str
    control_socket: socket.socket
    control: str
    token: str

    @property
    def addresses(self) -> list[str]:
        return [f"[::1]:{self.port}" if sock.family == socket.AF_INET6 else f"127.0.0.1:{self.port}" for sock in self.gateway]

    def sockets(self) -> tuple[socket.socket, ...]:
        """In the order of `names`."""
        return (*self.gateway, self.control_socket)

    def names(self) -> list[str]:
        return ["gateway"] * len(self.gateway) + ["control"]

    def close(self, paths: Paths) -> None:
        for sock in self.sockets():
            sock.close()
        (paths.control if HAS_UNIX else paths.control_file).unlink(missing_ok=True)


def open_listeners(paths: Paths, port: int, *, fixed: bool = False) -> Listeners:
    """Listen. fixed: on that port or on none. AppError `port_taken` when no port can be had, `data_folder` when there is no place for the
    control socket."""
    gateway, note = _gateway(port, fixed=fixed)
    try:
        control_socket, control, token = _control(paths)
    except BaseException:
        for sock in gateway:
            sock.close()
        raise
    return Listeners(gateway, gateway[0].getsockname()[1], note, control_socket, control, token)


def _gateway(wanted: int, *, fixed: bool) -> tuple[tuple[socket.socket, ...], str]:
    """Both families on one port: the one wanted; if that is not fixed the next free one, or, when a hundred are taken, any."""
    if wanted and fixed:
        try:
            return _both(wanted), ""
        except PortTakenError:
            held = f"Port {wanted} is held by {port_holder(wanted)}."
            raise AppError("port_taken", held, "Stop it, or start with another --port; without it the next free one is used.") from None
    candidates = [wanted, *range(wanted + 1, min(wanted + _NEXT_PORTS, 65536)), *[0] * 20] if wanted else [0] * 20
    for port in candidates:
        try:
            made = _both(port)
        except PortTakenError:
            continue
        got = made[0].getsockname()[1]
        if not wanted or got == wanted:
            return made, ""
        return made, (
            f"Port {wanted} is held by {port_holder(wanted)}; Gatehouse uses {got} instead. Clients that are set to {wanted} send their "
            f"requests, and their keys, to that program."
        )
    raise AppError("port_taken", f"Port {wanted} and the ones after it are taken.", "Name another with --port.")


def _both(port: int) -> tuple[socket.socket, ...]:
    """PortTakenError when a stranger has it on either family: a client that tries the other one would give them its key."""
    four = listen("127.0.0.1", port)
    try:
        six = listen("::1", four.getsockname()[1] if four is not None else port)
    except PortTakenError:
        if four is not None:
            four.close()
        raise
    made = tuple(sock for sock in (four, six) if sock is not None)
    if not made:
        raise AppError("port_taken", "This machine has no loopback network.", "Switch it on (127.0.0.1).")
    return made


def _control(paths: Paths) -> tuple[socket.socket, str, str]:
    if HAS_UNIX:
        try:
            return listen_unix(paths.control), os.fspath(paths.control), ""
        except OSError as error:
            raise unusable(paths.runtime, error) from None
    made, token = listen("127.0.0.1", 0), os.urandom(32).hex()
    if made is None:
        raise AppError("port_taken", "This machine has no loopback network.", "Switch it on (127.0.0.1).")
    host, port = made.getsockname()[:2]
    write_private(paths.control_file, json.dumps({"host": host, "port": port, "token": token}).encode())
    return made, f"{host}:{port}", token
