"""The client for providers on bad days: each way a provider or network fails is one of our errors, in time, and leaves nothing open."""

from __future__ import annotations

import asyncio
import resource
import socket
import time

import pytest

from app.core.errors import AppError
from app.core.records import Destination
from app.egress.upstream import Target, Timeouts, may_repeat
from tests import provider_replies as replies
from tests.egress.world import QUICK, World, play, prompt
from tests.upstream import Upstream as Provider
from tests.upstream import black_hole, refused_port

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def fails(
    up: Provider, model: str, code: str, words: str = "", *, loop: str = "asyncio", stream: bool = False, timeouts: Timeouts = QUICK
) -> float:
    """Ask for `model`, expect that error and that the connection is not kept (if its framing broke); the seconds it took."""

    async def story(world: World) -> float:
        began = time.monotonic()
        with pytest.raises(AppError) as caught:
            await world.whole(model, stream=stream, timeouts=timeouts)
        took = time.monotonic() - began
        assert caught.value.code == code, caught.value
        assert words in caught.value.message
        assert up.host in caught.value.message
        well_framed = code == "provider_redirect" or model == "fault/gzip-cut"
        assert world.client.counts()[1] == (1 if well_framed else 0)
        assert await world.whole("any") == replies.chat("any").body
        return took

    took = play(up, story, loop)
    assert isinstance(took, float)
    return took


@LOOPS
@MODES
@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("fault/reset", "provider_broken", "before it answered"),
        ("fault/close", "provider_broken", "before it answered"),
        ("fault/reset-mid", "provider_broken", "cut its answer off"),
        ("fault/cut", "provider_broken", "cut its answer off"),
        ("fault/cut?after=0", "provider_broken", "cut its answer off"),
        ("fault/garbage", "provider_broken", "not valid HTTP"),
        ("fault/switch", "provider_broken", "another protocol"),
        ("fault/two-lengths", "provider_broken", "not valid HTTP"),
        ("fault/gzip-on-the-way", "provider_broken", "compressed"),
        ("fault/length-and-chunked", "provider_broken", "not valid HTTP"),
        ("fault/endless-headers", "provider_broken", " sent "),
        ("fault/endless-header", "provider_broken", "too much"),
        ("fault/endless-interim", "provider_broken", "too much"),
        ("fault/endless-extension", "provider_broken", "too much"),
        ("fault/endless-trailer", "provider_broken", " sent "),
        ("fault/gzip-cut", "provider_broken", "compressed"),
        ("fault/brotli", "provider_broken", "compressed"),
        ("fault/redirect", "provider_redirect", "elsewhere.example"),
        ("fault/redirect?status=307", "provider_redirect", "elsewhere.example"),
        ("fault/redirect?status=304&to=", "provider_redirect", ""),
    ],
)
def test_a_broken_answer_is_an_error_and_the_next_request_works(
    up: Provider, loop: str, stream: bool, model: str, code: str, words: str
) -> None:
    assert fails(up, model, code, words, loop=loop, stream=stream) < 1.5


@LOOPS
@MODES
@pytest.mark.parametrize(
    "model",
    ["fault/bytewise", "fault/interim", "fault/trailers", "fault/http10", "fault/gzipped", "fault/gzip-stream", "fault/close-after"],
)
def test_an_odd_but_valid_answer_comes_back_whole(up: Provider, loop: str, stream: bool, model: str) -> None:
    expected = replies.chat_stream(model, include_usage=False) if stream else replies.chat(model)

    async def story(world: World) -> None:
        for _ in range(2):
            assert await world.whole(model, stream=stream) == expected.body

    play(up, story, loop)
    kept = model not in ("fault/http10", "fault/close-after")
    assert up.connections == (1 if kept else 2)


def test_a_character_cut_in_two_arrives_whole(up: Provider) -> None:
    async def story(world: World) -> None:
        assert (await world.whole("fault/utf8-split")).decode() == replies.chat("fault/utf8-split").body.decode()

    play(up, story)


def test_an_unpacked_answer_no_longer_claims_to_be_packed(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/gzipped")
        assert reply.header("x-request-id") == "req_upstream_0001"
        names = [name for name, _ in reply.headers]
        assert "content-encoding" not in names
        assert "content-length" not in names
        await reply.read(100_000)

    play(up, story)


def test_a_redirect_is_not_followed_and_its_path_is_not_told(up: Provider) -> None:
    async def story(world: World) -> None:
        with pytest.raises(AppError) as caught:
            await world.whole("fault/redirect")
        assert "steal" not in str(caught.value)
        assert "key" not in caught.value.message
        with pytest.raises(AppError, match="redirect to 127"):
            await world.whole("fault/redirect?to=/elsewhere")

    play(up, story)
    assert len(up.requests) == 2


@LOOPS
def test_a_bomb_is_cut_before_it_takes_memory(up: Provider, loop: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def story(world: World) -> None:
        reply = await world.chat("fault/gzip-bomb?mb=2048")
        with pytest.raises(AppError, match="grows without end"):
            while await reply.chunk():
                pass
        reply.abort()
        with pytest.raises(AppError, match="larger than"):
            await (await world.chat("fault/gzip-bomb?mb=2048")).read(1024 * 1024)

    play(up, story, loop)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # the provider packs 16 MB of it in this process


@LOOPS
@pytest.mark.parametrize(
    ("model", "timeouts", "words", "at_s"),
    [
        ("fault/silent", Timeouts(first_byte_s=0.3, silence_s=5, total_s=5), "did not begin to answer within 0.3 s", 0.3),
        ("fault/silent", Timeouts(first_byte_s=5, silence_s=5, total_s=0.3), "took longer than 0.3 s", 0.3),
        ("fault/stall", Timeouts(first_byte_s=5, silence_s=0.3, total_s=5), "sent nothing for 0.3 s", 0.3),
        ("fault/stall", Timeouts(first_byte_s=0.2, silence_s=0.4, total_s=5), "sent nothing for 0.4 s", 0.4),
        ("any?chunks=1000&every_ms=20", Timeouts(first_byte_s=0.2, silence_s=0.2, total_s=0.5), "took longer than 0.5 s", 0.5),
    ],
)
def test_a_provider_that_takes_too_long_is_left(up: Provider, loop: str, model: str, timeouts: Timeouts, words: str, at_s: float) -> None:
    took = fails(up, model, "provider_timeout", words, loop=loop, stream=True, timeouts=timeouts)
    assert at_s - 0.01 <= took < at_s + 0.25
    assert up.wait_gone(up.requests[0]) - up.requests[0].at < at_s + 0.25


def test_a_slow_stream_that_never_falls_silent_is_read_to_its_end(up: Provider) -> None:
    async def story(world: World) -> None:
        model = "any?chunks=20&every_ms=40"
        body = await world.whole(model, stream=True, timeouts=Timeouts(first_byte_s=0.2, silence_s=0.2, total_s=10))
        assert body == replies.chat_stream(model, include_usage=False).body

    play(up, story)


def test_a_slow_reader_is_not_taken_for_a_silent_provider(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/endless-body", timeouts=Timeouts(first_byte_s=0.2, silence_s=0.2, total_s=10))
        for _ in range(4):
            await asyncio.sleep(0.4)
            assert await reply.chunk()
        reply.abort()

    play(up, story)


def test_what_arrived_before_the_cut_is_given_out_before_the_error(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/cut?after=3", stream=True)
        await asyncio.sleep(0.1)
        got = b""
        with pytest.raises(AppError, match="provider_broken"):
            while True:
                got += await reply.chunk()
        assert got == b"".join(replies.chat_stream("fault/cut?after=3", include_usage=False).pieces[:3])
        with pytest.raises(AppError, match="provider_broken"):
            await reply.chunk()

    play(up, story)


def test_a_second_reply_nobody_asked_for_is_never_taken_for_the_next_one(up: Provider) -> None:
    async def story(world: World) -> None:
        assert await world.whole("fault/second-reply") == replies.chat("fault/second-reply").body
        assert world.client.counts()[1] == 0
        assert await world.whole("next") == replies.chat("next").body
        assert await world.whole("fault/second-reply?s=0.05") == replies.chat("fault/second-reply?s=0.05").body
        await asyncio.sleep(0.15)
        assert world.client.counts()[1] == 0
        assert await world.whole("last") == replies.chat("last").body

    play(up, story)
    assert up.connections == 3


def test_an_error_status_is_passed_on_with_its_body_and_headers(up: Provider) -> None:
    async def story(world: World) -> None:
        for status in (400, 401, 404, 429, 500, 503, 529):
            reply = await world.chat(f"fault/{status}?retry-after=17")
            assert reply.status == status
            assert reply.header("retry-after") == "17"
            assert b'"error"' in await reply.read(100_000)
        assert world.client.counts() == (1, 1)

    play(up, story)


@LOOPS
@MODES
def test_a_client_that_leaves_stops_the_provider_at_once(up: Provider, loop: str, stream: bool) -> None:
    delays: list[float] = []

    async def story(world: World) -> None:
        for model in ("fault/silent", "fault/stall", "fault/endless-body", "any?chunks=1000&every_ms=10"):
            if model.startswith("any") and not stream:
                continue
            asking = asyncio.ensure_future(world.whole(model, stream=stream))
            count = len(up.requests)
            await asyncio.to_thread(up.wait_requests, count + 1)
            await asyncio.sleep(0.05)
            left = time.monotonic()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            delays.append(await asyncio.to_thread(up.wait_gone, up.last) - left)

    play(up, story, loop)
    assert prompt(delays), delays


def test_aborting_twice_or_after_the_end_does_nothing_more(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("any")
        await reply.read(100_000)
        reply.abort()
        reply.abort()
        assert world.client.counts() == (1, 1)
        reply = await world.chat("fault/stall", stream=True)
        reply.abort()
        reply.abort()
        with pytest.raises(AppError, match="not read to its end"):
            await reply.chunk()

    play(up, story)


def test_whoever_waits_for_an_aborted_reply_is_told(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/stall?after=1", stream=True)
        await reply.chunk()
        waiting = asyncio.ensure_future(reply.chunk())
        await asyncio.sleep(0.01)
        reply.abort()
        with pytest.raises(AppError, match="not read to its end"):
            await waiting

    play(up, story)


def test_two_readers_of_one_reply_are_a_mistake(up: Provider) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/stall?after=1", stream=True)
        await reply.chunk()
        waiting = asyncio.ensure_future(reply.chunk())
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="one reader"):
            await reply.chunk()
        reply.abort()
        with pytest.raises(AppError):
            await waiting

    play(up, story)


# Connecting.


def test_a_port_nobody_listens_on_is_unreachable(up: Provider) -> None:
    with refused_port() as port:

        async def story(world: World) -> None:
            world.keeper.accounts["acme"] = ("127.0.0.1", port)
            with pytest.raises(AppError, match="provider_unreachable"):
                await world.whole("any")

        play(up, story)


def test_a_connection_that_is_never_made_is_given_up_in_time(up: Provider) -> None:
    with black_hole() as port:

        async def story(world: World) -> None:
            world.keeper.accounts["acme"] = ("127.0.0.1", port)
            began = time.monotonic()
            with pytest.raises(AppError, match=r"could not be reached within 0\.3 s") as caught:
                await world.whole("any", timeouts=Timeouts(connect_s=0.3))
            assert caught.value.code == "provider_timeout"
            assert time.monotonic() - began < 5
            world.keeper.accounts["acme"] = (up.host, up.port)
            assert await world.whole("any") == replies.chat("any").body

        play(up, story)


def test_a_refusal_of_the_keeper_is_passed_on(up: Provider) -> None:
    async def story(world: World) -> None:
        world.keeper.error = AppError("destination_refused", "169.254.169.254 is a metadata address.")
        with pytest.raises(AppError, match="metadata address") as caught:
            await world.whole("any")
        assert caught.value.code == "destination_refused"
        world.keeper.error = None
        await world.whole("any")

    play(up, story)
    assert up.connections == 1


@LOOPS
def test_a_client_that_leaves_while_its_connection_is_made_leaves_nothing(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        world.keeper.slow_s = 0.1
        for wait_s in (0, 0.01, 0.05, 0.0995, 0.1, 0.1005, 0.101, 0.11):
            asking = asyncio.ensure_future(world.whole("any?every_ms=100"))
            await asyncio.sleep(wait_s)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        world.keeper.slow_s = 0
        await asyncio.sleep(0.15)
        await world.whole("any")

    play(up, story, loop)


# Kept connections that have ended meanwhile.


@LOOPS
@pytest.mark.parametrize("then", ["reset", "close"])
def test_a_request_that_crosses_with_the_end_of_a_kept_connection_is_sent_once_more(up: Provider, loop: str, then: str) -> None:
    async def story(world: World) -> None:
        await world.whole(f"fault/race?then={then}")
        reply = await world.chat("any")
        assert reply.repeated
        assert not reply.reused
        assert await reply.read(100_000) == replies.chat("any").body

    play(up, story, loop)
    assert [(request.connection, request.json["model"]) for request in up.requests[1:]] == [(1, "any"), (2, "any")]


@LOOPS
def test_an_end_that_was_already_seen_costs_no_request(up: Provider, loop: str) -> None:
    async def story(world: World) -> None:
        await world.whole("fault/close-silently?s=0.02")
        assert world.client.counts() == (1, 1)
        await asyncio.sleep(0.1)
        assert world.client.counts() == (0, 0)
        reply = await world.chat("any")
        assert not reply.repeated
        await reply.read(100_000)

    play(up, story, loop)
    assert len(up.requests) == 2


def test_all_kept_connections_that_the_provider_ended_are_noticed(up: Provider) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*[world.whole("any?every_ms=30") for _ in range(5)])
        await asyncio.to_thread(up.close_connections)
        await asyncio.sleep(0.05)
        assert world.client.counts() == (0, 0)

    play(up, story)


def test_there_is_one_retry_and_no_second(up: Provider) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*[world.whole("fault/race?then=reset&x=1") for _ in range(3)])
        up.on("doomed", "reset")
        with pytest.raises(AppError, match="before it answered"):
            await world.whole("doomed")

    play(up, story)
    assert len([request for request in up.requests if request.json["model"] == "doomed"]) == 2


def test_a_request_on_a_new_connection_is_never_repeated(up: Provider) -> None:
    async def story(world: World) -> None:
        with pytest.raises(AppError, match="before it answered"):
            await world.whole("fault/reset")

    play(up, story)
    assert len(up.requests) == 1


def test_nothing_is_repeated_once_a_byte_of_the_reply_came(up: Provider) -> None:
    async def story(world: World) -> None:
        await world.whole("any")
        with pytest.raises(AppError, match="cut its answer off"):
            await world.whole("fault/cut?after=0", stream=True)

    play(up, story)
    assert len(up.requests) == 2


def test_a_request_the_provider_may_have_served_is_not_repeated(up: Provider) -> None:
    async def story(world: World) -> None:
        await world.whole("fault/race?then=reset%3Fs%3D0.6")
        with pytest.raises(AppError, match="before it answered"):
            await world.whole("any")

    play(up, story)
    assert len(up.requests) == 2


def test_with_an_idempotency_key_or_a_get_it_is(up: Provider) -> None:
    async def story(world: World) -> None:
        await world.whole("fault/race?then=reset%3Fs%3D0.6")
        reply = await world.ask(b'{"model":"any"}', "/v1/chat/completions", ("idempotency-key", "k1"))
        assert reply.repeated
        await reply.read(100_000)
        await world.whole("fault/race?then=reset%3Fs%3D0.6")
        reply = await world.client.send(world.target, "GET", "/v1/models", world.headers(), timeouts=QUICK)
        assert reply.repeated
        await reply.read(100_000)

    play(up, story)


def test_when_a_request_may_be_repeated() -> None:
    assert may_repeat("POST", (), waited_s=0.01, connect_s=0.02)
    assert may_repeat("POST", (), waited_s=0.5, connect_s=0.2)
    assert not may_repeat("POST", (), waited_s=0.5, connect_s=0.02)
    assert may_repeat("GET", (), waited_s=30, connect_s=0.02)
    assert may_repeat("POST", (("Idempotency-Key", "x"),), waited_s=30, connect_s=0.02)


def test_a_provider_that_answers_before_it_has_read_the_request_is_heard_and_the_connection_not_kept(up: Provider) -> None:
    async def story(world: World) -> None:
        up.on("/v1/chat/completions", "early", times=1)
        large = b'{"model":"any","x":"' + b"x" * (8 * 1024 * 1024) + b'"}'
        try:
            reply = await world.ask(large)
        except AppError as error:  # its reset may overtake its answer
            assert error.code == "provider_broken"
        else:
            assert reply.status == 413
            await reply.read(100_000)
            reply.abort()
        await asyncio.sleep(0.02)
        assert world.client.counts()[1] == 0
        await world.whole("any")

    play(up, story)


def test_a_keeper_that_hands_over_a_dead_socket_is_an_error_like_any_other(up: Provider) -> None:
    async def story(world: World) -> None:
        dial = world.keeper.ask

        async def dead(op: str, fields: dict[str, object]) -> tuple[dict[str, object], list[socket.socket]]:
            facts, sockets = await dial(op, fields)
            for sock in sockets:
                sock.shutdown(socket.SHUT_RDWR)
            return facts, sockets

        world.client._door._ask = dead  # type: ignore[misc]
        with pytest.raises(AppError) as caught:
            await world.whole("any")
        assert caught.value.code in ("provider_broken", "provider_unreachable")
        world.client._door._ask = dial  # type: ignore[misc]
        await world.whole("any")

    play(up, story)


def test_a_host_with_an_ipv6_address_is_named_in_brackets(up: Provider) -> None:
    async def story(world: World) -> None:
        world.target = Target("acme", Destination("http", "::1", up.port, True))
        await world.whole("any")

    play(up, story)
    assert up.last.header("host") == f"[::1]:{up.port}"
