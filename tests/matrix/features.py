"""Each feature as one function: what a client does, what it must get, what the provider must have been asked, what the ledger says."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.core.records import Exchange, Tokens
from tests.gateway import Gateway, wait_for
from tests.matrix.exchange import (
    IMAGE_URL,
    PDF_64,
    PNG_64,
    SCHEMA,
    STOPS,
    SYSTEM,
    TOOL,
    TOOL_SCHEMA,
    WEATHER,
    Ask,
    Client,
    Counts,
)
from tests.matrix.openai_sdk import EMBEDDED
from tests.provider_replies import TEXT
from tests.scripted_replies import DECLINED, THOUGHT
from tests.strict import Seen, understand
from tests.strict.seen import digest
from tests.upstream import Upstream

STATUSES = (400, 401, 403, 404, 429, 500, 529)
# Which providers seal what their models thought, and take it back.
SEALING = frozenset({"responses", "anthropic", "gemini"})


_numbers = itertools.count(1)


@dataclass(slots=True)
class Cell:
    """One client at one provider, behind one gateway. account, model_name: the provider's name and its model there. number: part of
    every model name that this cell asks for, so that its rows are known among all."""

    client: Client
    dialect: str
    account: str
    model_name: str
    gateway: Gateway
    up: Upstream
    number: int = field(default_factory=lambda: next(_numbers))

    def model(self, words: str = "say=text") -> str:
        """The model to ask for, with options of `tests/scripted_replies.py`."""
        return f"{self.account}/{self.at_provider(words)}"

    def at_provider(self, words: str) -> str:
        return f"{self.model_name}~{words.replace(' ', '~')}~cell={self.number}"

    @property
    def seen(self) -> Seen:
        """What the provider was asked last."""
        return understand(self.dialect, self.up.last.json)

    def rows(self, count: int = 1) -> list[Exchange]:
        """This cell's rows, newest first, once there are `count`."""

        def own() -> list[Exchange]:
            with self.gateway.control() as control:
                rows = [row for row in control.activity(limit=40).rows if row.asked.endswith(f"~cell={self.number}")]
            return rows if len(rows) >= count else []

        found: list[Exchange] = wait_for(own, f"{count} rows")
        return found


# None, or what is to be known although it works.
Feature = Callable[[Cell], str | None]
FEATURES: dict[str, Feature] = {}


def feature(name: str) -> Callable[[Feature], Feature]:
    def keep(function: Feature) -> Feature:
        FEATURES[name] = function
        return function

    return keep


@dataclass(frozen=True, slots=True)
class Impossible:
    """why: for a person, after "because". dropped: what the ledger and the header name as dropped, "" when it is the client that lost it.
    refused: words of the 400."""

    why: str
    dropped: str = ""
    refused: str = ""


def assert_impossible(cell: Cell, name: str, impossible: Impossible) -> None:
    """It is refused before anything goes out, or answered without, and either way it is said."""
    before = len(cell.up.requests)
    if impossible.refused:
        with pytest.raises(cell.client.errors[400]) as caught:
            BARE[name](cell)
        assert impossible.refused in str(caught.value)
        assert len(cell.up.requests) == before, "it went out all the same"
        row = cell.rows()[0]
        assert (row.status, row.outcome) == (400, "refused")
        return
    BARE[name](cell)
    assert cell.rows(len(cell.up.requests) - before)[0].dropped == impossible.dropped


def embed(cell: Cell) -> None:
    sdk = cell.client.sdk  # type: ignore[attr-defined]  # only `openai` gets here
    assert sdk.embeddings.create(model=cell.model("say=text"), input=["a", "b"]).data[1].embedding == EMBEDDED


def _asked(**words: Any) -> Feature:
    def ask(cell: Cell) -> None:
        assert cell.client.say(Ask(model=cell.model(), **words)).text == TEXT

    return ask


def _conversed(cell: Cell, stream: bool) -> str:
    """The last word about what came back sealed."""
    first, second = cell.client.converse(Ask(model=cell.model("say=thinking-tools"), tools=True, thinking=True, stream=stream))
    assert first.calls == [(TOOL, {"city": city}) for city in WEATHER]
    told, _, sealed = second.text.rpartition("; ")
    assert told == "; ".join(f"{city}: {said}" for city, said in WEATHER.items())
    return sealed


# What some providers have no words for, without a look at what the provider was asked.
BARE: dict[str, Feature] = {
    "image by URL": _asked(image_url=True),
    "stop sequences": _asked(stop="END"),
    "cache marks": _asked(system=SYSTEM, cache=True),
    "embeddings": embed,
    "thinking between tools": lambda cell: _unsealed(_conversed(cell, stream=False)),
    "thinking between tools, streamed": lambda cell: _unsealed(_conversed(cell, stream=True)),
}


def _unsealed(sealed: str) -> None:
    assert sealed == "unsealed"


def _said(cell: Cell, stream: bool) -> None:
    got = cell.client.say(Ask(model=cell.model(), system=SYSTEM, stream=stream))
    assert (got.text, got.stop) == (TEXT, STOPS[cell.client.dialect]["stop"])
    assert not stream or got.pieces >= 8, "the stream came in one piece"
    assert cell.seen.system == SYSTEM
    assert cell.seen.turns[-1][0] == "user"
    assert cell.seen.last_text == "Hello"
    assert cell.seen.max_tokens == 4096
    row = cell.rows()[0]
    assert (row.status, row.outcome, row.account, row.stream, row.dropped) == (200, "completed", cell.account, stream, "")


@feature("text")
def text(cell: Cell) -> None:
    _said(cell, stream=False)


@feature("streaming")
def streaming(cell: Cell) -> None:
    _said(cell, stream=True)


def _tools(cell: Cell, stream: bool) -> None:
    first, second = cell.client.converse(Ask(model=cell.model("say=tools"), tools=True, stream=stream))
    assert first.calls == [(TOOL, {"city": city}) for city in WEATHER]
    assert first.stop == STOPS[cell.client.dialect]["calls"]
    assert second.text == "; ".join(f"{city}: {said}" for city, said in WEATHER.items())
    assert plain_schema(cell.seen.tools) == {TOOL: TOOL_SCHEMA}
    assert [call.name for call in cell.seen.items("call", "assistant")] == [TOOL, TOOL]


@feature("two tools at once, their results")
def tools(cell: Cell) -> None:
    _tools(cell, stream=False)


@feature("two tools at once, streamed")
def tools_streamed(cell: Cell) -> None:
    _tools(cell, stream=True)


@feature("image")
def image(cell: Cell) -> None:
    assert cell.client.say(Ask(model=cell.model(), image=True)).text == TEXT
    assert [(item.media, item.digest) for item in cell.seen.items("image")] == [("image/png", digest(PNG_64))]


@feature("image by URL")
def image_by_url(cell: Cell) -> None:
    BARE["image by URL"](cell)
    assert [item.digest for item in cell.seen.items("image")] == [IMAGE_URL]


@feature("document")
def document(cell: Cell) -> None:
    assert cell.client.say(Ask(model=cell.model(), document=True)).text == TEXT
    assert [(item.media, item.digest) for item in cell.seen.items("document")] == [("application/pdf", digest(PDF_64))]


@feature("JSON schema")
def json_schema(cell: Cell) -> None:
    for stream in (False, True):
        assert cell.client.say(Ask(model=cell.model("say=schema"), schema=True, stream=stream)).json == {"city": "Paris", "degrees": 21}
        assert plain_schema(cell.seen.schema) == SCHEMA


def _thinking(cell: Cell, stream: bool) -> None:
    got = cell.client.say(Ask(model=cell.model("say=thinking"), thinking=True, stream=stream))
    assert got.text == TEXT
    assert got.thinking.strip() == ("" if cell.client.no_thoughts else THOUGHT)
    assert cell.seen.effort or cell.seen.budget, "the provider was not asked to think"
    assert cell.rows()[0].tokens.reasoning == 3


@feature("thinking")
def thinking(cell: Cell) -> None:
    _thinking(cell, stream=False)


@feature("thinking, streamed")
def thinking_streamed(cell: Cell) -> None:
    _thinking(cell, stream=True)


@feature("thinking between tools")
def thinking_between_tools(cell: Cell) -> None:
    """What the model thought before it called comes back to it with the results, under its own seal."""
    assert _conversed(cell, stream=False) == ("sealed" if cell.dialect in SEALING else "unsealed")


@feature("thinking between tools, streamed")
def thinking_between_tools_streamed(cell: Cell) -> None:
    assert _conversed(cell, stream=True) == ("sealed" if cell.dialect in SEALING else "unsealed")


@feature("stop sequences")
def stop_sequences(cell: Cell) -> None:
    BARE["stop sequences"](cell)
    assert cell.seen.stop == ["END"]


@feature("cache marks")
def cache_marks(cell: Cell) -> None:
    BARE["cache marks"](cell)
    assert cell.up.last.body.count(b'"cache_control"') == 1


@feature("why it ended")
def why_it_ended(cell: Cell) -> None:
    for why in ("length", "filter"):
        for stream in (False, True):
            assert cell.client.say(Ask(model=cell.model(f"say={why}"), stream=stream)).stop == STOPS[cell.client.dialect][why]


@feature("a refusal")
def refusal(cell: Cell) -> str | None:
    """The model's own words where it has some, else that it was refused."""
    for stream in (False, True):
        got = cell.client.say(Ask(model=cell.model("say=refusal"), stream=stream))
        if stream and cell.client.no_refusals and (got.text, got.stop) == ("", STOPS[cell.client.dialect]["stop"]):
            return cell.client.no_refusals
        assert DECLINED in got.text or got.stop == STOPS[cell.client.dialect]["filter"]
    return None


@feature("a tool without arguments")
def no_arguments(cell: Cell) -> None:
    for stream in (False, True):
        assert cell.client.say(Ask(model=cell.model("say=no-arguments"), tools=True, stream=stream)).calls == [(TOOL, {})]


@feature("a thought that is only sealed")
def redacted(cell: Cell) -> None:
    for stream in (False, True):
        assert cell.client.say(Ask(model=cell.model("say=redacted"), thinking=True, stream=stream)).text == TEXT


@feature("usage")
def usage(cell: Cell) -> None:
    """To the token, in the reply and in the ledger. Gemini reports no tokens written to a cache, neither asked nor answering."""
    wrote = 0 if cell.dialect == "gemini" else 20
    words = f"say=text input=120 cached=40 wrote={wrote} output=50 reasoning=12"
    for count, stream in enumerate((False, True), 1):
        got = cell.client.say(Ask(model=cell.model(words), stream=stream)).counts
        expected = Counts(120, 40, None if cell.client.dialect == "gemini" else wrote, 50, 12)
        got.wrote = got.wrote or (None if expected.wrote is None else 0)
        assert got == expected
        tokens = cell.rows(count)[0].tokens
        assert replace(tokens, cache_write=tokens.cache_write or 0) == Tokens(
            input=120, cached=40, cache_write=wrote, output=50, reasoning=12, estimated=False
        )


@feature("counting tokens")
def counting_tokens(cell: Cell) -> str | None:
    """The provider's count in its own dialect, an estimate in any other."""
    counted = cell.client.count(Ask(model=cell.model("input=321"), text="Hello " * 100))
    if cell.client.dialect == cell.dialect:
        assert counted == 321
        return None
    assert 50 < counted < 1000
    return "In another dialect than the provider's, tokens are counted by Gatehouse: an estimate, marked as one"


@feature("embeddings")
def embeddings(cell: Cell) -> None:
    embed(cell)


@feature("errors")
def errors(cell: Cell) -> None:
    """The package's own exception for each status, whole and streamed, with the provider's words and when to try again."""
    for status in STATUSES:
        for stream in (False, True):
            cell.up.on(cell.at_provider(f"bad={status}"), f"{status}?retry-after=7")
            with pytest.raises(cell.client.errors[status]) as caught:
                cell.client.say(Ask(model=cell.model(f"bad={status}"), stream=stream))
            assert cell.client.status(caught.value) == status
            assert f"The upstream answers {status} as asked." in str(caught.value)
            if status == 429:
                assert cell.client.header(caught.value, "retry-after") == "7"
    assert {row.outcome for row in cell.rows(2 * len(STATUSES))} == {"failed"}


@feature("an error in a stream")
def error_in_a_stream(cell: Cell) -> None:
    cell.up.on(cell.at_provider("say=text"), "error-event?after=5")
    with pytest.raises(cell.client.broken):
        cell.client.say(Ask(model=cell.model(), stream=True))
    row = cell.rows()[0]
    assert (row.outcome, row.status) == ("failed", 200)


@feature("leaving")
def leaving(cell: Cell) -> None:
    """The provider is cancelled within a second, and what came is recorded."""
    cell.client.leave(Ask(model=cell.model("say=text every_ms=40 chunks=200"), stream=True))
    left = time.monotonic()
    assert cell.up.wait_gone(cell.up.last) - left < 1.0
    row = cell.rows()[0]
    assert (row.outcome, row.status) == ("cancelled", 499)
    assert (row.tokens.output or 0) > 0


def plain_schema(schema: Any) -> Any:
    """A schema in JSON Schema's words, without what some providers need beside: Gemini's types are in capitals."""
    if isinstance(schema, list):
        return [plain_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            found[name] = value.lower()
        elif name not in ("propertyOrdering", "title"):
            found[name] = plain_schema(value)
    return found


@contextlib.contextmanager
def unharmed(cell: Cell) -> Any:
    """Nothing that the provider would not have accepted was sent to it."""
    before = len(cell.up.refused)
    yield
    assert [why for _, why in cell.up.refused[before:]] == []
