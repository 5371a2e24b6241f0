"""The door: what it asks of the keeper, and that no descriptor stays behind whatever happens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.core.errors import AppError
from app.egress.door import Door, Ended
from tests.egress.world import descriptors, only_descriptors
from tests.stand_in_keeper import StandInKeeper
from tests.upstream import Upstream


def keeper_for(up: Upstream) -> StandInKeeper:
    return StandInKeeper({"acme": (up.host, up.port)})


def door_story(story: Callable[[Door, StandInKeeper, list[Ended]], Awaitable[None]], keeper: StandInKeeper) -> None:
    """Run `story` and check that afterwards nothing is open: no descriptor, no duplicate at the keeper, no task."""
    before = descriptors()

    async def run() -> None:
        ended: list[Ended] = []
        door = Door(keeper.ask, ended.append)
        await story(door, keeper, ended)
        await door.settled()
        assert door.open_connections == 0
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(run())
    assert keeper.open == {}
    assert only_descriptors(before)


def test_an_opened_connection_is_connected_and_does_not_block(up: Upstream) -> None:
    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        opened = await door.open("acme")
        assert opened.sock.getpeername() == (up.host, up.port)
        assert not opened.sock.getblocking()
        assert opened.address == f"{up.host}:{up.port}"
        assert opened.connection == 1
        assert door.open_connections == 1
        door.release(opened)

    door_story(story, keeper_for(up))


def test_the_far_end_sees_the_end_although_the_keeper_holds_a_duplicate(up: Upstream) -> None:
    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        opened = await door.open("acme")
        await asyncio.to_thread(up.wait, lambda: up.open_connections == 1, 2, "the connection")
        held = keeper.ask
        gate = asyncio.Event()

        async def late(op: str, fields: dict[str, object]) -> tuple[dict[str, Any], list[socket.socket]]:
            await gate.wait()
            return await held(op, fields)

        door._ask = late  # type: ignore[misc]
        door.release(opened)
        await asyncio.to_thread(up.wait, lambda: up.open_connections == 0, 2, "the end of the connection")
        assert keeper.open  # it has not been told yet
        gate.set()

    door_story(story, keeper_for(up))


def test_the_keepers_counts_come_back_with_the_egress_record(up: Upstream) -> None:
    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        opened = await door.open("acme", "test")
        request = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {up.key}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(opened.sock, request)
        reply = await loop.sock_recv(opened.sock, 65536)
        door.release(opened)
        await door.settled()
        (record,) = ended
        assert (record.account, record.purpose, record.connection) == ("acme", "test", opened.connection)
        assert record.counts.bytes_out == len(request)
        assert record.counts.bytes_in - len(reply) in (0, 1)  # Linux counts the other side's end as one byte

    door_story(story, keeper_for(up))


def test_a_refusal_of_the_keeper_reaches_the_caller(up: Upstream) -> None:
    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        with pytest.raises(AppError, match="destination_refused"):
            await door.open("stranger")

    door_story(story, keeper_for(up))


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), AppError("engine_absent", "gone")])
def test_a_keeper_that_is_gone_reads_as_stopping(up: Upstream, error: Exception) -> None:
    keeper = keeper_for(up)
    keeper.error = error

    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        with pytest.raises(AppError) as caught:
            await door.open("acme")
        assert caught.value.code == "draining"

    door_story(story, keeper)


def test_leaving_while_the_keeper_dials_gives_the_late_socket_back(up: Upstream) -> None:
    keeper = keeper_for(up)
    keeper.slow_s = 0.5

    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        opening = asyncio.ensure_future(door.open("acme"))
        await asyncio.sleep(0.02)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert not keeper.open, "the dial goes on"
        await door.settled()
        await door.settled()
        assert keeper.closed == [1]

    door_story(story, keeper)


def test_a_reply_without_a_socket_or_with_two_is_refused_and_closed(up: Upstream) -> None:
    for count in (0, 2):

        async def odd(op: str, fields: dict[str, object], count: int = count) -> tuple[dict[str, Any], list[socket.socket]]:
            if op == "closed":
                return {}, []
            return {"connection": 1, "address": "x"}, [socket.create_connection((up.host, up.port)) for _ in range(count)]

        async def story(ask: Any = odd) -> None:
            door = Door(ask)
            with pytest.raises(AppError, match="destination_refused"):
                await door.open("acme")
            assert door.open_connections == 0
            await door.settled()

        before = descriptors()
        asyncio.run(story())
        assert only_descriptors(before)


def test_the_word_back_is_not_lost_when_the_keeper_has_ended(up: Upstream) -> None:
    async def story(door: Door, keeper: StandInKeeper, ended: list[Ended]) -> None:
        opened = await door.open("acme")
        keeper.end()

        async def gone(op: str, fields: dict[str, object]) -> tuple[dict[str, Any], list[socket.socket]]:
            raise AppError("engine_absent", "The process that should answer has ended.")

        door._ask = gone  # type: ignore[misc]
        door.release(opened)
        await door.settled()
        assert ended[0].counts.bytes_out == 0

    door_story(story, keeper_for(up))
