"""The protocol without a socket: every reply split at every byte, and what is not a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.egress.http1 import BrokenReplyError, Limits, ReplyReader, redirect_host, request_head

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty:\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"


def read(*pieces: bytes, limits: Limits | None = None) -> ReplyReader:
    reader = ReplyReader(limits or Limits())
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [(LENGTH, 200, b"hello world"), (CHUNKED, 200, b"hello world"), (INTERIM, 200, b"hello world"), (EMPTY, 204, b"")],
)
def test_a_reply_reads_the_same_wherever_it_is_split(raw: bytes, status: int, body: bytes) -> None:
    whole = read(raw)
    assert (whole.status, b"".join(whole.body), whole.complete, whole.keep_alive, whole.stray) == (status, body, True, True, False)
    for at in range(1, len(raw)):
        split = read(raw[:at], raw[at:])
        assert (split.status, b"".join(split.body), split.complete, split.keep_alive) == (status, body, True, True)
        assert split.headers == whole.headers
        early = read(raw[:at])
        assert not early.complete
        assert not early.end()
    bytewise = read(*[raw[i : i + 1] for i in range(len(raw))])
    assert (b"".join(bytewise.body), bytewise.headers, bytewise.complete) == (body, whole.headers, True)


def test_headers_come_lower_case_in_order_with_the_empty_ones_and_without_trailers() -> None:
    assert read(LENGTH).headers == [(b"content-type", b"application/json"), (b"x-empty", b""), (b"content-length", b"11")]
    assert read(CHUNKED).headers == [(b"transfer-encoding", b"chunked")]


def test_one_reader_reads_one_reply_after_another() -> None:
    reader = ReplyReader(Limits())
    for raw in (LENGTH, CHUNKED, EMPTY, INTERIM, LENGTH) * 3:
        reader.begin()
        reader.feed(raw)
        assert reader.complete
        assert reader.keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_will_not_serve_another_is_known_as_such(raw: bytes) -> None:
    reader = read(raw)
    assert reader.complete
    assert not reader.keep_alive


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\ncontent-type: x\r\n\r\nhello"])
def test_a_body_without_a_length_ends_with_the_connection(raw: bytes) -> None:
    reader = read(raw)
    assert not reader.complete
    assert reader.end()
    assert b"".join(reader.body) == b"hello"


@pytest.mark.parametrize("more", [LENGTH, b"HTTP/1.1 2", b"junk", b"\x00", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_comes_after_the_end_is_noticed_and_changes_nothing(more: bytes) -> None:
    for raw in (LENGTH, CHUNKED):
        reader = read(raw + more)
        assert reader.complete
        assert reader.stray
        assert b"".join(reader.body) == b"hello world"
        assert reader.status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"<html>",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n\r\n",
        b"HTTP/1.1 700 High\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 99999 Long\r\n\r\n",
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2 \x00\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nok",
    ],
)
def test_what_is_not_a_reply_is_refused(raw: bytes) -> None:
    with pytest.raises(BrokenReplyError):
        read(raw)
    with pytest.raises(BrokenReplyError):
        read(*[raw[i : i + 1] for i in range(len(raw))])


@pytest.mark.parametrize(
    ("start", "block"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"aaaaaaaaaaaaaaaa"),
        (b"HTTP/1.1 200 OK\r\n", b"aaaaaaaaaaaaaaaa"),
        (b"HTTP/1.1 200 ", b"OK OK OK OK OK "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;", b"a=b;"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", b"x-more: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: ", b"aaaaaaaaaaaaaaaa"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0"),
        (b"", b"\r\n"),
    ],
)
@pytest.mark.parametrize("size", [100, 5000])
def test_what_goes_on_without_end_is_cut_off(start: bytes, block: bytes, size: int) -> None:
    limits = Limits(header_bytes=16 * 1024, header_count=1000)
    reader = ReplyReader(limits)
    repeated = block * (size // len(block))
    fed = 0
    with pytest.raises(BrokenReplyError):
        if start:
            reader.feed(start)
        while fed < 1024 * 1024:
            reader.feed(repeated)
            fed += len(repeated)
    assert fed <= 2 * limits.header_bytes + size


def test_too_many_headers_are_refused_also_in_one_piece() -> None:
    with pytest.raises(BrokenReplyError, match="more headers"):
        read(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 201 + b"content-length: 0\r\n\r\n")
    with pytest.raises(BrokenReplyError, match="more headers"):
        read(b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok")
    assert read(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 199 + b"content-length: 0\r\n\r\n").complete


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20))
def test_no_input_breaks_the_reader_in_another_way(noise: bytes, cuts: list[int]) -> None:
    for raw in (noise, LENGTH[:40] + noise, CHUNKED[:47] + noise, LENGTH + noise):
        reader, at = ReplyReader(Limits()), 0
        try:
            for cut in (*cuts, len(raw)):
                reader.feed(raw[at : at + cut])
                at += cut
        except BrokenReplyError as broken:
            assert str(broken)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 30))
def test_a_chunked_body_is_the_sum_of_its_chunks(parts: list[bytes], step: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    reader = read(*[raw[i : i + step] for i in range(0, len(raw), step)])
    assert reader.complete
    assert b"".join(reader.body) == b"".join(parts)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (b"https://elsewhere.example/path?key=secret", "elsewhere.example"),
        (b"https://user:secret@elsewhere.example:8443/", "elsewhere.example"),
        (b"//Elsewhere.example/x", "elsewhere.example"),
        (b"/v2/chat", "own.example"),
        (b"", "own.example"),
        (None, "own.example"),
        (b"https://[::1/secret", "an unreadable address"),
        (b"https://" + b"a" * 300 + b"/", "an unreadable address"),
        (b"https://sec ret\x1b[31m/", "an unreadable address"),
        (b"https://\xff\xfe/", "an unreadable address"),
    ],
)
def test_of_a_redirect_only_the_host_is_told(location: bytes | None, shown: str) -> None:
    assert redirect_host(location, "own.example") == shown


def test_a_request_line_and_its_headers_are_what_was_given() -> None:
    head = request_head("POST", "/v1/x", "api.example", (("user-agent", "a"), ("x-note", "gr\xfc\xdfe")), 12)
    assert head == (
        b"POST /v1/x HTTP/1.1\r\nhost: api.example\r\naccept-encoding: identity\r\n"
        b"user-agent: a\r\nx-note: gr\xfc\xdfe\r\ncontent-length: 12\r\n\r\n"
    )
