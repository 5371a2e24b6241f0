"""What an exchange cost, from the dated price file `resources/prices.jsonl` (its format: `packaging/make_prices.py`).

The file is read a provider at a time, when the first exchange with that provider is priced. Arithmetic is exact: dollars for a million
tokens are millionths of a dollar for one, so a cost is a sum of products, rounded once, half up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

import app
from app.core.records import OwnPrice, Tokens
from app.providers.catalogue import BUILT_IN, KINDS
from app.wire.usage import Usage

# Which units are part of which. A unit that has its own price is taken out of those it is part of; otherwise it costs what they cost.
# In this order every unit comes after its parts.
_PART_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "cached_audio": ("cached", "input_audio", "input"),
    "cache_write_1h": ("cache_write", "input"),
    "cached": ("input",),
    "cache_write": ("input",),
    "input_audio": ("input",),
    "input": (),
    "output_audio": ("output",),
    "reasoning": ("output",),
    "citation": ("output",),
    "output": (),
    "web_searches": (),
    "requests": (),
}
_ONE: Final = Decimal(1)
_MINUTE_US: Final = 60_000_000
_A_THOUSAND: Final = frozenset({"web_searches", "requests"})

# As in the file: a text, or [base, [start, price], ...].
_Price = str | list[object]
_Units = dict[str, _Price]
_When = str | tuple[str, str] | None


class _Provider(msgspec.Struct):
    id: str
    fallback: list[str]
    models: list[list[object]]


class _Head(msgspec.Struct):
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class _Model:
    """prices and variants as in the file."""

    prices: tuple[tuple[_When, _Units], ...]
    variants: tuple[tuple[dict[str, str], _When, _Units], ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """microusd: millionths of a US dollar. price: date of the price file, "local", or "own" and a day."""

    microusd: int
    price: str


def cost(kind: str, model: str, usage: Usage | Tokens, at_us: int, *, local: bool | None = None) -> Cost | None:
    """What `usage` of `model` cost with an account of `kind` at that time. None: nobody knows.

    local: whether the account is one on the person's own machine or network, which costs nothing; None: as is usual for its kind.
    Nothing used costs nothing, whatever the price would be. A part that exceeds its whole (a provider's mistake) leaves the whole at
    zero and is itself charged in full.
    """
    row = KINDS.get(kind)
    if local is None:
        local = kind == BUILT_IN or (row is not None and row.local)
    if local:
        return Cost(0, "local")
    if isinstance(usage, Tokens):
        usage = Usage.of(usage)
    if usage.input is None and usage.output is None:
        return None
    if not usage.input and not usage.output:
        return Cost(0, version())
    exact = microdollars(row.prices, model, usage, at_us) if row is not None and row.prices else None
    return None if exact is None else Cost(int(exact.quantize(_ONE, ROUND_HALF_UP)), version())


def own_cost(own: OwnPrice, usage: Usage | Tokens) -> Cost | None:
    """What `usage` cost by a price of one's own. None: nothing says what was used."""
    if isinstance(usage, Tokens):
        usage = Usage.of(usage)
    if usage.input is None and usage.output is None:
        return None
    given = {"cached": own.cached, "cache_write": own.cache_write, "input": own.input, "output": own.output}
    exact = _sum({unit: given[unit] for unit in _PART_OF if given.get(unit)}, usage)
    day = datetime.fromtimestamp(own.set_us / 1e6, UTC).date()
    return Cost(int(exact.quantize(_ONE, ROUND_HALF_UP)), f"own {day.isoformat()}")


def microdollars(provider: str, model: str, usage: Usage, at_us: int) -> Decimal | None:
    """The exact cost at a provider of the price file, in millionths of a dollar. None: it has no such model, or no price for it in any
    unit we count."""
    priced = _in_force(provider, model, at_us // _MINUTE_US, usage.service_tier, usage.speed)
    return _sum(priced, usage) if priced else None


@lru_cache(maxsize=256)
def _in_force(provider: str, model: str, minute: int, service_tier: str, speed: str) -> _Units | None:
    """The prices of a model in one minute (nothing changes within it), in the order in which `_sum` takes the parts out."""
    found = _find(provider, model)
    if found is None:
        return None
    priced = _units(found[0], Usage(service_tier=service_tier, speed=speed), minute * _MINUTE_US, own=found[1])
    return {unit: priced[unit] for unit in _PART_OF if unit in priced}


def version() -> str:
    """The date of the price file, YYYY-MM-DD."""
    return _head().date


def _sum(priced: _Units, usage: Usage) -> Decimal:
    """In millionths of a dollar."""
    total, left = Decimal(0), dict[str, int]()
    for unit, price in priced.items():
        wholes = _PART_OF[unit]
        count = 1 if unit == "requests" else getattr(usage, unit)
        if not count:
            continue
        count = max(0, count - left.pop(unit, 0))
        for whole in wholes:
            left[whole] = left.get(whole, 0) + count
        total += _price(price, usage.input or 0) * (count * 1000 if unit in _A_THOUSAND else count)
    return total


def _price(price: _Price, input_tokens: int) -> Decimal:
    if isinstance(price, str):
        return _decimal(price)
    base, tiers = msgspec.convert(price[0], str), msgspec.convert(price[1:], list[tuple[int, str]])
    return _decimal(next((above for start, above in reversed(tiers) if input_tokens > start), base))


def _units(found: _Model, usage: Usage, at_us: int, *, own: bool) -> _Units:
    """The prices in force. Overrides hold only for the provider's `own` models, not for those it lends from another's list."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    standard = next((units for when, units in reversed(found.prices) if _holds(when, at)), found.prices[0][1])
    said = {"service_tier": usage.service_tier, "speed": usage.speed}
    units = dict(standard)
    chosen: set[str] = set()
    for needs, when, overrides in found.variants if own else ():
        if _holds(when, at) and all(said.get(name) == value for name, value in needs.items()):
            units.update({unit: price for unit, price in overrides.items() if unit not in chosen})
            chosen.update(overrides)
    return units


def _holds(when: _When, at: datetime) -> bool:
    if when is None:
        return True
    if isinstance(when, str):
        return at.date() >= date.fromisoformat(when)
    start, end = when
    now = at.strftime("%H:%M")
    return now >= start or now < end if end < start else start <= now < end


@lru_cache(maxsize=512)
def _find(provider: str, model: str) -> tuple[_Model, bool] | None:
    """The first model of the provider that matches, or of those it lends from; True when it is the provider's own."""
    row = _provider(provider)
    if row is None:
        return None
    name = model.lower()
    for spelled in dict.fromkeys((name, _dashed_date(name))):
        if found := _match(row, spelled):
            return found, True
        for lender in row.fallback:
            other = _provider(lender)
            if other is not None and (found := _match(other, spelled)):
                return found, False
    return None


def _match(row: _Provider, name: str) -> _Model | None:
    for entry in row.models:
        if _fits(entry[0], name):
            return msgspec.convert({"prices": entry[1], "variants": entry[2] if len(entry) > 2 else []}, _Model)
    return None


def _fits(clause: object, name: str) -> bool:
    if isinstance(clause, list):
        parts = clause[1:]
        return any(_fits(part, name) for part in parts) if clause[0] == "|" else all(_fits(part, name) for part in parts)
    text = str(clause)
    how, text = text[0], text[1:]
    match how:
        case "=":
            return name == text
        case "^":
            return name.startswith(text)
        case "$":
            return name.endswith(text)
        case "*":
            return text in name
        case _:
            return re.search(text, name) is not None


_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=-|:|$)")


def _dashed_date(name: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: some gateways write dates without dashes, the price list with them."""

    def dashed(found: re.Match[str]) -> str:
        try:
            return "-" + date(int(found[1]), int(found[2]), int(found[3])).isoformat()
        except ValueError:
            return found[0]

    return _COMPACT_DATE.sub(dashed, name)


@lru_cache(maxsize=1024)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


@cache
def _provider(identifier: str) -> _Provider | None:
    start = b'{"id":%b,' % msgspec.json.encode(identifier)
    return next((msgspec.json.decode(line, type=_Provider) for line in _lines() if line.startswith(start)), None)


@cache
def _head() -> _Head:
    return msgspec.json.decode(next(_lines()), type=_Head)


def _lines() -> Iterator[bytes]:
    package = Path(app.__file__).parent
    inside = package / "resources"  # in a wheel or a bundle; beside the package in a source tree
    folder = inside if inside.is_dir() else package.parent / "resources"
    with (folder / "prices.jsonl").open("rb") as file:
        yield from file
