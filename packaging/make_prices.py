"""Write `resources/prices.jsonl` out of the package `genai-prices` (a development dependency).

    python packaging/make_prices.py             writes the file, dated today
    python packaging/make_prices.py --check     exit 1 if the file does not hold what the installed package says

The file: one JSON value a line, so that a reader decodes only what it needs. The first line is {"date", "source"}; each other line is
a provider: {"id", "fallback": [ids], "models": [[match, prices, variants], ...]}.

    match     a text, its first character says how: = equals, ^ begins with, $ ends with, * contains, ~ regular expression;
              or a list: ["|", match, ...] any of, ["&", match, ...] all of. Models are tried in their order.
    prices    [[when, {unit: price}], ...]; the last one whose `when` holds applies, the first one if none does
    when      null, "YYYY-MM-DD" (from that day on, UTC), or ["HH:MM", "HH:MM"] (daily, UTC, the end excluded)
    price     dollars as text, or [base, [start, price], ...]: above `start` input tokens that price holds for all tokens
    unit      a field of `app.wire.usage.Usage` (dollars a million), `web_searches` or `requests` (dollars a thousand)
    variants  [[{"service_tier": ..., "speed": ...}, when, {unit: price}], ...]: overrides, the first that fits wins for each unit;
              left out when there are none

Units that no endpoint of ours reports (images, hours of audio, pages) are left out, and so are variants chosen by anything but the
service tier and the speed a reply names.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import sys
from decimal import Decimal
from pathlib import Path

from genai_prices import types
from genai_prices.data import providers

FILE = Path(__file__).resolve().parent.parent / "resources" / "prices.jsonl"

UNITS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_citation_mtok": "citation",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cached_audio",
    "output_audio_mtok": "output_audio",
    "web_searches_kcount": "web_searches",
    "requests_kcount": "requests",
}
CHOSEN_BY = {"service_tier", "speed"}


def match(clause: object) -> object:
    if isinstance(clause, types.ClauseOr):
        return ["|", *[match(part) for part in clause.or_]]
    if isinstance(clause, types.ClauseAnd):
        return ["&", *[match(part) for part in clause.and_]]
    if isinstance(clause, types.ClauseEquals):
        return "=" + clause.equals.lower()
    if isinstance(clause, types.ClauseStartsWith):
        return "^" + clause.starts_with.lower()
    if isinstance(clause, types.ClauseEndsWith):
        return "$" + clause.ends_with.lower()
    if isinstance(clause, types.ClauseContains):
        return "*" + clause.contains.lower()
    if isinstance(clause, types.ClauseRegex):
        return "~" + clause.regex
    raise TypeError(f"no such clause: {clause!r}")


def when(constraint: object) -> object:
    if constraint is None:
        return None
    if isinstance(constraint, types.StartDateConstraint):
        return constraint.start_date.isoformat()
    if isinstance(constraint, types.TimeOfDateConstraint):
        return [clock(constraint.start_time), clock(constraint.end_time)]
    raise TypeError(f"no such constraint: {constraint!r}")


def clock(time: dt.time) -> str:
    utc = dt.datetime.combine(dt.date(1970, 1, 1), time if time.tzinfo else time.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    if utc.second or utc.microsecond:
        raise ValueError(f"not a whole minute: {time}")
    return utc.strftime("%H:%M")


def number(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def price(value: Decimal | types.TieredPrices) -> object:
    if isinstance(value, types.TieredPrices):
        return [number(value.base), *[[tier.start, number(tier.price)] for tier in value.tiers]]
    return number(value)


def units(prices: types.ModelPrice) -> dict[str, object]:
    named = {UNITS[key]: price(value) for key, value in vars(prices).items() if value is not None and key in UNITS}
    return {unit: named[unit] for unit in UNITS.values() if unit in named}


def model(info: types.ModelInfo) -> list[object] | None:
    dated = [types.ConditionalPrice(prices=info.prices)] if isinstance(info.prices, types.ModelPrice) else info.prices
    prices = [[when(entry.constraint), units(entry.prices)] for entry in dated]
    variants = [
        [dict(sorted(variant.when.items())), when(variant.constraint), units(variant.prices)]
        for variant in info.price_variants or ()
        if set(variant.when) <= CHOSEN_BY
    ]
    return [match(info.match), prices, variants] if variants else [match(info.match), prices]


def content(date: str) -> str:
    head = {"date": date, "source": f"genai-prices {importlib.metadata.version('genai-prices')}"}
    lines: list[object] = [head]
    lines += [
        {"id": row.id, "fallback": row.fallback_model_providers or [], "models": [model(info) for info in row.models]} for row in providers
    ]
    return "".join([json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write resources/prices.jsonl.")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--date", default=dt.datetime.now(dt.UTC).date().isoformat(), help="YYYY-MM-DD")
    arguments = parser.parse_args()
    if arguments.check:
        have = FILE.read_text(encoding="utf-8")
        if have == content(json.loads(have.partition("\n")[0])["date"]):
            return 0
        print("resources/prices.jsonl does not match the installed genai-prices; run packaging/make_prices.py", file=sys.stderr)
        return 1
    FILE.write_text(content(arguments.date), encoding="utf-8", newline="\n")
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
