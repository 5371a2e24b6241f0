"""An exchange as a flat row: the order of its fields, and the bounds that keep other people's texts and numbers storable.

Shared by ledger and journal; knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

from app.core.records import Exchange, Tokens

# Texts that repeat from row to row, and texts that do not.
NAMES: Final = (
    "client", "endpoint", "dialect", "asked", "account", "kind", "model", "outcome", "error", "price", "host", "client_id", "account_id",
)  # fmt: skip
_TEXTS: Final = ("message", "dropped")
_TIMES: Final = ("opened_us", "closed_us")
_NUMBERS: Final = (
    "duration_us", "first_byte_us", "status", "attempts", "cost_microusd", "connection", "bytes_out",
    "bytes_in", "removed_headers",
)  # fmt: skip
_COUNTS: Final = ("input", "cached", "cache_write", "output", "reasoning")
_PLAIN: Final = ("id", *NAMES, *_TEXTS, "stream", *_TIMES, *_NUMBERS)
_TOKENS: Final = (*_COUNTS, "estimated")

# The order of `flat`, of a journal record, of a ledger row and of what a ledger digest covers.
FIELDS: Final[tuple[str, ...]] = (*_PLAIN, *(f"tokens.{name}" for name in _TOKENS))

_TEXT_PLACES: Final = slice(1, 1 + len(NAMES) + len(_TEXTS))
_TIME_PLACES: Final = slice(_PLAIN.index(_TIMES[0]), _PLAIN.index(_NUMBERS[0]))
_NUMBER_PLACES: Final = slice(_PLAIN.index(_NUMBERS[0]), len(_PLAIN))
_COUNT_PLACES: Final = slice(len(_PLAIN), len(_PLAIN) + len(_COUNTS))

# Half a million rows of it still add up within SQLite's integers; as tokens it is a lifetime, as money 17 million dollars.
MOST: Final = 1 << 44
LATEST_US: Final = 1 << 53  # the year 2255
_LONGEST_NAME: Final = 256
_LONGEST_TEXT: Final = 500

flat: Final[Callable[[Exchange], tuple[Any, ...]]] = attrgetter(*FIELDS)


def of_flat(values: Sequence[Any]) -> Exchange:
    """The exchange of a flat row in the order of `FIELDS`."""
    tokens = Tokens(**dict(zip(_TOKENS, values[len(_PLAIN) :], strict=True)))
    return Exchange(tokens=tokens, **dict(zip(_PLAIN, values, strict=False)))


def of_named(names: Sequence[str], values: Sequence[Any]) -> Exchange:
    """The exchange of a flat row written by another version: unknown names are left out, absent fields take their default.

    ValueError or TypeError when that makes no exchange.
    """
    told = dict(zip(names, values, strict=True))
    return Exchange(
        tokens=Tokens(**{name: told[f"tokens.{name}"] for name in _TOKENS if f"tokens.{name}" in told}),
        **{name: told[name] for name in _PLAIN if name in told},
    )


def bounded(row: Exchange) -> Exchange:
    """`row` with every text storable and every number within bounds; the row itself when it is so already.

    A provider may report 10^30 tokens and a client ask for a model of a megabyte or with half a surrogate pair in its name: the row
    is recorded all the same.
    """
    if _is_plainly_bounded(flat(row)):
        return row
    changes: dict[str, Any] = {}
    for name in NAMES + _TEXTS:
        text = getattr(row, name)
        kept = _text(text, _LONGEST_TEXT if name in _TEXTS else _LONGEST_NAME)
        if kept is not text:
            changes[name] = kept
    for name in _TIMES + _NUMBERS:
        number = getattr(row, name)
        most = LATEST_US if name in _TIMES else MOST
        if number is not None and not 0 <= number <= most:
            changes[name] = min(max(number, 0), most)
    counts = {name: getattr(row.tokens, name) for name in _COUNTS}
    beyond = {name: min(max(count, 0), MOST) for name, count in counts.items() if count is not None and not 0 <= count <= MOST}
    if beyond:
        changes["tokens"] = replace(row.tokens, **beyond)
    return replace(row, **changes) if changes else row


def _is_plainly_bounded(values: tuple[Any, ...]) -> bool:
    """Whether a look at all texts together and all numbers together is enough, as for nearly every row (1 us instead of 8)."""
    texts = "".join(values[_TEXT_PLACES])
    if len(texts) > _LONGEST_NAME or not texts.isascii() or "\0" in texts:
        return False
    numbers = [number for number in values[_NUMBER_PLACES] + values[_COUNT_PLACES] if number]
    opened_us, closed_us = values[_TIME_PLACES]
    return (
        (not numbers or (max(numbers) <= MOST and min(numbers) >= 0))
        and 0 <= opened_us <= LATEST_US
        and (closed_us is None or 0 <= closed_us <= LATEST_US)
    )


def _text(text: str, longest: int) -> str:
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # SQLite ends a text there
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
