"""How answers look on a terminal: aligned columns, plain words, local times."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from app.core.records import Exchange, Tokens

NOTHING: Final = "–"
_WIDEST: Final = 60


def plain(text: str, widest: int | None = None) -> str:
    """`text` without anything that a terminal would obey: model names and providers' messages come from outside."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if widest is None or len(shown) <= widest else shown[: widest - 1] + "…"


def width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> str:
    """Columns as wide as their widest cell. right: the letters of `head`'s columns (a, b, c, ...) that hold numbers."""
    cells = [[plain(cell, _WIDEST) for cell in row] for row in (head, *rows)]
    wide = [max(width(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        parts = []
        for column, cell in enumerate(row):
            gap = " " * (wide[column] - width(cell))
            parts.append(gap + cell if chr(ord("a") + column) in right else cell + gap)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """One fact a line, the names in a column of their own."""
    wide = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name.ljust(wide)}  {plain(value)}" for name, value in pairs)


def note(line: str) -> None:
    """Something for a person beside the answer itself, which a script may be reading."""
    print(plain(line), file=sys.stderr, flush=True)  # noqa: T201


def when(at_us: int | None) -> str:
    if not at_us:
        return NOTHING
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(size_bytes: int) -> str:
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.1f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1e6:,.1f} MB"


def took(duration_us: int | None) -> str:
    if duration_us is None:
        return NOTHING
    return f"{duration_us / 1e6:.1f} s" if duration_us >= 1_000_000 else f"{duration_us / 1e3:.0f} ms"


def money(microusd: int) -> str:
    """Dollars; small sums keep the digits that make them differ from nothing."""
    if microusd == 0:
        return "$0.00"
    if microusd < 10_000:
        return f"${microusd / 1e6:.6f}".rstrip("0")
    return f"${microusd / 1e6:,.2f}"


def cost(microusd: int, unpriced: int) -> str:
    """A sum and what it leaves out. "unpriced" is never shown as nothing."""
    if not unpriced:
        return money(microusd)
    return f"{money(microusd)} + {unpriced} unpriced" if microusd else "unpriced"


def exchange_cost(row: Exchange) -> str:
    if row.cost_microusd is not None:
        return money(row.cost_microusd)
    return "unpriced" if row.tokens.input is not None or row.tokens.output is not None else NOTHING


def number(value: int | None, *, estimated: bool = False) -> str:
    if value is None:
        return NOTHING
    return f"~{value:,}" if estimated else f"{value:,}"


def many(count: int, one: str, several: str) -> str:
    """`1 entry`, `2,000 entries`."""
    return f"{count:,} {one if count == 1 else several}"


def tokens(counts: Tokens) -> tuple[str, str]:
    """Input and output; a tilde marks what we counted because the provider did not say."""
    return number(counts.input, estimated=counts.estimated), number(counts.output, estimated=counts.estimated)


def outcome(row: Exchange) -> str:
    """The status the client got, and in words what the number does not say."""
    if row.outcome == "completed":
        return str(row.status)
    said = f"{row.status} {row.outcome}" if row.status else row.outcome
    return f"{said} ({row.error})" if row.error else said


def model(row: Exchange) -> str:
    return f"{row.account}/{row.model}" if row.account else row.asked or NOTHING
