"""Several files on one stream: however it is cut it says the same, and what is no such stream is an error and never much memory."""

from __future__ import annotations

import random
import struct

import pytest

from app.core.exports import KINDS, kind_of
from app.core.frames import CANCEL, END, PIECE_MAX, Parser, cut, frame

STREAM = frame(0, b"one\n") + frame(0, b"") + frame(0, b"two\n") + frame(2, b"\xff\x00") + frame(END, b'{"a":1}')


def fed(parser: Parser, *parts: bytes) -> dict[int, bytes]:
    files: dict[int, bytes] = {}
    for part in parts:
        for number, piece in parser.feed(part):
            files[number] = files.get(number, b"") + piece
    return files


def test_a_stream_says_the_same_however_it_is_cut() -> None:
    for at in range(len(STREAM) + 1):
        for more in range(at, len(STREAM) + 1):
            parser = Parser(3, 100)
            assert fed(parser, STREAM[:at], STREAM[at:more], STREAM[more:]) == {0: b"one\ntwo\n", 2: b"\xff\x00"}
            assert (parser.ended, parser.cancelled) == (b'{"a":1}', False)


def test_a_stream_that_was_cut_has_no_end() -> None:
    for at in range(len(STREAM)):
        parser = Parser(3, 100)
        fed(parser, STREAM[:at])
        assert parser.ended is None


def test_a_cancelled_stream_has_no_end_either() -> None:
    parser = Parser(1)
    assert fed(parser, frame(0, b"x") + frame(CANCEL, b"")) == {0: b"x"}
    assert (parser.ended, parser.cancelled) == (None, True)


@pytest.mark.parametrize(
    "stream",
    [
        frame(3, b"x"),  # no such file
        frame(1, b"x") + frame(0, b"x"),  # one that is over
        struct.pack(">BI", 0, PIECE_MAX + 1),
        struct.pack(">BI", 0, 0xFFFFFFFF),
        struct.pack(">BI", END, 101),  # a longer last word
        frame(CANCEL, b"x"),
        frame(END, b"") + b"x",
        frame(CANCEL, b"") + frame(0, b"x"),
        STREAM + STREAM,
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_is_no_such_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|bytes"):
        fed(Parser(3, 100), stream)
    with pytest.raises(ValueError, match=r"frame|bytes"):
        fed(Parser(3, 100), *(stream[at : at + 1] for at in range(len(stream))))


def test_noise_ends_in_an_error_or_is_a_stream_and_is_never_kept() -> None:
    chance = random.Random(4)
    refused = 0
    for _ in range(2_000):
        parser = Parser(3, 100)
        try:
            fed(parser, chance.randbytes(64))
        except ValueError:
            refused += 1
        assert len(parser._head) <= 5
        assert len(parser._word) <= 100
    assert refused > 1_900


def test_a_piece_that_is_larger_than_a_frame_is_cut() -> None:
    piece = bytes(2 * PIECE_MAX + 5)
    parser = Parser(1)
    assert fed(parser, *(frame(0, part) for part in cut(piece))) == {0: piece}
    with pytest.raises(ValueError, match="bytes"):
        frame(0, piece)


@pytest.mark.parametrize(
    ("kind", "fits", "not_so"),
    [
        ("requests", ["a.csv", "ä ö.jsonl", "x.ndjson"], ["a", "a.csv.py", "a.desktop", "a.pth", "authorized_keys", "a.CSV "]),
        ("audit", ["gatehouse-audit-0", "gatehouse-audit-918"], ["gatehouse-audit-", "gatehouse-audit-²", "bin", "gatehouse-audit-1/x"]),
        ("network", ["gatehouse-network-17"], ["gatehouse-audit-17", "gatehouse-network-x", "gatehouse-network--1", "1"]),
    ],
)
def test_an_export_is_called_like_nothing_that_a_system_reads(kind: str, fits: list[str], not_so: list[str]) -> None:
    found = kind_of(kind)
    assert found is not None
    assert all(found.fits(name) for name in fits)
    assert not [name for name in not_so if found.fits(name)]


def test_no_kind_but_those_of_the_list() -> None:
    assert {kind_of(name) for name in ("", "vault", None, 3, ["requests"], {})} == {None}
    assert all(len(set(kind.names)) == len(kind.names) for kind in KINDS.values())
