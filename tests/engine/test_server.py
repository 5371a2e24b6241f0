"""The HTTP server against hostile bytes: smuggling shapes, rebinding, cross-site requests, slow and endless senders."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest

from app.core.errors import AppError
from app.engine.exchange import error_body
from app.engine.server import Limits
from app.engine.web import Incoming, Reply, Stream
from tests.engine.site import JSON, Site, head, statuses


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    loop = pytest.importorskip("uvloop").new_event_loop() if request.param == "uvloop" else None
    with Site(Limits(head_s=1.0, idle_s=5.0), loop=loop) as running:
        yield running


def test_a_plain_request_is_answered(site: Site) -> None:
    answer = site.send(head(site, JSON, "Content-Length: 2") + b"{}")
    assert statuses(answer) == [200]
    assert b'{"size":2}' in answer
    assert b"aiohttp" not in answer.lower() and b"python" not in answer.lower()


SMUGGLING = {
    "length and chunked": ("Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\nX"),
    "two lengths": ("Content-Length: 2\r\nContent-Length: 3", b"{}"),
    "unknown coding": ("Transfer-Encoding: xchunked", b"0\r\n\r\n"),
    "chunked not last": ("Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    "blank before colon": ("Content-Length : 2", b"{}"),
    "folded header": ("X-A: b\r\n c\r\nContent-Length: 2", b"{}"),
    "negative length": ("Content-Length: -1", b""),
    "signed length": ("Content-Length: +2", b"{}"),
    "length with underscore": ("Content-Length: 1_0", b"{}"),
    "hex length": ("Content-Length: 0x2", b"{}"),
    "NUL in a header": ("X: a\0b\r\nContent-Length: 2", b"{}"),
    "chunk size too large": ("Transfer-Encoding: chunked", b"FFFFFFFFFFFFFFFFF\r\n"),
    "chunk size signed": ("Transfer-Encoding: chunked", b"+2\r\n{}\r\n0\r\n\r\n"),
    "chunk extension with newline": ("Transfer-Encoding: chunked", b"2;a=\n\r\n{}\r\n0\r\n\r\n"),
    "control character in a name": ("X\x01: 1\r\nContent-Length: 2", b"{}"),
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_a_smuggling_shape_gets_no_second_request_through(site: Site, case: str) -> None:
    extra, body = SMUGGLING[case]
    hidden = head(site, JSON, "Content-Length: 2", path="/hidden") + b"{}"
    answer = site.send(head(site, JSON, extra) + body + hidden)
    assert 200 not in statuses(answer), answer
    assert len(statuses(answer)) <= 1
    assert not answer.endswith(b"<open>")


@pytest.mark.parametrize(
    "text", ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET /x HTTP/9.9\r\n\r\n"]
)
def test_what_is_not_http_1_is_refused(site: Site, text: str) -> None:
    assert not {200} & set(statuses(site.send(text.encode("latin-1"))))


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:1", "127.0.0.1", "0.0.0.0:{port}", "evil@127.0.0.1:{port}", "127.0.0.1:{port}/#"]
)
def test_another_host_name_is_421(site: Site, host: str) -> None:
    answer = site.send(head(site, method="GET", host=host.format(port=site.port)))
    assert statuses(answer) in ([421], [400])


def test_two_hosts_and_no_host_are_refused(site: Site) -> None:
    own = f"127.0.0.1:{site.port}"
    assert statuses(site.send(f"GET /x HTTP/1.1\r\nHost: {own}\r\nHost: evil\r\n\r\n".encode())) in ([421], [400])
    assert statuses(site.send(b"GET /x HTTP/1.1\r\n\r\n")) in ([421], [400])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip", 415),
    ],
)
def test_what_a_web_page_can_send_is_refused(site: Site, line: str, status: int) -> None:
    lines = [line] if line.startswith("Content-Type") else [JSON, line]
    answer = site.send(head(site, *lines, "Content-Length: 2") + b"{}")
    assert statuses(answer) == [status]
    assert b'"error"' in answer
    assert b"access-control" not in answer.lower()


def test_a_preflight_gets_nothing(site: Site) -> None:
    lines = ["Origin: https://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"]
    answer = site.send(head(site, *lines, method="OPTIONS"))
    assert statuses(answer) == [403]
    assert b"access-control" not in answer.lower()


def test_large_heads_are_refused(site: Site) -> None:
    long = site.send(head(site, "X: " + "a" * 70_000, method="GET"))
    many = site.send(head(site, *[f"X{n}: 1" for n in range(500)], method="GET"))
    path = site.send(head(site, method="GET", path="/" + "a" * 9_000))
    for answer in (long, many, path):
        assert 200 not in statuses(answer)
        assert statuses(answer) or answer.endswith((b"<reset>", b"<closed>"))


def test_a_body_over_the_limit_is_413_by_its_claim_and_by_its_bytes(site: Site) -> None:
    claimed = site.send(head(site, JSON, "Content-Length: 5000000000") + b"abc")
    assert statuses(claimed) == [413]
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    sent = site.send(head(site, JSON, "Transfer-Encoding: chunked") + chunk * 20 + b"0\r\n\r\n")
    assert statuses(sent) == [413] or sent == b"<reset>"


def test_a_slow_head_and_a_silent_connection_are_cut_off(site: Site) -> None:
    for opening in (b"", b"GET / HTTP/1.1\r\nHost: "):
        with socket.create_connection(("127.0.0.1", site.port)) as sock:
            sock.settimeout(6)
            began = time.monotonic()
            closed = False
            sock.sendall(opening)
            while time.monotonic() - began < 30:
                try:
                    if opening:
                        sock.sendall(b"a")
                    sock.settimeout(0.2)
                    closed = sock.recv(100) == b""
                    break
                except TimeoutError:
                    continue
                except OSError:
                    closed = True
                    break
            assert closed, opening


def test_a_body_that_stops_coming_is_408(site: Site) -> None:
    answer = site.send(head(site, JSON, "Content-Length: 100") + b"{", wait_s=4)
    assert statuses(answer) == [408]


def test_a_client_that_leaves_cancels_its_handler(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        sock.sendall(head(site, method="GET", path="/hang"))
        time.sleep(0.2)
    assert site.cancelled.wait(2)


def test_a_stream_ends_properly(site: Site) -> None:
    answer = site.send(head(site, "Connection: close", method="GET", path="/stream"))
    assert b"data: 1\n\n" in answer and b"data: 2\n\n" in answer
    assert answer.endswith(b"0\r\n\r\n<closed>")


def test_a_bug_in_a_handler_is_a_plain_500(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer = site.send(head(site, method="GET", path="/broken"))
    assert statuses(answer) == [500]
    assert b"secret detail" not in answer and b"Traceback" not in answer


def test_a_peer_that_is_not_admitted_gets_403() -> None:
    with Site(Limits(), admits=lambda _: False) as site:
        assert statuses(site.send(head(site, method="GET"))) == [403]


def test_errors_before_a_handler_have_our_shape() -> None:
    assert error_body(AppError("body_invalid", "No.")).startswith(b'{"error":')


def test_pipelined_requests_are_answered_in_their_order(site: Site) -> None:
    answer = site.send(b"".join(head(site, JSON, f"Content-Length: {n}") + b"x" * n for n in (3, 1, 2)), wait_s=1)
    assert [int(size) for size in re.findall(rb'"size":(\d+)', answer)] == [3, 1, 2]


def test_too_many_pipelined_requests_are_refused(site: Site) -> None:
    answer = site.send(head(site, method="GET", path="/hang") + head(site, method="GET") * 50, wait_s=1)
    assert 200 not in statuses(answer)


@pytest.mark.parametrize("cuts", [1, 2, 7])
def test_a_request_in_pieces_is_the_same_request(site: Site, cuts: int) -> None:
    data = head(site, JSON, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), cuts):
            sock.sendall(data[start : start + cuts])
        assert b'{"size":5}' in sock.recv(65536)


def test_http_1_0_gets_its_answer_and_the_end(site: Site) -> None:
    own = f"127.0.0.1:{site.port}"
    answer = site.send(f"GET /stream HTTP/1.0\r\nHost: {own}\r\nConnection: keep-alive\r\n\r\n".encode())
    assert answer.endswith(b"\r\n\r\ndata: 1\n\ndata: 2\n\n<closed>")


def test_head_gets_no_body_and_the_connection_goes_on(site: Site) -> None:
    answer = site.send(head(site, method="HEAD") + head(site, method="GET"), wait_s=1)
    assert statuses(answer) == [200, 200]
    assert answer.count(b'"size"') == 1


def test_who_wishes_for_http_2_is_told_how_to_ask_without(site: Site) -> None:
    wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")
    answer = site.send(head(site, JSON, *wish, "Content-Length: 2") + b"{}")  # as Java's client does by itself
    assert statuses(answer) == [400] and b"HTTP_1_1" in answer


def test_expect_continue_is_answered_before_the_body_comes(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        sock.settimeout(5)
        sock.sendall(head(site, JSON, "Content-Length: 2", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"{}")
        assert b'{"size":2}' in sock.recv(65536)


def test_an_answer_before_the_body_was_read_still_arrives(site: Site) -> None:
    """The server must not reset the connection while the client still sends: the client would lose the 421 with it."""
    data = head(site, JSON, "Content-Length: 900000", host="evil.example") + b"x" * 900_000
    for _ in range(5):
        answer = site.send(data)
        assert statuses(answer) == [421]


def test_a_client_that_reads_slowly_holds_up_the_writer_and_not_the_memory() -> None:
    class Flood(Site):
        written = 0

        async def _handle(self, request: Incoming) -> Reply | Stream:
            stream = await request.stream(200, (), "text/event-stream")
            while True:
                await stream.write(b"x" * 65_536)
                self.written += 65_536

    with Flood(Limits()) as flood, socket.create_connection(("127.0.0.1", flood.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(head(flood, method="GET"))
        before = -1
        while flood.written != before:
            before = flood.written
            time.sleep(0.3)
        assert flood.written < 12 << 20, "what the kernel's buffers take, and at most 1 MB of ours"
