"""Our calculation against the library the price file was made from, over all its records."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers

from app.core.records import Tokens
from app.providers import prices
from app.providers.catalogue import KINDS
from app.wire.usage import Usage

ROOT = Path(__file__).parent.parent.parent
NOW_US = int(datetime(2026, 11, 1, 12, 0, tzinfo=UTC).timestamp() * 1_000_000)

FIELDS = {
    "input": "input_tokens",
    "cached": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
    "citation": "output_citation_tokens",
    "input_audio": "input_audio_tokens",
    "cached_audio": "cache_audio_read_tokens",
    "output_audio": "output_audio_tokens",
    "web_searches": "web_searches",
}


def names_for(clause: Any) -> list[str]:
    """Model names that the clause was written for, and near misses of them."""
    if isinstance(clause, types.ClauseOr):
        return [name for part in clause.or_ for name in names_for(part)]
    if isinstance(clause, types.ClauseAnd):
        return [name for part in clause.and_ for name in names_for(part)]
    if isinstance(clause, types.ClauseRegex):
        literal = clause.regex.strip("^$").replace("\\.", ".").replace("[-@]", "-")
        return [literal.replace("\\d{8}", "20261101").replace("\\d{4}-\\d{2}-\\d{2}", "2026-11-01")]
    text = next(iter(vars(clause).values()))
    if isinstance(clause, types.ClauseEquals):
        return [text, text.upper(), text + "-x"]
    return [text, text + "-20251201", "x" + text]


def usage_for(chance: random.Random) -> Usage:
    """Counts that fit together: every part within its whole, and what audio and cache share said outright."""
    cached, write_1h, write_5m, plain = (chance.choice((0, 1, 777, 150_000)) for _ in range(4))
    cached_audio = chance.randint(0, cached)
    audio = cached_audio + chance.choice((0, 5, 4_000))
    return Usage(
        input=plain + cached + write_1h + write_5m + audio,
        cached=cached,
        cache_write=write_1h + write_5m,
        cache_write_1h=write_1h,
        output=chance.choice((0, 3, 8_192)) + 500,
        reasoning=chance.randint(0, 200),
        citation=chance.randint(0, 100),
        output_audio=chance.randint(0, 200),
        input_audio=audio,
        cached_audio=cached_audio,
        web_searches=chance.choice((0, 3)),
        service_tier=chance.choice(("", "default", "priority", "flex", "fast")),
        speed=chance.choice(("", "fast", "standard")),
    )


def theirs(provider: str, model: str, usage: Usage, at_us: int) -> Decimal | None:
    counts = {their: value for our, their in FIELDS.items() if (value := getattr(usage, our)) is not None}
    context = {name: value for name in ("service_tier", "speed") if (value := getattr(usage, name))}
    try:
        price = genai_prices.calc_price(
            genai_prices.Usage(**counts),
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.fromtimestamp(at_us / 1_000_000, UTC),
            price_context=context or None,
        )
    except LookupError:
        return None
    return price.total_price * 1_000_000


def has_unit_of_ours(provider: str, model: str) -> bool:
    row = next(row for row in providers if row.id == provider)
    found = row.find_model(model, all_providers=providers)
    assert found is not None
    dated = [found.prices] if isinstance(found.prices, types.ModelPrice) else [entry.prices for entry in found.prices]
    ours = ("input_mtok", "output_mtok", "web_searches_kcount", "requests_kcount")
    return any(getattr(entry, unit) is not None for entry in dated for unit in ours)


def compare(chance: random.Random, rounds: int) -> int:
    compared = 0
    for row in providers:
        for info in row.models:
            for name in names_for(info.match):
                for _ in range(rounds):
                    usage, at_us = usage_for(chance), chance.randint(NOW_US - 10**14, NOW_US + 10**14)
                    expected = theirs(row.id, name, usage, at_us)
                    got = prices.microdollars(row.id, name, usage, at_us)
                    if got is None and expected is not None:
                        # Priced only in units that no endpoint of ours reports: unknown to us, not free.
                        assert not has_unit_of_ours(row.id, name), (row.id, name)
                        continue
                    assert got == expected, (row.id, name, usage, at_us)
                    compared += 1
    return compared


def test_every_record_of_the_library_costs_the_same_with_us() -> None:
    assert compare(random.Random(1), 1) > 4_000


@pytest.mark.slow
def test_every_record_costs_the_same_for_many_usages() -> None:
    assert compare(random.Random(2), 60) > 300_000


def test_the_price_file_is_what_the_script_makes_of_the_installed_library() -> None:
    ran = subprocess.run([sys.executable, "packaging/make_prices.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_every_provider_id_of_the_catalogue_is_in_the_price_file() -> None:
    known = {row.id for row in providers}
    assert {row.prices for row in KINDS.values() if row.prices} <= known


def test_a_model_nobody_prices_has_no_cost_rather_than_a_cost_of_zero() -> None:
    usage = Usage(input=10, output=10)
    assert prices.cost("openai", "gpt-of-tomorrow", usage, NOW_US) is None
    assert prices.cost("dashscope", "qwen-max", usage, NOW_US) is None
    assert prices.cost("openai-compatible", "gpt-4o", usage, NOW_US) is None
    assert prices.cost("no-such-kind", "gpt-4o", usage, NOW_US) is None


def test_an_unknown_count_is_unpriced_and_nothing_used_is_free() -> None:
    assert prices.cost("openai", "gpt-4o", Usage(), NOW_US) is None
    assert prices.cost("openai", "gpt-of-tomorrow", Usage(input=0, output=0), NOW_US) == prices.Cost(0, prices.version())


def test_the_persons_own_machine_costs_nothing_and_says_so() -> None:
    usage = Usage(input=10, output=10)
    assert prices.cost("ollama", "qwen3", usage, NOW_US) == prices.Cost(0, "local")
    assert prices.cost("gatehouse", "echo", usage, NOW_US) == prices.Cost(0, "local")
    assert prices.cost("openai-compatible", "x", usage, NOW_US, local=True) == prices.Cost(0, "local")


def test_an_account_of_a_local_kind_that_is_elsewhere_is_not_free() -> None:
    assert prices.cost("ollama", "gpt-oss:120b", Usage(input=10, output=10), NOW_US, local=False) is None


def test_what_the_ledger_keeps_is_enough_for_a_price() -> None:
    tokens = Tokens(input=1_000_000, cached=400_000, output=100_000)
    cost = prices.cost("openai", "gpt-4o", tokens, NOW_US)
    assert cost == prices.Cost(600_000 * 25 // 10 + 400_000 * 125 // 100 + 100_000 * 10, prices.version())


def test_a_cost_is_rounded_once_and_half_up() -> None:
    def rounded(cached: int) -> int:
        cost = prices.cost("openai", "gpt-4o", Usage(input=cached, cached=cached, output=0), NOW_US)
        assert cost is not None
        return cost.microusd

    assert [rounded(cached) for cached in (1, 2, 3)] == [1, 3, 4]  # 1.25, 2.5, 3.75


def test_impossible_counts_never_make_a_negative_cost() -> None:
    cost = prices.cost("openai", "gpt-4o", Usage(input=10, cached=1_000, output=0), NOW_US)
    assert cost == prices.Cost(1_250, prices.version())


def test_an_hour_of_cache_costs_more_than_five_minutes() -> None:
    short = prices.cost("anthropic", "claude-sonnet-4-5", Usage(input=1000, cache_write=1000, cache_write_1h=0, output=0), NOW_US)
    long = prices.cost("anthropic", "claude-sonnet-4-5", Usage(input=1000, cache_write=1000, cache_write_1h=1000, output=0), NOW_US)
    assert short is not None
    assert long is not None
    assert (short.microusd, long.microusd) == (3_750, 6_000)


def test_times_before_1970_and_far_ahead_are_priced() -> None:
    for at_us in (-1, 0, 10**17):
        assert prices.cost("deepseek", "deepseek-chat", Usage(input=10, output=10), at_us) is not None
