"""A: many connections of somebody who has no key."""

from __future__ import annotations

import resource
import time
from contextlib import suppress

from tests.attacks import wire
from tests.attacks.judge import every
from tests.attacks.registry import NOT_PROMISED, Seen, Skip, attack
from tests.attacks.stage import Stage

CROWD = 1_100


@attack("A50", "1,100 idle connections without a key", promise=NOT_PROMISED, expected="clients with a key are served meanwhile, and after")
def idle(stage: Stage) -> Seen:
    """When connections run out, those that have shown a key must not be the ones that are turned away. Half of the crowd say nothing, half
    have begun a request; a client with a key asks on connections of its own meanwhile, and so does one on a connection it has kept."""
    _allow(CROWD + 100)
    with wire.connect(stage.port) as kept:
        first = _on(kept, stage)
        crowd = list(wire.opened(stage.port, CROWD))
        for sock in crowd[::2]:
            with suppress(OSError):
                sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        time.sleep(0.3)
        new = [stage.chat("gatehouse/echo", 8).status for _ in range(10)]
        again = _on(kept, stage)
        state = stage.gateway.json("status").get("state", "no answer")
        for sock in crowd:
            sock.close()
    after = stage.alive(15)
    return every([
        ("new connections", new.count(200) == 10, f"{new.count(200)} of 10 answered, else {sorted(set(new) - {200})}"),
        ("a kept connection", (first, again) == (200, 200), f"{first}, then {again}"),
        ("status", state == "running", state),
        ("afterwards", after, "no answer"), ("the crowd", len(crowd) > CROWD // 2, f"{len(crowd)} got in"),
    ], "measures")  # fmt: skip


def _on(sock: object, stage: Stage) -> int:
    body = wire.chat("gatehouse/echo")
    headers = [("Authorization", f"Bearer {stage.key}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    try:
        sock.sendall(wire.head(stage.port, "POST", "/v1/chat/completions", headers) + body)  # type: ignore[attr-defined]
        replies = wire.parse(wire.read(sock, 8, 0.5))  # type: ignore[arg-type]
    except OSError:
        return 0
    return replies[0].status if replies else 0


def _allow(descriptors: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        if hard != resource.RLIM_INFINITY and hard < descriptors:
            raise Skip(f"this process may have {hard} descriptors, and {descriptors} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
