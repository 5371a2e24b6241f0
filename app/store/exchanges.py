"""An exchange as a flat row: the order of its fields, and the bounds that keep other people's texts and numbers storable.

Shared by ledger and journal; knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

from app.core.records import Exchange, Tokens

_TEXTS: Final = (
    "client", "endpoint", "dialect", "asked", "account", "kind", "model", "outcome", "error", "price", "host", "message", "dropped",
)  # fmt: skip
_NUMBERS: Final = (
    "opened_us", "closed_us", "duration_us", "first_byte_us", "status", "attempts", "tokens.input", "tokens.cached",
    "tokens.cache_write", "tokens.output", "tokens.reasoning", "cost_microusd", "connection", "bytes_out", "bytes_in", "removed_headers",
)  # fmt: skip
_SWITCHES: Final = ("stream", "tokens.estimated")

# The order of `flat`, of a journal record, and of what a ledger digest covers: id, texts, numbers, switches.
FIELDS: Final[tuple[str, ...]] = ("id", *_TEXTS, *_NUMBERS, *_SWITCHES)
TEXTS: Final = slice(1, 1 + len(_TEXTS))
NUMBERS: Final = slice(TEXTS.stop, TEXTS.stop + len(_NUMBERS))
SWITCHES: Final = slice(NUMBERS.stop, NUMBERS.stop + len(_SWITCHES))

# Nine thousand rows of it still add up within SQLite's integers; a year has 3.2e13 microseconds, so times fit, too.
MOST: Final = 1 << 50
LONGEST: Final[dict[str, int]] = {"message": 500, "dropped": 500}
LONGEST_NAME: Final = 256

flat: Final[Callable[[Exchange], tuple[Any, ...]]] = attrgetter(*FIELDS)


def bounded(row: Exchange) -> Exchange:
    """`row` with every text storable and every number within bounds; the row itself when it is so already.

    A provider may report 10^30 tokens and a client ask for a model of a megabyte or with half a surrogate pair in its name: the row
    is recorded all the same.
    """
    changes: dict[str, Any] = {}
    tokens: dict[str, Any] = {}
    for name in _TEXTS:
        text = getattr(row, name)
        kept = _text(text, LONGEST.get(name, LONGEST_NAME))
        if kept is not text:
            changes[name] = kept
    for name in _NUMBERS:
        owner, _, field = name.rpartition(".")
        number = getattr(row.tokens, field) if owner else getattr(row, field)
        most = (1 << 62) if field in ("opened_us", "closed_us") else MOST
        if number is not None and not 0 <= number <= most:
            (tokens if owner else changes)[field] = min(max(number, 0), most)
    if tokens:
        changes["tokens"] = replace(row.tokens, **tokens)
    return replace(row, **changes) if changes else row


def of(names: Sequence[str], values: Sequence[Any]) -> Exchange:
    """The exchange of a flat row whose fields are called `names`: unknown names are left out, absent fields take their default."""
    fields: dict[str, Any] = {}
    tokens: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        owner, _, field = name.rpartition(".")
        if name in _KNOWN:
            (tokens if owner else fields)[field] = value
    return Exchange(tokens=Tokens(**tokens), **fields)


_KNOWN: Final = frozenset(FIELDS)


def _text(text: str, longest: int) -> str:
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
