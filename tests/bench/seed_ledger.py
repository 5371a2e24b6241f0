"""Large ledgers, quickly: `python -m tests.bench.seed_ledger FILE ROWS [--days N]`.

The rows are those of somebody with several agents: working hours, a few clients, a dozen models, failures with messages that differ.
They are written as `ledger.record` writes them (rows, families, rollups, whole days, an audit entry with the digest of each batch), but
flat tuples are made directly instead of `Exchange` objects, and sums are taken at the end by SQL: about five times as quick. `sample`
gives the same rows as exchanges, and the bench part records them with `record` and compares every table (tests/bench/ledger.py).
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from app.core.events import LedgerBatch
from app.core.ids import call_id_of
from app.core.records import Exchange
from app.store import audit, daily, exchanges, families, forms, ledger, words
from app.store.database import Store
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, insert_into

KEY: Final = bytes(range(32))
END_US: Final = 1_795_428_000_000_000  # a Monday in November 2026, ten in the morning UTC
BATCH: Final = 500
_DAY_US: Final = 86_400_000_000
_SEED: Final = 20_261_123

# client, share of its requests, models with shares
_CLIENTS: Final = (
    ("Claude Code", 48, (("anthropic", "claude-sonnet-4-5", 70), ("anthropic", "claude-haiku-4-5", 22), ("work", "gpt-5.1", 8))),
    ("Codex", 22, (("work", "gpt-5.1", 75), ("work", "gpt-5-mini", 25))),
    ("Zed", 12, (("anthropic", "claude-sonnet-4-5", 60), ("work", "gpt-5.1", 30), ("mistral", "mistral-medium", 10))),
    ("scripts", 15, (("ollama", "qwen3-coder:30b", 60), ("work", "gpt-5-mini", 30), ("gemini", "gemini-2.5-flash", 10))),
    ("Continue", 3, (("gemini", "gemini-2.5-pro", 50), ("openrouter", "deepseek-v3.2", 30), ("ollama", "llama3.3:70b", 20))),
)
_KINDS: Final = {
    "anthropic": "anthropic",
    "work": "openai",
    "mistral": "mistral",
    "ollama": "ollama",
    "gemini": "gemini",
    "openrouter": "openrouter",
}
_HOSTS: Final = {
    "anthropic": "api.anthropic.com", "work": "api.openai.com", "mistral": "api.mistral.ai", "ollama": "127.0.0.1",
    "gemini": "generativelanguage.googleapis.com", "openrouter": "openrouter.ai",
}  # fmt: skip
_DOLLARS: Final = {"claude-sonnet-4-5": 3, "claude-haiku-4-5": 1, "gpt-5.1": 2, "gpt-5-mini": 1, "gemini-2.5-flash": 1, "gemini-2.5-pro": 2}
# outcome, status, error, message, share in ten thousand
_ENDS: Final = (
    ("completed", 200, "", "", 9_700),
    ("failed", 429, "provider_error", "Rate limit reached for requests, number {n}. Please try again in {s} ms.", 120),
    ("failed", 529, "provider_error", "Overloaded", 60),
    ("failed", 502, "provider_unreachable", "api.example answered nothing within 10 s.", 20),
    ("cancelled", 499, "", "", 95),
    ("interrupted", 0, "", "", 5),
)


def flat_rows(count: int, days: int, *, end_us: int = END_US) -> Iterator[tuple[bytes, list[Any]]]:
    """`count` rows over so many days up to `end_us`, in the order of time: the id, and the row in the order of `exchanges.FIELDS`."""
    chance = random.Random(_SEED)
    kinds = [(client, account, model, share * part) for client, share, models in _CLIENTS for account, model, part in models]
    shares = [kind[3] for kind in kinds]
    ends, end_shares = _ENDS, [end[4] for end in _ENDS]
    moments = _moments(count, days, end_us)
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        chosen = chance.choices(kinds, shares, k=size)
        ended = chance.choices(ends, end_shares, k=size)
        for number, (client, account, model, _), (outcome, status, error, template, _) in zip(
            range(start, start + size), chosen, ended, strict=True
        ):
            opened_us = next(moments)
            some = chance.getrandbits(62)
            identifier = (opened_us // 1000 << 80 | chance.getrandbits(80)).to_bytes(16)
            duration_us = 400_000 + some % 9_000_000
            failed = outcome in ("failed", "interrupted")
            used = outcome in ("completed", "cancelled")
            put_in, put_out = 500 + some % 47_000, 20 + (some >> 20) % 2_400
            dollars = _DOLLARS.get(model)
            local = account == "ollama"
            cost = 0 if local else (put_in * dollars + put_out * dollars * 5 if dollars else None)
            message = template.format(n=number, s=some % 60_000) if "{" in template else template
            yield identifier, [
                call_id_of(identifier), client, "v1/messages" if account == "anthropic" else "chat/completions",
                "anthropic" if account == "anthropic" else "openai", "default" if client == "Claude Code" else f"{account}/{model}",
                account, _KINDS[account], model, outcome, error,
                ("local" if local else "2026-11-03" if dollars else "") if used else "", _HOSTS[account],
                message, "x-stainless-os" if client == "Zed" else "", bool(some & 1), opened_us,
                None if outcome == "interrupted" else opened_us + duration_us,
                None if outcome == "interrupted" else duration_us, None if failed else duration_us // 4, status, 1,
                cost if used else None, number // 60, 2_000 + put_in * 4, 300 if failed else put_out * 5 + 900, 9,
                *((put_in, put_in * 6 // 10, None, put_out, put_out // 4) if used else (None,) * 5), False,
            ]  # fmt: skip


def sample(count: int, days: int) -> list[Exchange]:
    return [exchanges.of_flat(values) for _, values in flat_rows(count, days)]


def seed(path: Path, count: int, days: int = 365, key: bytes = KEY) -> Store:
    """Make the ledger, or fill one that has no rows yet; the store stays open."""
    store = Store.open(path, key)
    columns = [exchanges.FIELDS.index(name) for name in families.COLUMNS]
    closed = exchanges.FIELDS.index("closed_us")
    rows = flat_rows(count, days)
    left = count
    with store.write() as connection:
        known: dict[tuple[Any, ...], int] = {}
        while left:
            size = min(BATCH, left)
            left -= size
            some = [next(rows) for _ in range(size)]
            some.sort()
            batch = LedgerBatch(count=size, first=some[0][1][0], last=some[-1][1][0], digest=forms.digest(v for _, v in some))
            seq = audit.append(connection, batch, ledger.ACTOR, max(v[closed] or v[closed - 1] for _, v in some))
            numbers = words.numbers(connection, {text for _, v in some for text in v[ledger._NAMES]})
            ledger._INSERT.run(
                connection, [(identifier, seq, *[numbers[text] for text in v[ledger._NAMES]], *v[ledger._REST]) for identifier, v in some]
            )
            placed = []
            for identifier, v in some:
                key = tuple(v[place] for place in columns)
                family = known.get(key)
                if family is None:
                    values = tuple(part if isinstance(part, int) else numbers[part] for part in key)
                    connection.exec_driver_sql(families._ADD, values)
                    family = known[key] = int(connection.exec_driver_sql(families._NUMBER, values).scalar_one())
                placed.append((family, identifier))
            families._ADD_ROWS.run(connection, placed)
        failed = ", ".join(str(number) for number in words.known(connection, ("failed", "refused", "interrupted"))) or "0"
        local, nothing = (words.known(connection, (text,)) or [0] for text in ("local", ""))
        sums = {
            "requests": "count(*)", "failed": f"sum(outcome IN ({failed}))", "local": f"sum(price = {local[0]})",
            "input": "sum(ifnull(input, 0))", "cached": "sum(ifnull(cached, 0))", "cache_write": "sum(ifnull(cache_write, 0))",
            "output": "sum(ifnull(output, 0))", "reasoning": "sum(ifnull(reasoning, 0))", "cost_microusd": "sum(ifnull(cost_microusd, 0))",
            "unpriced":
                f"sum(cost_microusd IS NULL AND model <> {nothing[0]} AND outcome NOT IN ({failed}))",
            "estimated": "sum(estimated)",
        }  # fmt: skip
        connection.exec_driver_sql(
            insert_into("rollups", ROLLUP_KEY + ROLLUP_SUMS).partition(" VALUES")[0]
            + f" SELECT opened_us / 900000000, client, account, kind, model, {', '.join(sums[name] for name in ROLLUP_SUMS)}"
            + " FROM exchanges GROUP BY 1, 2, 3, 4, 5"
        )
        daily.mend(connection)
    return store


def _moments(count: int, days: int, end_us: int) -> Iterator[int]:
    """Times that rise, most of them in working hours: the integral of a day's curve, turned round by steps of a minute."""
    weights = [
        0.06 + max(0.0, math.sin((minute / 1440 - 0.3) * math.pi * 1.8)) ** 2 * (0.3 <= minute / 1440 <= 0.86) for minute in range(1440)
    ]
    total = sum(weights) * days
    start_us = end_us - days * _DAY_US
    given = 0
    so_far = 0.0
    for minute in range(1440 * days):
        so_far += weights[minute % 1440]
        upto = count if minute == 1440 * days - 1 else int(count * so_far / total)
        for place in range(upto - given):
            yield start_us + minute * 60_000_000 + place * 60_000_000 // (upto - given)
        given = upto


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.seed_ledger", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("--days", type=int, default=365)
    given = parser.parse_args()
    began = time.perf_counter()
    seed(given.file, given.rows, given.days).close()
    took = time.perf_counter() - began
    size = given.file.stat().st_size
    print(f"{given.rows:,} rows in {took:.1f} s, {given.rows / took:,.0f} a second, {size / given.rows:.0f} bytes a row")


if __name__ == "__main__":
    main()
