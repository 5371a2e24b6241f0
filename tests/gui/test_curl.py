"""The command for a terminal goes to the address that the row came from, and holds no key and no prompt."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.gui import curl
from app.wire import dialects
from app.wire.body import understand
from tests.gui.desk import exchange

ADDRESS = "127.0.0.1:4141"


def parts(**row: Any) -> tuple[str, list[str], dict[str, Any] | None]:
    """URL, headers and body, as a shell would pass them on."""
    words = shlex.split(curl.command(exchange(1, **row), ADDRESS).replace("\\\n", ""))
    headers = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
    bodies = [words[place + 1] for place, word in enumerate(words) if word == "-d"]
    url = next(word for word in words if word.startswith("http"))
    assert ("-N" in words) == row.get("stream", True)
    return url, headers, json.loads(bodies[0]) if bodies else None


@pytest.mark.parametrize(
    ("dialect", "endpoint", "key"),
    [
        ("openai", "chat/completions", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("openai", "completions", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("openai", "embeddings", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("openai", "models", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("responses", "responses", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("responses", "responses/input_tokens", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("responses", "responses/item", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("responses", "responses/cancel", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("responses", "responses/input_items", "Authorization: Bearer $GATEHOUSE_KEY"),
        ("anthropic", "messages", "x-api-key: $GATEHOUSE_KEY"),
        ("anthropic", "messages/count_tokens", "x-api-key: $GATEHOUSE_KEY"),
        ("anthropic", "models", "x-api-key: $GATEHOUSE_KEY"),
        ("gemini", "generateContent", "x-goog-api-key: $GATEHOUSE_KEY"),
        ("gemini", "streamGenerateContent", "x-goog-api-key: $GATEHOUSE_KEY"),
        ("gemini", "countTokens", "x-goog-api-key: $GATEHOUSE_KEY"),
        ("gemini", "models", "x-goog-api-key: $GATEHOUSE_KEY"),
    ],
)
def test_the_command_is_answered_at_the_endpoint_it_came_from(dialect: str, endpoint: str, key: str) -> None:
    url, headers, body = parts(dialect=dialect, endpoint=endpoint, asked="work/it's a model")
    assert url.startswith(f"http://{ADDRESS}/v1")
    assert headers[0] == key
    split = urlsplit(url)
    place = dialects.place(split.path, anthropic=dialect == "anthropic", google=dialect == "gemini", query=split.query)
    assert place is not None
    assert (place.dialect.name, place.endpoint) == (dialect, endpoint)
    assert ("GET" in place.methods) == (body is None)
    if body:
        assert curl.PROMPT in json.dumps(body)
        call = understand(json.dumps(body).encode(), place.endpoint, model=place.model, stream=place.stream)
        assert call.model == "work/it's a model"


def test_a_request_in_one_piece_is_asked_for_in_one_piece() -> None:
    _, _, body = parts(stream=False)
    assert body == {"model": "openai/gpt-5", "messages": [{"role": "user", "content": curl.PROMPT}]}
