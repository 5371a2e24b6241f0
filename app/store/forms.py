"""The digest forms of ledger rows: which fields of a row a digest covers, and in which order.

A digest is "FORM:" and SHA-256 in hexadecimal over one line per row, in the order of ids, each a JSON array of the form's fields (no
blanks, UTF-8) and a line feed. The form is read from the digest, so what an older version wrote is verified as that version wrote it.

A form that was released is never changed; a new field of `Exchange` comes with a new form, and rows of older forms have `ABSENT` in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from app.store import exchanges

FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "1": (
        "id", "client", "endpoint", "dialect", "asked", "account", "kind", "model", "outcome", "error", "price", "host", "message",
        "dropped", "stream", "opened_us", "closed_us", "duration_us", "first_byte_us", "status", "attempts", "cost_microusd",
        "connection", "bytes_out", "bytes_in", "removed_headers", "tokens.input", "tokens.cached", "tokens.cache_write",
        "tokens.output", "tokens.reasoning", "tokens.estimated",
    ),
    "2": (
        "id", "client", "endpoint", "dialect", "asked", "account", "kind", "model", "outcome", "error", "price", "host", "client_id",
        "account_id", "message", "dropped", "stream", "opened_us", "closed_us", "duration_us", "first_byte_us", "status", "attempts",
        "cost_microusd", "connection", "bytes_out", "bytes_in", "removed_headers", "tokens.input", "tokens.cached",
        "tokens.cache_write", "tokens.output", "tokens.reasoning", "tokens.estimated",
    ),
}  # fmt: skip
NEWEST: Final = "2"
ABSENT: Final[Mapping[str, object]] = {"client_id": "", "account_id": ""}

Line = Callable[[Sequence[Any]], bytes]
_encode: Final = msgspec.json.Encoder().encode


class UnknownFormError(Exception):
    """A digest names a form that is none of ours, or none at all. Its text says so, to come after "The digest of ..."."""


def form_of(digest: str) -> str:
    """The form that a digest names. UnknownFormError."""
    form, colon, _ = digest.partition(":")
    if not colon:
        raise UnknownFormError("is none.")
    if form not in FORMS:
        raise UnknownFormError(f"has the form {form[:20]!r}, which this version does not know: a newer version of Gatehouse wrote it.")
    return form


def liner(form: str, fields: Sequence[str] = exchanges.FIELDS, absent: Mapping[str, object] = ABSENT) -> Line:
    """What makes the line of a flat row, given in the order of `fields`.

    A field that the form does not have must be absent in the row: otherwise the line has all fields, and fits no digest of the form.
    """
    wanted = FORMS[form]
    if tuple(fields) == wanted:
        return lambda values: _encode(values) + b"\n"
    pick = itemgetter(*(fields.index(name) for name in wanted))
    later = [(place, absent[name]) for place, name in enumerate(fields) if name not in wanted]

    def line(values: Sequence[Any]) -> bytes:
        for place, nothing in later:
            if values[place] != nothing:
                return _encode(values) + b"\n"
        return _encode(pick(values)) + b"\n"

    return line


_LINERS: Final[dict[str, Line]] = {form: liner(form) for form in FORMS}


def line(values: Sequence[Any], form: str) -> bytes:
    """The line of a flat row (`exchanges.FIELDS`) in that form."""
    return _LINERS[form](values)


class Hash:
    """A digest that grows row by row."""

    __slots__ = ("_digest", "_line", "form")

    def __init__(self, form: str = NEWEST) -> None:
        self.form: Final = form
        self._digest: Final = hashlib.sha256()
        self._line: Final = _LINERS[form]

    def add(self, values: Sequence[Any]) -> None:
        self._digest.update(self._line(values))

    def text(self) -> str:
        return f"{self.form}:{self._digest.hexdigest()}"


def digest(rows: Iterable[Sequence[Any]], form: str = NEWEST) -> str:
    """Of flat rows in the order of ids."""
    return f"{form}:{hashlib.sha256(b''.join(map(_LINERS[form], rows))).hexdigest()}"
