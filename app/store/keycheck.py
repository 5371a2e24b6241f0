"""Sixteen bytes at the beginning of a file that tell whether a key is the one it was written under, without telling the key."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal

BYTES: Final = 16


def made(mark: bytes, key: bytes, chance: bytes) -> bytes:
    """`mark` (four bytes, says what the file is), `chance` (four random bytes), and eight bytes that only `key` gives."""
    return mark + chance + hmac.digest(key, b"gatehouse key check\0" + mark + chance, hashlib.sha256)[:8]


def judged(mark: bytes, key: bytes, head: bytes) -> Literal["right", "wrong", "foreign"]:
    """right: written under `key`. wrong: under another one. foreign: no such file, or its beginning is damaged."""
    if len(head) != BYTES or not head.startswith(mark):
        return "foreign"
    return "right" if hmac.compare_digest(head, made(mark, key, head[4:8])) else "wrong"
