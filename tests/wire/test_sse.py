"""Where events end, whatever the pieces, line ends and characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.wire.sse import MAX_EVENT_BYTES, Splitter, events, fields

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(alphabet=st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=12).map(str.encode)
LINE = st.one_of(TEXT.map(lambda text: b"data: " + text), TEXT.map(lambda text: b"data:" + text), TEXT.map(lambda text: b":" + text), TEXT)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events with one kind of line end each stream, as servers write them."""
    end = draw(ENDS)
    blocks = draw(st.lists(st.lists(LINE, min_size=1, max_size=4), max_size=6))
    return b"".join([end.join(lines) + end + end for lines in blocks])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    spots = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *spots], [*spots, len(data)], strict=True)]


@given(streams(), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=300)
def test_nothing_is_lost_or_added_whatever_the_pieces(stream: bytes, places: list[int]) -> None:
    splitter = Splitter()
    out = [splitter.feed(piece) for piece in cut(stream, places)]
    assert b"".join([*out, splitter.rest()]) == stream
    assert all(not piece or piece.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) for piece in out)


@given(streams(), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=300)
def test_the_events_are_the_same_whatever_the_pieces(stream: bytes, places: list[int]) -> None:
    splitter = Splitter()
    said = [fields(event) for piece in cut(stream, places) for event in events(splitter.feed(piece))]
    said += [fields(event) for event in events(splitter.rest())]
    whole = [fields(event) for event in events(stream)]
    assert [event for event in said if event != ("", b"")] == [event for event in whole if event != ("", b"")]


@given(st.binary(max_size=80), st.lists(st.integers(0, 100), max_size=6))
@settings(max_examples=300)
def test_any_bytes_come_out_as_they_went_in(stream: bytes, places: list[int]) -> None:
    splitter = Splitter()
    out = [splitter.feed(piece) for piece in cut(stream, places)]
    assert b"".join([*out, splitter.rest()]) == stream
    assert b"".join(events(stream)) == stream


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: x\n\n", ("", b"x")),
        (b"data:x\n\n", ("", b"x")),
        (b"data:  x\n\n", ("", b" x")),
        (b"data\n\n", ("", b"")),
        (b"data: a\ndata: b\n\n", ("", b"a\nb")),
        (b"event: ping\r\ndata: {}\r\n\r\n", ("ping", b"{}")),
        (b": comment\nid: 7\nretry: 3\n\n", ("", b"")),
        (b"\xef\xbb\xbfdata: x\n\n", ("", b"x")),
        (b"datax: y\nDATA: z\n\n", ("", b"")),
        (b"event: \xff\ndata: \xff\n\n", ("\ufffd", b"\xff")),
        (b"", ("", b"")),
    ],
)
def test_the_fields_of_an_event(event: bytes, expected: tuple[str, bytes]) -> None:
    assert fields(event) == expected


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    splitter = Splitter()
    piece = b"data: " + b"x" * 65_536
    with pytest.raises(AppError) as caught:
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            assert splitter.feed(piece) == b""
    assert (caught.value.code, caught.value.status) == ("provider_broken", 502)


def test_an_event_just_below_the_bound_passes_in_small_pieces() -> None:
    splitter = Splitter()
    event = b"data: " + b"x" * (MAX_EVENT_BYTES - 10) + b"\n\n"
    out = b"".join([splitter.feed(event[at : at + 4096]) for at in range(0, len(event), 4096)])
    assert out == event


def test_a_whole_event_in_one_piece_is_not_copied() -> None:
    piece = b"data: x\n\n"
    assert Splitter().feed(piece) is piece
