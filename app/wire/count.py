"""Counting tokens for clients whose provider cannot: an estimate from the bytes, four of text to a token."""

from __future__ import annotations

from typing import Final

import msgspec

from app.wire.bridge import text_bytes
from app.wire.dialect import Endpoint

# Where a client asks how many tokens a request would have.
COUNTS: Final = frozenset[Endpoint]({"messages/count_tokens", "countTokens", "responses/input_tokens"})

# The answer says so too: these packages keep members they do not know.
HEADER: Final = ("x-gatehouse-estimated", "input_tokens")
_BYTES_A_TOKEN: Final = 4
_encode: Final = msgspec.json.encode


def estimate(endpoint: Endpoint, body: bytes) -> bytes:
    """The answer of `endpoint`, one of `COUNTS`, to `body`."""
    tokens = max(1, -(-text_bytes(body) // _BYTES_A_TOKEN))
    if endpoint == "countTokens":
        return _encode({"totalTokens": tokens, "estimated": True})
    if endpoint == "responses/input_tokens":
        return _encode({"object": "response.input_tokens", "input_tokens": tokens, "estimated": True})
    return _encode({"input_tokens": tokens, "estimated": True})
