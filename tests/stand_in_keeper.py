"""A keeper for tests that need none of its rules: it dials what it is told to and hands the socket over.

Like the real one it keeps a duplicate of every descriptor until it is told "closed", so a connection that was closed without being shut
down stays open for the far end here, too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import AppError


@dataclass
class StandInKeeper:
    """accounts: name -> (host, port). slow_s: how long each dial takes. error: raised instead of dialling."""

    accounts: dict[str, tuple[str, int]]
    slow_s: float = 0.0
    error: Exception | None = None
    dialled: list[str] = field(default_factory=list)
    open: dict[int, socket.socket] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)

    async def ask(self, op: str, fields: dict[str, object]) -> tuple[dict[str, Any], list[socket.socket]]:
        if op == "dial":
            return await self._dial(str(fields["account"]))
        if op == "closed":
            number = fields["connection"]
            assert isinstance(number, int)
            self.closed.append(number)
            kept = self.open.pop(number)
            counts = _counts(kept)
            kept.close()
            return counts, []
        raise AssertionError(f"nobody asks {op} here")

    async def _dial(self, account: str) -> tuple[dict[str, Any], list[socket.socket]]:
        self.dialled.append(account)
        number = len(self.dialled)
        if self.error is not None:
            raise self.error
        if account not in self.accounts:
            raise AppError("destination_refused", f"No destination is declared for {account}.")
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        host, port = self.accounts[account]
        began = time.perf_counter()
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise AppError("provider_unreachable", f"{host} refused the connection.") from error
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open[number] = sock.dup()
        facts = {
            "connection": number,
            "address": f"{host}:{port}",
            "resolve_ms": 0.0,
            "connect_ms": (time.perf_counter() - began) * 1000,
        }
        return facts, [sock]

    def end(self) -> None:
        """Drop every duplicate, as the keeper does when its channel ends."""
        for kept in self.open.values():
            kept.close()
        self.open.clear()


def _counts(sock: socket.socket) -> dict[str, int]:
    """bytes_sent and bytes_received of TCP_INFO (linux/tcp.h), where there is one."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return {"bytes_out": 0, "bytes_in": 0}
    info = sock.getsockopt(socket.IPPROTO_TCP, option, 256)
    (received,) = struct.unpack_from("<Q", info, 128)
    (sent,) = struct.unpack_from("<Q", info, 200)
    return {"bytes_out": sent, "bytes_in": received}
