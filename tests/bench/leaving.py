"""How soon the provider is rid of a request whose client has left."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from app.control.contract import NewProvider
from tests.bench.figures import Figure, Scale
from tests.bench.load import Ask, Side
from tests.bench.rig import Rig
from tests.upstream import Request, Upstream, upstream

ACCOUNT = "leaving"


def leaving(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """From `close()` of the client's socket until the upstream sees its connection end. The goal holds for the slowest of all."""
    with upstream() as up, rig.gatehouse.gateway.control() as control:
        control.add_provider(NewProvider(name=ACCOUNT, kind="openai", base_url=f"{up.url}/v1", key=up.key, local=True))
        try:
            side = Side("gateway", rig.gatehouse.side.port, rig.gatehouse.side.key, f"{ACCOUNT}/")
            streaming = [_leave(side, up, Ask("m?chunks=400&every_ms=20", stream=True), b"data:") for _ in range(scale.leaves)]
            waiting = [_leave(side, up, Ask("m?every_ms=8000"), b"") for _ in range(scale.leaves)]
        finally:
            control.remove_provider(ACCOUNT)
    for name, took in (("in a stream", streaming), ("before the reply", waiting)):
        yield Figure(part="leaving", name=f"upstream cancelled, left {name}", unit="ms", values={"gateway": took})
        yield Figure(part="leaving", name="  the slowest", unit="ms", values={"gateway": [max(took)]}, goal=50)


def _leave(side: Side, up: Upstream, ask: Ask, wait_for: bytes) -> float:
    """Ask, wait until the upstream is at work and `wait_for` has come, leave. Milliseconds."""
    before = len(_asked(up))
    with socket.create_connection(("127.0.0.1", side.port), timeout=10) as client:
        client.sendall(ask.request(side))
        up.wait(lambda: len(_asked(up)) > before, 5, "the request")
        request = _asked(up)[-1]
        got = b""
        while wait_for not in got:
            data = client.recv(65536)
            assert data, f"the gateway hung up: {got[:200]!r}"
            got += data
        if not wait_for:
            time.sleep(0.05)
        left = time.monotonic()
    return (up.wait_gone(request) - left) * 1000


def _asked(up: Upstream) -> list[Request]:
    """What came from clients, without the gateway's own test of a new account."""
    return [request for request in up.requests if request.method == "POST"]
