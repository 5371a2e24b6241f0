"""What a translation promises as a whole: its cost, its independence from other dialects, and what it tells the engine."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import MessageTokensCount
from google.genai.types import CountTokensResponse
from openai.types.responses.input_token_count_response import InputTokenCountResponse

import app.wire
from app.core.errors import AppError
from app.wire import carry
from app.wire.bridge import Bridge, Relay
from app.wire.count import COUNTS, estimate
from tests.wire.bridging import NAMES, chunk, crossing, frame

PIECES = 400
LIMIT_S = 60e-6
FAMILIES = ("openai_chat", "openai_responses", "anthropic", "gemini")


def _events(make: Callable[[str], dict[str, Any]]) -> list[bytes]:
    return [frame(make(f"token {number}"), named=True) for number in range(PIECES)]


STREAMS: dict[str, list[bytes]] = {
    "openai": [frame(chunk({"content": f"token {number}"})) for number in range(PIECES)],
    "responses": _events(
        lambda text: {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}
    ),
    "anthropic": _events(lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    "gemini": [
        frame(
            {
                "candidates": [{"content": {"parts": [{"text": f"token {number}"}], "role": "model"}}],
                "usageMetadata": {"promptTokenCount": 9},
            }
        )
        for number in range(PIECES)
    ],
}


@pytest.mark.parametrize("client", NAMES)
@pytest.mark.parametrize("provider", NAMES)
def test_a_translated_chunk_costs_at_most_sixty_microseconds_of_processor_time(client: str, provider: str) -> None:
    best = 1.0
    for _ in range(5):
        passing = crossing(client, provider, stream=True)
        began = time.process_time()
        for piece in STREAMS[provider]:
            passing.feed(piece)
        best = min(best, (time.process_time() - began) / PIECES)
    assert best <= LIMIT_S


def test_a_dialect_imports_no_other() -> None:
    for file in Path(app.wire.__file__).parent.glob("*.py"):
        family = next((one for one in FAMILIES if file.stem.startswith(one)), None)
        if family is None:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
        named += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        for name in named:
            last = name.rpartition(".")[2]
            assert not any(last.startswith(other) for other in FAMILIES if other != family), (file.name, name)


@pytest.mark.parametrize("name", NAMES)
def test_in_one_dialect_bytes_are_left_alone_unless_they_hold_marks_of_ours(name: str) -> None:
    assert isinstance(crossing(name, name), Relay)
    assert crossing(name, name).dropped == ()
    marked = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "input": "x", "max_tokens": 1,
                         "contents": [{"parts": [{"text": "x"}]}], "y": carry.mark("a", "sealed", "gemini")}).encode()  # fmt: skip
    assert isinstance(crossing(name, name, marked), Bridge)


def test_a_provider_is_told_what_a_client_of_another_dialect_does_not_say() -> None:
    assert crossing("openai", "anthropic").headers == (("anthropic-version", "2023-06-01"),)
    assert crossing("anthropic", "anthropic").headers == ()
    assert crossing("anthropic", "openai").headers == ()


@pytest.mark.parametrize("endpoint", ["completions", "embeddings", "messages/count_tokens"])
def test_an_endpoint_that_cannot_be_translated_is_refused_in_words(endpoint: str) -> None:
    from app.wire.body import understand
    from app.wire.bridge import passage
    from app.wire.dialects import DIALECTS

    raw = b'{"model":"m","prompt":"x"}'
    with pytest.raises(AppError) as caught:
        passage(DIALECTS["openai"], DIALECTS["gemini"], endpoint, raw, understand(raw, endpoint), "m")
    assert (caught.value.code, caught.value.status) == ("not_expressible", 400)


def test_tokens_are_estimated_in_each_dialects_shape_and_marked() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 100 + b'"}]}'
    kinds: dict[str, Any] = {
        "messages/count_tokens": MessageTokensCount,
        "countTokens": CountTokensResponse,
        "responses/input_tokens": InputTokenCountResponse,
    }
    assert set(kinds) == COUNTS
    for endpoint, kind in kinds.items():
        said = json.loads(estimate(endpoint, body))  # type: ignore[arg-type]
        assert said.pop("estimated") is True
        counted = kind.model_validate(said)
        assert 100 < (counted.total_tokens if endpoint == "countTokens" else counted.input_tokens) < 200


@pytest.mark.parametrize("identifier", ["a", "call_1", "x" * 64])
@pytest.mark.parametrize("signature", ["", "EtsB+/==", "ä\n", "x" * 4000])
def test_a_seal_in_an_id_comes_off_as_it_was(identifier: str, signature: str) -> None:
    marked = carry.mark(identifier, signature, "gemini")
    assert carry.unmark(marked) == (identifier, signature, "gemini" if signature else "")
    assert all(letter.isalnum() or letter in "_-" for letter in marked)


def test_marks_that_are_none_are_left_alone() -> None:
    for text in ("a__gh1_", "a__gh1_!!", "__gh1_\u2028", "a__gh1_gQ"):
        assert carry.unmark(text)[1] == "" or carry.unmark(text)[0] == "a"
    assert carry.unseal("gh1.x", "anthropic") == ("anthropic", "gh1.x", False)
