"""The audit hash chain as pure functions: `h = SHA-256(domain || prev || seq || length || canonical JSON)`.

Source: `trust.md`, "Audit log". No floats and no NaN in a body, keys sorted, UTF-8, no blanks: one value has one encoding.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

DOMAIN: Final = b"gatehouse-audit-v1\0"
GENESIS: Final = b"\0" * 32

_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(body: Mapping[str, object]) -> bytes:
    """The one encoding of `body`. ValueError if it holds a float, a non-text key or a lone surrogate."""
    _reject_floats(body)
    return _encode(body).encode("utf-8")


def link(prev: bytes, seq: int, body: bytes) -> bytes:
    """The hash of entry `seq` whose canonical body is `body` and whose predecessor's hash is `prev`. 32 bytes."""
    return hashlib.sha256(DOMAIN + prev + struct.pack(">QI", seq, len(body)) + body).digest()


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing wrong with a chain. kind: `gap` (an entry is missing before `seq`) or `edited` (its hash does not fit)."""

    kind: str
    seq: int

    def sentence(self) -> str:
        if self.kind == "gap":
            return f"Entry {self.seq} does not follow the one before it: at least one entry is missing."
        return f"Entry {self.seq} does not match its hash: it, or one before it, was changed."


@dataclass(frozen=True, slots=True)
class Verdict:
    """entries: how many were read. head: hash of the last good one. finding: None when intact."""

    entries: int
    seq: int
    head: bytes
    finding: Finding | None = None


def verify(rows: Iterable[tuple[int, bytes, bytes]], seq: int = 0, head: bytes = GENESIS) -> Verdict:
    """Walk `(seq, body, hash)` rows in order, starting after entry `seq` with hash `head`; stop at the first finding."""
    entries = 0
    for row_seq, body, digest in rows:
        if row_seq != seq + 1:
            return Verdict(entries, seq, head, Finding("gap", row_seq))
        try:
            expected = link(head, row_seq, body)
        except TypeError:  # not even bytes any more
            return Verdict(entries, seq, head, Finding("edited", row_seq))
        if expected != digest:
            return Verdict(entries, seq, head, Finding("edited", row_seq))
        seq, head, entries = row_seq, expected, entries + 1
    return Verdict(entries, seq, head)


_PLAIN: Final = frozenset({str, int, bool, type(None)})


def _reject_floats(value: object) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, float):
        raise ValueError("an audit entry holds no floats")  # noqa: TRY004 - it is a value that cannot be written down
    if kind is dict or isinstance(value, Mapping):
        for key, item in value.items():  # type: ignore[attr-defined]  # a mapping either way
            if not isinstance(key, str):
                raise ValueError("an audit entry has text keys")  # noqa: TRY004 - likewise
            if type(item) not in _PLAIN:
                _reject_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _reject_floats(item)
