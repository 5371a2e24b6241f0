"""From the command to the first answer, with a data folder that exists and compiled modules, as on every start but the first."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from tests.bench.figures import Figure, Scale
from tests.bench.load import HEADERS, PATH, RefusedError
from tests.bench.processes import end
from tests.bench.rig import Rig
from tests.gateway import Gateway, free_port

_LIMIT_S = 30.0


class _First(threading.Thread):
    """Asks a port that may not listen yet until it answers 200. answered_at: time.monotonic(), 0 when it never did."""

    def __init__(self, port: int, head: str, body: bytes = b"") -> None:
        super().__init__(daemon=True)
        self._port = port
        self._request = f"{head} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n".encode() + body
        self.answered_at = 0.0

    def run(self) -> None:
        limit = time.monotonic() + _LIMIT_S
        while time.monotonic() < limit:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=_LIMIT_S) as client:
                    client.sendall(self._request)
                    if client.recv(4096).startswith(b"HTTP/1.1 200 "):
                        self.answered_at = time.monotonic()
                        return
            except OSError:
                pass
            time.sleep(0.001)


def start(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """`python -m app serve` with a passphrase vault, whose key is stretched on purpose (Argon2id, 256 MB) before the first request."""
    gateway = Gateway(rig.folder / "start")
    took: dict[str, list[float]] = defaultdict(list)
    try:
        gateway.start()
        gateway.wait_open()
        key = gateway.client("bench")
        gateway.stop()
        for number in range(scale.starts + 1):
            times = _start(gateway, key)
            gateway.stop()
            if number:  # the first one warms the caches
                for name, ms in times.items():
                    took[name].append(ms)
    finally:
        if gateway.process is not None:
            end(gateway.process)
    for name, goal in (("the first answer", 700), ("`ready`", None), ("the first proxied reply", None)):
        yield Figure(part="start", name=f"from the command to {name}", unit="ms", values={"gateway": took[name]}, goal=goal)


def _start(gateway: Gateway, key: str) -> dict[str, float]:
    """Milliseconds by milestone; the gateway runs afterwards."""
    port = free_port()
    body = json.dumps({"model": "gatehouse/echo", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {**HEADERS, "authorization": f"Bearer {key}", "content-length": str(len(body))}
    tail = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + body
    alive = _First(port, "GET /health/liveness", b"\r\n")
    proxied = _First(port, f"POST {PATH}", tail)
    alive.start()
    proxied.start()
    began = time.monotonic()
    gateway.start(port)
    ready = time.monotonic()
    alive.join(_LIMIT_S)
    proxied.join(_LIMIT_S)
    if not (alive.answered_at and proxied.answered_at):
        raise RefusedError("the gateway never answered")
    found = {"the first answer": alive.answered_at, "`ready`": ready, "the first proxied reply": proxied.answered_at}
    return {name: (at - began) * 1000 for name, at in found.items()}
