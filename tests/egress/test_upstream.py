"""The client for providers on good days: what goes over the wire, what comes back, and which connection carries it."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from app.core.errors import AppError
from app.core.records import Destination
from app.egress.upstream import Target, Timeouts, Upstream
from tests import provider_replies as replies
from tests.egress.world import QUICK, World, play
from tests.upstream import Upstream as Provider
from tests.upstream import upstream

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@LOOPS
def test_a_reply_comes_back_byte_for_byte(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("gpt-4o-mini")
        assert reply.status == 200
        assert reply.header("content-type") == "application/json"
        assert reply.header("x-request-id") == "req_upstream_0001"
        assert reply.headers[1:9] == replies.OPENAI_HEADERS
        assert await reply.read(100_000) == replies.chat("gpt-4o-mini").body
        assert reply.complete
        assert reply.host == up.host
        assert reply.address == f"{up.host}:{up.port}"
        assert reply.connection == 1
        assert reply.tls == ""
        assert await reply.chunk() == b""

    play(up, story, loop)


@LOOPS
def test_a_stream_comes_back_byte_for_byte(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("any?chunks=30&every_ms=1", stream=True)
        pieces = []
        while piece := await reply.chunk():
            pieces.append(piece)
        assert b"".join(pieces) == replies.chat_stream("any?chunks=30&every_ms=1", include_usage=False).body
        assert len(pieces) > 20  # they are passed on as they come
        assert reply.complete

    play(up, story, loop)


@LOOPS
def test_what_a_reply_holds_is_counted_as_it_comes_and_ends_where_there_is_no_room(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        taken: list[int] = []

        def room(size: int) -> None:
            taken.append(size)
            if sum(taken) > 1_000:
                raise AppError("memory_full", "Too many large requests are open at once.")

        whole = replies.chat("gpt-4o-mini").body
        reply = await world.chat("gpt-4o-mini")
        assert await reply.read(100_000, room) == whole
        assert sum(taken) == len(whole) < 1_000
        taken.clear()
        reply = await world.chat("any?chunks=30&every_ms=5", stream=True)
        with pytest.raises(AppError, match="memory_full"):
            await reply.read(100_000, room)
        reply.abort()
        assert 1_000 < sum(taken) < len(replies.chat_stream("any?chunks=30&every_ms=5", include_usage=False).body)

    play(up, story, loop)


def test_exactly_the_given_bytes_go_out_and_nothing_of_the_clients_own_but_framing(up: Provider) -> None:
    body = b'{"model":"gpt-4o-mini",  "odd": "\\u00e9\xc3\xa9 \\ud83d\\udc4b", "n": 1.0}'

    async def story(world: World) -> None:
        reply = await world.ask(body, "/v1/chat/completions?x=%20y")
        await reply.read(100_000)
        assert reply.bytes_out == sum(len(n) + len(v) + 4 for n, v in up.last.headers) + len(body) + len(
            "POST /v1/chat/completions?x=%20y HTTP/1.1\r\n\r\n"
        )

    play(up, story)
    assert up.last.body == body
    assert up.last.target == "/v1/chat/completions?x=%20y"
    assert [(n.decode(), v.decode()) for n, v in up.last.headers] == [
        ("host", f"127.0.0.1:{up.port}"),
        ("accept-encoding", "identity"),
        ("user-agent", "gatehouse-test"),
        ("content-type", "application/json"),
        ("authorization", f"Bearer {up.key}"),
        ("content-length", str(len(body))),
    ]


def test_a_get_has_no_body_and_says_so_by_saying_nothing(up: Provider) -> None:
    async def story(world: World) -> bytes:
        reply = await world.client.send(world.target, "GET", "/v1/models", world.headers(), purpose="test")
        return await reply.read(100_000)

    assert play(up, story) == replies.openai_models(replies.MODELS).body
    assert "content-length" not in up.last.header_names
    assert "transfer-encoding" not in up.last.header_names


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("POST", "/v1 x", ("a", "b")),
        ("POST", "/v1\r\nx: y", ("a", "b")),
        ("POST", "http://elsewhere.example/", ("a", "b")),
        ("POST", "/v1/ü", ("a", "b")),
        ("GET\r\nx: y", "/", ("a", "b")),
        ("HEAD", "/", ("a", "b")),
        ("POST", "/", ("a", "secret\r\nx: y")),
        ("POST", "/", ("a", "secret\ny")),
        ("POST", "/", ("a", "secret\0")),
        ("POST", "/", ("a", "secret…")),
        ("POST", "/", ("a b", "secret")),
        ("POST", "/", ("", "secret")),
        ("POST", "/", ("a:", "secret")),
        ("POST", "/", ("Host", "secret")),
        ("POST", "/", ("content-length", "5")),
        ("POST", "/", ("Transfer-Encoding", "chunked")),
        ("POST", "/", ("connection", "upgrade")),
    ],
)
def test_a_request_that_could_break_the_framing_is_not_sent(up: Provider, method: str, path: str, header: tuple[str, str]) -> None:
    async def story(world: World) -> None:
        with pytest.raises(ValueError, match=r"^(The|A) ") as caught:
            await world.client.send(world.target, method, path, (header,), b"{}")
        assert "secret" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    play(up, story)
    assert up.requests == []
    assert up.connections == 0


@LOOPS
def test_a_connection_is_kept_and_used_again(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        for number in range(20):
            reply = await world.chat("any", stream=number % 2 == 1)
            await reply.read(100_000)
            assert reply.reused == (number > 0)
            assert reply.connection == 1
        assert world.client.counts() == (1, 1)

    play(up, story, loop)
    assert {request.connection for request in up.requests} == {1}
    assert up.connections == 1


def test_requests_at_the_same_time_have_a_connection_each_and_share_them_afterwards(up: Provider) -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            await asyncio.gather(*[world.whole("any?every_ms=20") for _ in range(8)])
        assert world.client.counts() == (8, 8)

    play(up, story)
    assert up.connections == 8


def test_a_connection_serves_the_next_request_while_the_last_reply_is_still_being_read(up: Provider) -> None:
    async def story(world: World) -> None:
        first = await world.chat("any")
        await asyncio.sleep(0.05)
        second = await world.chat("other")
        assert second.reused
        assert await second.read(100_000) == replies.chat("other").body
        assert await first.read(100_000) == replies.chat("any").body
        first.abort()
        assert await world.whole("third") == replies.chat("third").body

    play(up, story)
    assert up.connections == 1


def test_no_cookie_is_sent_back(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("any")
        assert "__cf_bm" in reply.header("set-cookie")
        await reply.read(100_000)
        await world.whole("any")

    play(up, story)
    assert all("cookie" not in request.header_names for request in up.requests)


def test_accounts_do_not_share_connections_even_to_the_same_host(up: Provider) -> None:
    async def story(world: World) -> None:
        world.keeper.accounts["other"] = (up.host, up.port)
        await world.whole("any")
        other = Target("other", world.target.destination)
        reply = await world.client.send(other, "POST", "/v1/chat/completions", world.headers(), b'{"model":"any"}', timeouts=QUICK)
        await reply.read(100_000)
        assert not reply.reused

    play(up, story)
    assert up.connections == 2


def test_an_account_whose_address_changed_leaves_its_old_connections_behind() -> None:
    with upstream() as first, upstream() as second:

        async def story(world: World) -> None:
            await world.whole("any")
            world.keeper.accounts["acme"] = (second.host, second.port)
            world.target = Target("acme", Destination("http", second.host, second.port, True))
            await world.whole("any")
            assert world.client.counts() == (1, 1)

        play(first, story)
        assert len(first.requests) == len(second.requests) == 1
        assert second.last.header("host") == f"127.0.0.1:{second.port}"


def test_a_removed_account_loses_its_unused_connections_now_and_the_others_after_their_exchange(up: Provider) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(world.whole("any?every_ms=10"), world.whole("any?every_ms=10"))
        assert world.client.counts() == (2, 2)
        running = await world.chat("any?chunks=5&every_ms=20", stream=True)
        world.client.forget("acme")
        assert await running.read(100_000) == replies.chat_stream("any?chunks=5&every_ms=20", include_usage=False).body
        await asyncio.sleep(0.02)
        assert world.client.counts() == (0, 0)
        await asyncio.to_thread(up.wait, lambda: up.open_connections == 0, 2, "the connections to end")

    play(up, story)


def test_an_unused_connection_is_ended_after_its_time(up: Provider) -> None:
    async def story(world: World) -> None:
        await world.whole("any")
        assert world.client.counts() == (1, 1)
        await asyncio.sleep(0.35)
        assert world.client.counts() == (0, 0)
        await asyncio.to_thread(up.wait, lambda: up.open_connections == 0, 2, "the connection to end")
        await world.whole("any")

    play(up, story, idle_s=0.2)
    assert up.connections == 2


def test_after_the_machine_slept_no_old_connection_is_used() -> None:
    jump = 0.0
    with upstream() as up:

        async def story(world: World) -> None:
            nonlocal jump
            await world.whole("any")
            jump = 29.0
            await world.whole("any")
            assert up.connections == 1
            jump = 29.0 + 31.0
            await world.whole("any")
            assert up.connections == 2

        play(up, story, wall_clock=lambda: time.time() + jump)


def test_past_the_limit_of_unused_connections_the_rest_are_ended(up: Provider) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*[world.whole("any?every_ms=30") for _ in range(6)])
        await asyncio.sleep(0.02)
        assert world.client.counts() == (2, 2)

    play(up, story, idle_limit=2)


def test_past_the_limit_of_open_connections_a_request_is_told_so(up: Provider) -> None:
    async def story(world: World) -> None:
        running = [asyncio.ensure_future(world.whole("any?every_ms=50")) for _ in range(3)]
        await asyncio.sleep(0.02)
        with pytest.raises(AppError, match="too_many_connections"):
            await world.chat("any")
        await asyncio.gather(*running)
        await world.whole("any")

    play(up, story, open_limit=3)


@LOOPS
def test_a_large_request_and_a_large_reply_arrive_whole(up: Provider, loop: str) -> None:
    text = b"0123456789abcdef" * (20 * 1024 * 1024 // 16)

    async def story(world: World) -> None:
        reply = await world.ask(b'{"model":"fault/huge-event?mb=20","input":"' + text + b'"}', timeouts=Timeouts(total_s=60))
        body = await reply.read(64 * 1024 * 1024)
        assert len(body) > 20 * 1024 * 1024
        assert reply.bytes_in > len(body)
        await world.whole("any")

    play(up, story, loop)
    assert hashlib.sha256(up.requests[0].body[-len(text) - 2 : -2]).digest() == hashlib.sha256(text).digest()
    assert up.connections == 1


@LOOPS
def test_a_slow_reader_makes_the_provider_wait_and_at_most_a_megabyte_is_held(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/endless-body")
        await asyncio.sleep(0.3)
        held = reply.bytes_in
        assert held <= 1024 * 1024
        await asyncio.sleep(0.2)
        assert reply.bytes_in == held  # nothing more is taken from the socket
        taken = 0
        while taken < 50 * 1024 * 1024:
            piece = await reply.chunk()
            assert len(piece) <= 1024 * 1024
            taken += len(piece)
            assert reply.bytes_in - taken <= 1024 * 1024 + taken // 1000
        reply.abort()

    play(up, story, loop)


def test_a_read_past_its_cap_is_cut_off(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/endless-body")
        with pytest.raises(AppError, match="larger than 3000000 bytes") as caught:
            await reply.read(3_000_000)
        assert caught.value.code == "provider_broken"
        assert world.client.counts()[1] == 0

    play(up, story)


def test_waiting_for_a_piece_gives_up_after_the_given_time_and_loses_nothing(up: Provider) -> None:
    model = "any?chunks=4&every_ms=120"

    async def story(world: World) -> None:
        reply = await world.chat(model, stream=True)
        pieces: list[bytes] = []
        silences = 0
        while True:
            piece = await reply.chunk_within(0.05)
            if piece is None:
                silences += 1
            elif piece:
                pieces.append(piece)
            else:
                break
        assert b"".join(pieces) == replies.chat_stream(model, include_usage=False).body
        assert silences >= 7
        assert await reply.chunk_within(0.01) == b""

    play(up, story)


def test_waiting_is_as_long_as_asked_also_when_the_calls_differ(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/stall?after=1", stream=True)
        await reply.chunk()
        for seconds in (0.2, 0.03, 0.1, 0.01):
            began = time.perf_counter()
            assert await reply.chunk_within(seconds) is None
            assert time.perf_counter() - began >= seconds - 0.005
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.chunk_within(60), 0.01)
        async with asyncio.timeout(30):  # not the minute of the call before
            assert await reply.chunk_within(0.01) is None
        reply.abort()

    play(up, story)


def test_a_piece_that_nobody_waited_for_any_more_is_not_lost(up: Provider) -> None:
    model = "any?chunks=20&every_ms=5"

    async def story(world: World) -> None:
        reply = await world.chat(model, stream=True)
        pieces = []
        while True:
            try:
                piece = await asyncio.wait_for(reply.chunk(), 0.003)
            except TimeoutError:
                continue
            if not piece:
                break
            pieces.append(piece)
        assert b"".join(pieces) == replies.chat_stream(model, include_usage=False).body

    play(up, story)


def test_closing_ends_everything_and_later_requests_are_told(up: Provider) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(world.whole("any?every_ms=10"), world.whole("any?every_ms=10"))
        running = await world.chat("fault/stall", stream=True)
        await running.chunk()
        waiting = asyncio.ensure_future(running.chunk())
        asking = asyncio.ensure_future(world.chat("fault/silent"))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            await world.client.close()
        for task in (waiting, asking):
            with pytest.raises(AppError, match="draining"):
                await task
        with pytest.raises(AppError, match="draining"):
            await world.chat("any")
        assert world.client.counts() == (0, 0)
        assert sorted(record.connection for record in world.ended) == [1, 2]

    play(up, story)


def test_a_connection_that_is_made_while_closing_is_given_back(up: Provider) -> None:
    async def story(world: World) -> None:
        world.keeper.slow_s = 0.1
        asking = asyncio.ensure_future(world.chat("any"))
        await asyncio.sleep(0.02)
        await world.client.close(0.01)
        with pytest.raises(AppError, match="draining"):
            await asking
        await asyncio.sleep(0.15)
        assert world.client.counts() == (0, 0)

    play(up, story)
    assert up.requests == []


def test_every_connection_is_reported_once_with_what_it_carried(up: Provider) -> None:
    async def story(world: World) -> list[int]:
        totals = [0, 0]
        for _ in range(5):
            reply = await world.chat("any")
            await reply.read(100_000)
            totals[0] += reply.bytes_out
            totals[1] += reply.bytes_in
        await world.client.close()
        (record,) = world.ended
        assert (record.account, record.purpose, record.address) == ("acme", "exchange", f"{up.host}:{up.port}")
        assert record.counts.bytes_out == totals[0]
        assert record.counts.bytes_in - totals[1] in (0, 1)
        return totals

    assert play(up, story)[0] > 0


def test_three_thousand_requests_leave_nothing_behind(up: Provider) -> None:
    async def story(world: World) -> None:
        async def some() -> None:
            for number in range(100):
                reply = await world.chat("any", stream=number % 3 == 0)
                if number % 10 == 9:
                    reply.abort()
                else:
                    await reply.read(100_000)
                    reply.abort()

        await asyncio.gather(*[some() for _ in range(30)])

    play(up, story)


def test_the_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        Upstream(None)  # type: ignore[arg-type]
