"""Raw HTTP on loopback: bytes out, replies in. Nothing here hides what was sent."""

from __future__ import annotations

import json
import select
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Reply:
    """status 0: what came is no reply. raw: all the bytes of it."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    raw: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


def connect(port: int, timeout_s: float = 10.0) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=timeout_s)


def head(port: int, method: str, path: str, headers: Iterable[tuple[str, str]] = (), *, host: str | None = None) -> bytes:
    """A request's head, with the right Host unless another is given."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {f'{HOST}:{port}' if host is None else host}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Iterable[tuple[str, str]] = (), *, key: str = "",
    timeout_s: float = 20.0,
) -> Reply:  # fmt: skip
    """One request on a connection of its own, and its answer."""
    given = [*headers]
    names = {name.lower() for name, _ in given}
    if key and "authorization" not in names:
        given.append(("Authorization", f"Bearer {key}"))
    if body is not None:
        if "content-type" not in names:
            given.append(("Content-Type", "application/json"))
        given.append(("Content-Length", str(len(body))))
    given.append(("Connection", "close"))
    replies = send(port, head(port, method, path, given) + (body or b""), timeout_s=timeout_s)
    return replies[0] if replies else Reply(0)


def send(port: int, data: bytes, *, timeout_s: float = 10.0, quiet_s: float | None = None) -> list[Reply]:
    """Send bytes and read until the gateway closes, or says nothing for `quiet_s` after an answer."""
    with connect(port, timeout_s) as sock:
        with suppress(OSError):  # refused before everything was sent: the answer is there all the same
            sock.sendall(data)
        return parse(read(sock, timeout_s, quiet_s))


def read(sock: socket.socket, timeout_s: float, quiet_s: float | None = None) -> bytes:
    got, end = bytearray(), time.monotonic() + timeout_s
    while (left := end - time.monotonic()) > 0:
        wait = min(left, quiet_s) if quiet_s is not None and got else left
        if not readable(sock, wait):
            break
        try:
            piece = sock.recv(1 << 16)
        except OSError:
            break
        if not piece:
            break
        got += piece
    return bytes(got)


def readable(sock: socket.socket, wait_s: float) -> bool:
    with selectors.DefaultSelector() as selector:  # select() knows 1,024 descriptors
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(wait_s))


def parse(data: bytes) -> list[Reply]:
    """The replies in `data`, one after the other. What is no reply becomes one with status 0."""
    found: list[Reply] = []
    while data:
        top, blank, rest = data.partition(b"\r\n\r\n")
        words = top.split(b"\r\n", 1)[0].split(b" ", 2)
        if not blank or not words[0].startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
            return [*found, Reply(0, raw=data, body=data)]
        pairs = [line.decode("latin-1").partition(":") for line in top.split(b"\r\n")[1:]]
        headers = [(name.lower(), value.strip()) for name, _, value in pairs]
        named = dict(headers)
        if named.get("transfer-encoding", "").lower() == "chunked":
            body, rest = unchunked(rest)
        elif "content-length" in named:
            size = int(named["content-length"])
            body, rest = rest[:size], rest[size:]
        elif words[1][:1] == b"1":
            body = b""
        else:
            body, rest = rest, b""
        found.append(Reply(int(words[1]), headers, body, data[: len(data) - len(rest)]))
        data = rest
    return found


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """The body of a chunked message, as far as it came, and what follows it."""
    body = bytearray()
    while data:
        line, _, data = data.partition(b"\r\n")
        size = int(line.partition(b";")[0] or b"0", 16)
        if size == 0:
            return bytes(body), data.partition(b"\r\n")[2]
        body += data[:size]
        data = data[size + 2 :]
    return bytes(body), b""


def chunks(body: bytes, size: int) -> bytes:
    """A chunked body in pieces of `size` bytes (under 16)."""
    mark = b"%x\r\n" % size
    whole = b"".join(mark + body[at : at + size] + b"\r\n" for at in range(0, len(body) - len(body) % size, size))
    rest = body[len(body) - len(body) % size :]
    return whole + (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"


@dataclass
class Poured:
    """taken: bytes that the other side's system took. refused: it answered or closed. said: its answer."""

    taken: int = 0
    refused: bool = False
    said: bytes = b""


def pour(port: int, first: bytes, piece: bytes, most: int, seconds: float, *, answered: bool = False) -> Poured:
    """Send `first`, then `piece` again and again, until `most` bytes were taken, the time is up, or the other side has had enough.
    answered: `first` holds a whole request, whose answer is read away."""
    poured = Poured()
    end = time.monotonic() + seconds
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sock.settimeout(10)
        sock.connect((HOST, port))
        sock.sendall(first)
        if answered:
            read(sock, 5, 0.5)
        sock.setblocking(False)
        rest = memoryview(piece)
        while poured.taken < most and time.monotonic() < end:
            answered, writable, _ = select.select([sock], [sock], [], 0.5)
            try:
                if answered:
                    poured.refused = True
                    poured.said = sock.recv(1 << 16)
                    break
                if writable:
                    sent = sock.send(rest)
                    poured.taken += sent
                    rest = rest[sent:] or memoryview(piece)
            except OSError:
                poured.refused = True
                break
        if not poured.refused:  # an answer may still be on its way
            poured.refused = readable(sock, 1.0)
    return poured


def chat(model: str, text: str = "Hello", **more: object) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()


def opened(port: int, count: int) -> Iterator[socket.socket]:
    for _ in range(count):
        with suppress(OSError):
            yield connect(port, 5)
