"""Compressed replies, piece by piece: what is in them comes out, whatever the pieces; what gives nothing ends."""

from __future__ import annotations

import gzip

import pytest

from app.egress.http1 import BrokenReplyError
from app.egress.unpack import STEP, Unpacker


def unpacked(data: bytes, size: int) -> bytes:
    unpacker, out = Unpacker(b"gzip"), b""
    for at in range(0, len(data), size):
        unpacker.put(data[at : at + size])
        while piece := unpacker.take():
            assert len(piece) <= STEP
            out += piece
    unpacker.end()
    assert not unpacker.waiting
    return out


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("members", [[b"x"], [b"", b"x", b""], [b"", b"", b"ab"], [b"a" * 500_000, b"", b"b"], [bytes(range(256)) * 2000]])
def test_what_is_in_it_comes_out(members: list[bytes], size: int) -> None:
    packed = b"".join([gzip.compress(member, 1) for member in members])
    assert unpacked(packed, size) == b"".join(members)


def test_members_without_content_end() -> None:
    unpacker = Unpacker(b"gzip")
    unpacker.put(gzip.compress(b"") * 2_000)
    with pytest.raises(BrokenReplyError, match="nothing in it"):
        unpacker.take()
