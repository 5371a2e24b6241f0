"""The client on sockets that the real broker dialled and that came over a real channel: what the engine does all day."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.core.errors import AppError
from app.core.records import Destination
from app.egress.door import Door, Ended
from app.egress.upstream import Target, Upstream
from app.keeper.broker import Broker
from app.system.channel import Caller, Channel, pair
from tests import provider_replies as replies
from tests.egress.world import QUICK, World, descriptors, new_loop, only_descriptors, prompt
from tests.keeper.consenting import Willing
from tests.stand_in_keeper import StandInKeeper
from tests.upstream import Upstream as Provider

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Keeper:
    """The keeper's side of the channel: `dial` in a worker each, `closed` at once."""

    def __init__(self, channel: Channel) -> None:
        self.broker = Broker(1, lambda *_: None, lambda _: None, consent=Willing())
        self.gone = threading.Event()
        self._workers = ThreadPoolExecutor(16)
        self.caller = Caller(channel, self._asked, self.gone.set, "keeper")
        self.caller.start()

    def _asked(self, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        if message["op"] == "dial":
            self._workers.submit(self._dial, message)
        elif message["op"] == "closed":
            counts = self.broker.closed(message["connection"]) or (0, 0)
            self.caller.reply(message, {"bytes_out": counts[0], "bytes_in": counts[1]})

    def _dial(self, message: dict[str, Any]) -> None:
        try:
            made = self.broker.dial(message["account"])
        except AppError as error:
            self.caller.refuse(message, error)
            return
        facts: dict[str, object] = {
            "connection": made.connection,
            "address": made.address,
            "resolve_ms": made.resolve_ms,
            "connect_ms": made.connect_ms,
        }
        if not self.caller.reply(message, facts, made.sock):
            self.broker.closed(made.connection)

    def end(self) -> None:
        self.broker.engine_ended()
        self.caller.channel.close()
        self._workers.shutdown()


@contextlib.contextmanager
def both_sides() -> Iterator[tuple[Keeper, Caller]]:
    ours, theirs = pair()
    keeper = Keeper(ours)
    gone = threading.Event()
    engine = Caller(Channel(theirs), lambda *_: None, gone.set, "engine")
    engine.start()
    try:
        yield keeper, engine
    finally:
        keeper.end()
        engine.channel.close()
        assert gone.wait(5)
        assert keeper.gone.wait(5)


def play(up: Provider, story: Any, loop: str) -> None:
    before = descriptors() - up.open_connections
    with both_sides() as (keeper, engine):
        keeper.broker.declare("acme", "http", up.host, up.port, True)

        async def ask(op: str, fields: dict[str, object]) -> tuple[dict[str, Any], list[socket.socket]]:
            return await asyncio.wrap_future(engine.submit(op, fields))

        async def run() -> None:
            ended: list[Ended] = []
            client = Upstream(Door(ask, ended.append))
            target = Target("acme", Destination("http", up.host, up.port, True))
            world = World(up, StandInKeeper({}), client, target, ended)
            try:
                await story(world, keeper)
            finally:
                await client.close()
            assert keeper.broker.kept() == 0

        with asyncio.Runner(loop_factory=lambda: new_loop(loop)) as runner:
            runner.run(run())
    assert only_descriptors(before + up.open_connections)


@LOOPS
def test_requests_go_through_and_every_byte_is_counted_by_the_kernel(up: Provider, loop: str) -> None:
    async def story(world: World, keeper: Keeper) -> None:
        sent = received = 0
        for _ in range(3):
            for stream in (False, True):
                reply = await world.chat("any", stream=stream)
                assert reply.address == f"{up.host}:{up.port}"
                body = await reply.read(100_000)
                expected = replies.chat_stream("any", include_usage=False) if stream else replies.chat("any")
                assert body == expected.body
                sent += reply.bytes_out
                received += reply.bytes_in
        assert keeper.broker.kept() == 1
        await world.client.close()
        (record,) = world.ended
        assert record.counts.bytes_out == sent
        assert record.counts.bytes_in - received in (0, 1)

    play(up, story, loop)
    assert up.connections == 1


@LOOPS
def test_the_provider_sees_a_client_leave_at_once_although_the_keeper_holds_a_duplicate(up: Provider, loop: str) -> None:
    async def story(world: World, keeper: Keeper) -> None:
        delays = []
        for _ in range(5):
            reply = await world.chat("any?chunks=1000&every_ms=20", stream=True)
            await reply.chunk()
            left = time.monotonic()
            reply.abort()
            delays.append(await asyncio.to_thread(up.wait_gone, up.last) - left)
        assert prompt(delays), delays

    play(up, story, loop)


@LOOPS
def test_many_connections_at_once_and_some_given_up_half_way(up: Provider, loop: str) -> None:
    async def story(world: World, keeper: Keeper) -> None:
        for round_ in range(5):
            asking = [asyncio.ensure_future(world.whole(f"any?every_ms={5 * (number % 4)}")) for number in range(40)]
            await asyncio.sleep(0.002 * round_)
            for task in asking[::2]:
                task.cancel()
            done = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(one, bytes | asyncio.CancelledError) for one in done), done
            world.client.drop_idle()

    play(up, story, loop)


def test_what_is_not_declared_is_not_dialled(up: Provider) -> None:
    async def story(world: World, keeper: Keeper) -> None:
        world.target = Target("other", world.target.destination)
        with pytest.raises(AppError) as refused:
            await world.whole("any")
        assert refused.value.code == "destination_refused"
        keeper.broker.withdraw("acme")
        with pytest.raises(AppError, match="destination_refused"):
            await world.client.send(Target("acme", world.target.destination), "GET", "/v1/models", (), timeouts=QUICK)

    play(up, story, "asyncio")
    assert up.connections == 0


def test_when_the_keeper_is_gone_requests_are_told_that_gatehouse_stops(up: Provider) -> None:
    async def story(world: World, keeper: Keeper) -> None:
        reply = await world.chat("fault/stall", stream=True)
        await asyncio.to_thread(keeper.end)
        with pytest.raises(AppError):  # the keeper ended the connections of the engine it lost
            while True:
                await reply.chunk()
        with pytest.raises(AppError) as told:
            await world.whole("any")
        assert told.value.code == "draining"

    play(up, story, "asyncio")
