"""One loop, one door, one client and the account `acme` on the local upstream; afterwards nothing may be left open."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.core.records import Destination
from app.egress.door import Door, Ended
from app.egress.upstream import Reply, Target, Timeouts, Upstream
from tests.stand_in_keeper import StandInKeeper
from tests.upstream import Upstream as Provider

QUICK = Timeouts(connect_s=2, first_byte_s=2, silence_s=2, total_s=10)


@dataclass
class World:
    up: Provider
    keeper: StandInKeeper
    client: Upstream
    target: Target
    ended: list[Ended] = field(default_factory=list)

    def headers(self, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        key = self.up.key
        return (("user-agent", "gatehouse-test"), ("content-type", "application/json"), ("authorization", f"Bearer {key}"), *more)

    async def ask(self, body: bytes, path: str = "/v1/chat/completions", *more: tuple[str, str], timeouts: Timeouts = QUICK) -> Reply:
        return await self.client.send(self.target, "POST", path, self.headers(*more), body, timeouts=timeouts)

    async def chat(self, model: str, *, stream: bool = False, timeouts: Timeouts = QUICK) -> Reply:
        return await self.ask(b'{"model":"%b","stream":%b}' % (model.encode(), b"true" if stream else b"false"), timeouts=timeouts)

    async def whole(self, model: str, *, stream: bool = False, timeouts: Timeouts = QUICK) -> bytes:
        """The body of one chat reply, read to its end."""
        reply = await self.chat(model, stream=stream, timeouts=timeouts)
        try:
            return await reply.read(64 * 1024 * 1024)
        finally:
            reply.abort()


Story = Callable[[World], Awaitable[Any]]


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_for(is_so: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def prompt(delays: list[float]) -> bool:
    """Long before any time limit. How many milliseconds it takes is measured by `tests.bench`, part `leaving`."""
    return max(delays) < 5


def only_descriptors(before: int) -> bool:
    """Whether no more than `before` are open, once the provider in this process has closed its side, too."""
    return wait_for(lambda: descriptors() <= before)


def play(up: Provider, story: Story, kind: str = "asyncio", *, tls: ssl.SSLContext | None = None, host: str = "", **options: Any) -> Any:
    """Run `story` on a loop of that kind; fail if a descriptor, a task, a duplicate at the keeper or an unhandled exception is left."""
    before = descriptors() - up.open_connections
    troubles: list[dict[str, Any]] = []
    keeper = StandInKeeper({"acme": (up.host, up.port)})

    async def run() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, facts: troubles.append(facts))
        ended: list[Ended] = []
        client = Upstream(Door(keeper.ask, ended.append), **options)
        target = Target("acme", Destination("https" if tls else "http", host or up.host, up.port, True), tls)
        world = World(up, keeper, client, target, ended)
        try:
            return await story(world)
        finally:
            await client.close()
            left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert left == []
            assert client.counts() == (0, 0)

    with asyncio.Runner(loop_factory=lambda: new_loop(kind)) as runner:
        result = runner.run(run())
    gc.collect()
    assert troubles == []
    assert keeper.open == {}
    assert sorted(keeper.closed) == sorted(set(keeper.closed))
    assert wait_for(lambda: descriptors() - up.open_connections <= before), f"{descriptors()} descriptors, {before} before"
    return result
