"""Everything that arrives is counted from its first byte, and nobody without a key takes the room of those who have one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from app.core.errors import AppError
from app.engine.apart import Apart
from app.engine.connection import Connection
from app.engine.incoming import Incoming
from app.engine.room import NOBODY, Room, Sizes
from app.engine.server import Limits
from app.system import socket_table
from app.wire.body import LARGE
from tests.engine.site import JSON, Site, head, statuses

SIZES = Sizes(all=400_000, each=250_000, unknown=100_000)
KEY, OTHER = "X-Api-Key: one", "X-Api-Key: two"


@pytest.fixture(params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    loop = pytest.importorskip("uvloop").new_event_loop() if request.param == "uvloop" else None
    with Site(Limits(head_s=3.0, idle_s=5.0), loop=loop, room=Room(SIZES)) as running:
        yield running
        until(lambda: not running.server.open and not running.room.held)
        assert running.room.of(NOBODY) == running.room.of("one") == running.room.of("two") == 0


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def connected(site: Site) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", site.port))
    sock.settimeout(10)
    return sock


def pushed(sock: socket.socket, piece: bytes, most: int) -> int:
    """How many bytes of an endless row of `piece` the other end takes before it hangs up, or `most`."""
    taken = 0
    with contextlib.suppress(OSError):
        while taken < most:
            taken += sock.send(piece)
    return taken


# -- heads and trailers

ENDLESS = {
    "a header's value": (b"GET /x HTTP/1.1\r\nHost: h\r\nX: ", b"a" * 65_536),
    "a header's name": (b"GET /x HTTP/1.1\r\nHost: h\r\n", b"a" * 65_536),
    "the second header, in drops": (b"GET /x HTTP/1.1\r\nA: b\r\nX: ", b"a" * 1_000),
    "the request line": (b"GET /", b"a" * 65_536),
    "empty lines": (b"", b"\r\n" * 30_000),
    "many headers": (b"GET /x HTTP/1.1\r\n", b"X: 1\r\n" * 10_000),
}
FLOOD = 64 << 20  # far more than the kernel's own buffers hold


@pytest.mark.parametrize("case", ENDLESS)
def test_an_endless_head_is_refused_after_what_a_head_may_have(site: Site, case: str) -> None:
    opening, piece = ENDLESS[case]
    with connected(site) as sock:
        sock.sendall(opening)
        assert pushed(sock, piece, FLOOD) < FLOOD
    until(lambda: not site.server.open)


def test_a_head_that_begins_in_the_same_piece_as_a_request_ends_is_counted(site: Site) -> None:
    answer = site.send(head(site, JSON, "Content-Length: 2") + b"{}GET /x HTTP/1.1\r\nX: " + b"a" * 60_000)
    assert b" 431 " in answer and answer.endswith(b"<closed>")


BODY = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
DRY = {
    "a trailer's value": (BODY + b"0\r\nX: ", b"a" * 65_536),
    "a trailer's name": (BODY + b"0\r\n", b"a" * 65_536),
    "trailers": (BODY + b"0\r\n", b"X: 1\r\n" * 10_000),
    "a chunk's extension": (BODY + b"2;", b"a" * 65_536),
    "zeros of a chunk's size": (BODY, b"0" * 65_536),
    "a rain of chunks with long extensions": (BODY, (b"1;x=" + b"a" * 8_000 + b"\r\nb\r\n") * 8),
}


@pytest.mark.parametrize("case", DRY)
def test_what_stands_between_or_behind_a_body_is_counted_too(site: Site, case: str) -> None:
    opening, piece = DRY[case]
    with connected(site) as sock:
        sock.sendall(head(site, JSON, KEY)[:-2] + opening)
        assert pushed(sock, piece, FLOOD) < FLOOD
    until(lambda: not site.server.open)


def test_an_endless_trailer_is_answered_as_what_it_is(site: Site) -> None:
    with connected(site) as sock:
        sock.sendall(head(site, JSON, KEY)[:-2] + BODY + b"0\r\nX: ")
        until(lambda: site.room.of("one") == 2)
        sock.sendall(b"a" * 40_000)
        assert b" 431 " in sock.recv(65_536)


def test_a_trailer_never_becomes_a_header(site: Site) -> None:
    tail = b"0\r\nopenai-beta: x\r\nx-api-key: stolen\r\nhost: evil\r\n\r\n"
    answer = site.send(head(site, JSON, "Connection: close", path="/headers")[:-2] + BODY + tail)
    assert statuses(answer) == [200]
    assert b"openai-beta" not in answer and b"x-api-key" not in answer
    assert answer.count(b'"host"') == 1


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "chunked, chunked", "Chunked\r\nTransfer-Encoding: gzip"])
def test_no_other_transfer_coding_is_taken_for_chunked(site: Site, coding: str) -> None:
    answer = site.send(head(site, JSON, f"Transfer-Encoding: {coding}") + b"2\r\n{}\r\n0\r\n\r\n")
    assert 200 not in statuses(answer)


@pytest.mark.parametrize("first", ["same-origin", "none"])
def test_of_two_headers_that_let_in_none_is_chosen(site: Site, first: str) -> None:
    for name, good, bad in [
        ("Sec-Fetch-Site", first, "cross-site"),
        ("Content-Type", "application/json", "text/plain"),
        ("Content-Encoding", "identity", "gzip"),
    ]:
        both = [f"{name}: {good}", f"{name}: {bad}"] + ([] if name == "Content-Type" else [JSON])
        assert statuses(site.send(head(site, *both, "Content-Length: 2") + b"{}")) == [400]


# -- bodies


def test_a_body_in_tiny_pieces_takes_the_room_of_its_bytes(site: Site) -> None:
    size = 240_000
    with connected(site) as sock:
        sock.sendall(head(site, JSON, KEY, "Transfer-Encoding: chunked"))
        sock.sendall(b"2\r\nab\r\n" * 100)
        until(lambda: site.room.of("one") == 200)
        tracemalloc.start()
        try:
            for _ in range((size - 200) // 2_000):
                sock.sendall(b"2\r\nab\r\n" * 1_000)
            until(lambda: site.room.of("one") >= size - 2_000)
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert taken < 4 * size
        sock.sendall(b"0\r\n\r\n")
        assert f'"size":{site_received(size)}'.encode() in sock.recv(65_536)


def site_received(size: int) -> int:
    return 200 + (size - 200) // 2_000 * 2_000


def test_what_a_connection_held_is_free_without_a_collection(site: Site) -> None:
    def alive() -> int:
        return sum(isinstance(each, Connection | Incoming) for each in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        for ending in (b"0\r\n\r\n", b"", b"zz\r\n"):  # whole, cut off, broken
            for _ in range(5):
                with connected(site) as sock:
                    sock.sendall(head(site, JSON, KEY, "Transfer-Encoding: chunked") + b"10000\r\n" + b"a" * 0x10000 + b"\r\n" + ending)
                    if ending:
                        sock.recv(65_536)
        until(lambda: not site.server.open)
        until(lambda: alive() <= before, 5)
    finally:
        gc.enable()


def held(site: Site, key: str, size: int, sent: int) -> socket.socket:
    """A request whose body is announced as `size` bytes, of which `sent` come."""
    sock = connected(site)
    sock.sendall(head(site, JSON, *([key] if key else []), f"Content-Length: {size}", "Expect: 100-continue"))
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    sock.sendall(b"a" * sent)
    return sock


def test_bodies_that_never_end_are_counted_while_they_arrive(site: Site) -> None:
    with contextlib.ExitStack() as open_ones:
        first = [open_ones.enter_context(held(site, KEY, 90_000, 80_000)) for _ in range(3)]
        until(lambda: site.room.of("one") == 240_000)
        # One client has its share; another one, and one without a key, have theirs.
        late = open_ones.enter_context(held(site, KEY, 90_000, 80_000))
        assert b" 503 " in late.recv(65_536)
        assert b'"size":80000' in answered(open_ones.enter_context(held(site, OTHER, 80_000, 80_000)))
        until(lambda: site.room.held == 240_000)
        # A body that waits goes on where there is room for the rest of it.
        first[0].close()
        until(lambda: site.room.of("one") == 160_000)
        first[1].sendall(b"a" * 10_000)
        assert b'"size":90000' in answered(first[1])


def answered(sock: socket.socket) -> bytes:
    return sock.recv(65_536)


def test_what_nobody_has_shown_a_key_for_has_a_small_part(site: Site) -> None:
    assert b'"size":90000' in answered_once(site, "", 90_000)
    assert b" 503 " in answered_once(site, "", 110_000)
    assert b'"size":110000' in answered_once(site, KEY, 110_000)
    assert b" 503 " in answered_once(site, KEY, 260_000)


def test_what_a_client_sends_ahead_is_its_own(site: Site) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(8):
            sock = open_ones.enter_context(connected(site))
            ahead = head(site, JSON, KEY, "Content-Length: 20000") + b"a" * 20_000
            sock.sendall(head(site, KEY, method="GET", path="/hang") + ahead)
        until(lambda: site.room.held > 90_000)
        assert site.room.of(NOBODY) == 0
        assert b'"size":90000' in answered_once(site, OTHER, 90_000)
        site.loop.call_soon_threadsafe(lambda: [connection.transport.abort() for connection in site.server.open])


def answered_once(site: Site, key: str, size: int) -> bytes:
    with held(site, key, size, size) as sock:
        return sock.recv(65_536)


def test_the_rest_of_all_rooms_is_the_room_of_all() -> None:
    room = Room(SIZES)
    room.take("one", 250_000)
    room.take("two", 100_000)
    for owner, size in (("one", 1), ("two", 60_000), ("three", 60_000), (NOBODY, 50_001)):
        with pytest.raises(AppError, match="memory_full"):
            room.take(owner, size)
    room.take(NOBODY, 50_000)
    with pytest.raises(AppError, match="memory_full"):
        room.move(50_000, NOBODY, "one")
    room.move(50_000, NOBODY, "two")
    assert (room.held, room.of(NOBODY), room.of("two")) == (400_000, 0, 150_000)


def test_large_work_is_done_apart_and_small_work_here(site: Site) -> None:
    apart = Apart()

    async def both() -> tuple[int, int, int]:
        return threading.get_ident(), await apart.run(LARGE, threading.get_ident), await apart.run(LARGE + 1, threading.get_ident)

    loop, small, large = asyncio.run(both())
    assert small == loop != large


def test_a_large_body_that_nobody_waits_for_is_not_kept_until_a_thread_is_free() -> None:
    class Body:
        pass

    async def left() -> None:
        apart, gate, body = Apart(), threading.Event(), Body()
        kept = weakref.ref(body)
        busy = [asyncio.create_task(apart.run(LARGE + 1, gate.wait)) for _ in range(2)]
        await asyncio.sleep(0.05)
        late = asyncio.create_task(apart.run(LARGE + 1, partial(id, body)))
        await asyncio.sleep(0.05)
        del body
        for task in (late, *busy):
            task.cancel()
        await asyncio.wait((late, *busy))
        del late
        try:
            assert kept() is None
            next_one = asyncio.create_task(apart.run(LARGE + 1, threading.get_ident))
            await asyncio.sleep(0.05)
            assert not next_one.done(), "a thread that works for nobody is not free"
        finally:
            gate.set()
        assert await next_one

    asyncio.run(left())


# -- places


def test_strangers_make_room_and_those_with_a_key_stay() -> None:
    with Site(Limits(connections=8)) as site, contextlib.ExitStack() as open_ones:
        known = open_ones.enter_context(connected(site))
        known.sendall(head(site, KEY, method="GET"))
        assert b" 200 " in known.recv(65_536)
        idle = [open_ones.enter_context(connected(site)) for _ in range(12)]
        until(lambda: len(site.server.open) <= 5)
        assert statuses(site.send(head(site, KEY, "Connection: close", method="GET"))) == [200]
        assert len(site.server.strangers) <= 4
        idle[0].settimeout(5)
        assert idle[0].recv(1) == b"", "the oldest had to go"
        known.sendall(head(site, KEY, method="GET"))
        assert b" 200 " in known.recv(65_536)


def test_where_all_have_shown_a_key_a_newcomer_is_told() -> None:
    with Site(Limits(connections=3)) as site, contextlib.ExitStack() as open_ones:
        for _ in range(3):
            sock = open_ones.enter_context(connected(site))
            sock.sendall(head(site, KEY, method="GET"))
            assert b" 200 " in sock.recv(65_536)
        assert statuses(site.send(head(site, method="GET"))) == [503]
    with Site(Limits(connections=3)) as site:
        assert statuses(site.send(head(site, method="GET"))) == [200]


CROWD = """
import socket, sys, time, os
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
held = []
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        each = socket.socket()
        each.settimeout(5)
        each.connect(("127.0.0.1", int(sys.argv[1])))
        held.append(each)
    except OSError:
        pass
    time.sleep(0.002)
    if len(held) > 200:
        held.pop(0).close()
"""


@pytest.mark.needs("root")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose a connection is")
def test_another_user_of_the_machine_crowds_out_nobody_but_himself() -> None:
    with Site(Limits(connections=40, head_s=600.0, idle_s=600.0)) as site, contextlib.ExitStack() as open_ones:
        mine = [open_ones.enter_context(connected(site)) for _ in range(5)]  # no key was shown on them yet
        until(lambda: len(site.server.strangers) == 5)
        site.loop.call_soon_threadsafe(site.server._name_strangers)
        until(lambda: list(site.server.strangers.values()) == [0] * 5)
        crowd = subprocess.Popen([sys.executable, "-c", CROWD, str(site.port), "54321"], stdout=subprocess.PIPE)
        try:
            assert crowd.stdout is not None
            crowd.stdout.readline()
            until(lambda: list(site.server.strangers.values()).count(54321) > 5)
            for _ in range(20):
                assert statuses(site.send(head(site, KEY, "Connection: close", method="GET"))) == [200]
            assert len(site.server.open) <= 22
            for sock in mine:
                sock.sendall(head(site, KEY, method="GET"))
                assert b" 200 " in sock.recv(65_536)
        finally:
            crowd.kill()
            crowd.wait()
            assert crowd.stdout is not None
            crowd.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose a connection is")
def test_the_system_says_whose_a_connection_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as sock:
            assert socket_table.clients_of(port) == {sock.getsockname(): os.getuid()}
    assert socket_table.clients_of(1) == {}
