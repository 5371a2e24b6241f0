"""A dialect read into the neutral exchange and written again is what it was, in all that the dialect can express."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.wire.chat import Answer, Call, Delta, Facts, Losses, ToolCall, ToolResult
from app.wire.dialogues import DIALOGUES
from app.wire.usage import Usage
from tests.wire.bridging import NAMES, crossing, fits, said, sent
from tests.wire.rich import RICH

FACTS = Facts(model="work/m", asked="work/m", quirks=frozenset({"openai_own", "max_completion_tokens"}), id="01JX", now_s=5)
EACH = pytest.mark.parametrize("name", NAMES)


def again(name: str, body: dict[str, Any]) -> dict[str, Any]:
    dialogue = DIALOGUES[name]  # type: ignore[index]
    call = dialogue.read_call(copy.deepcopy(body))
    call.model = "work/m"
    losses = Losses()
    out = dialogue.write_call(call, FACTS, losses)
    assert losses.names == ()
    found: dict[str, Any] = json.loads(json.dumps(out))
    return found


@EACH
def test_a_rich_request_is_what_it_was(name: str) -> None:
    assert again(name, RICH[name]) == RICH[name]


@EACH
def test_reading_what_was_written_reads_the_same(name: str) -> None:
    dialogue = DIALOGUES[name]  # type: ignore[index]
    assert dialogue.read_call(again(name, RICH[name])) == dialogue.read_call(RICH[name])


@EACH
@pytest.mark.parametrize("other", NAMES)
def test_a_rich_request_reaches_every_other_dialect_with_its_words_its_calls_and_its_results(name: str, other: str) -> None:
    body = {key: value for key, value in RICH[name].items() if key not in ("stop_sequences", "model")}
    if name == "gemini":
        body["generationConfig"] = {key: value for key, value in body["generationConfig"].items() if key != "stopSequences"}
    passing = crossing(name, other, body, quirks=frozenset({"openai_own"}))
    there = DIALOGUES[other].read_call(sent(passing))  # type: ignore[index]
    here = DIALOGUES[name].read_call({"model": "work/m", **body})  # type: ignore[index]
    assert _gist(there) == _gist(here)


def _gist(call: Call) -> dict[str, Any]:
    """What no translation may lose."""
    parts = [part for message in call.messages for part in message.parts]
    return {
        "calls": [(part.name, part.arguments.replace(" ", "")) for part in parts if isinstance(part, ToolCall) and part.name == "f"],
        "results": len([part for part in parts if isinstance(part, ToolResult)]),
        "words": sorted({word for word in ("Be brief.", "Look:", "Hm.", "one") if word in repr(call)}),
        "tools": [tool.name for tool in call.tools],
        "limit": call.max_tokens,
    }


# -- generated

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
NAME = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
IDENTITY = st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(WORD, VALUE, max_size=3)
ARGUMENTS = OBJECT.map(lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def openai_messages() -> st.SearchStrategy[list[dict[str, Any]]]:
    call = st.builds(lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}}, IDENTITY, NAME, ARGUMENTS)
    part = WORD.map(lambda text: {"type": "text", "text": text}) | st.binary(max_size=9).map(
        lambda data: {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data.hex()}}
    )
    roles = st.sampled_from(["system", "developer", "user", "assistant"])
    message = st.one_of(
        st.builds(lambda role, text: {"role": role, "content": text}, roles, WORD),
        st.lists(part, min_size=2, max_size=3).map(lambda parts: {"role": "user", "content": parts}),
        st.builds(
            lambda text, calls: {"role": "assistant", "content": text, "tool_calls": calls},
            st.none() | WORD,
            st.lists(call, min_size=1, max_size=3),
        ),
        st.builds(lambda i, text: {"role": "tool", "tool_call_id": i, "content": text}, IDENTITY, WORD),
    )
    return st.lists(message, min_size=1, max_size=6)


def anthropic_messages() -> st.SearchStrategy[list[dict[str, Any]]]:
    text = WORD.map(lambda text: {"type": "text", "text": text})
    call = st.builds(lambda i, n, a: {"type": "tool_use", "id": i, "name": n, "input": a}, IDENTITY, NAME, OBJECT)
    thought = st.builds(lambda t, s: {"type": "thinking", "thinking": t, "signature": s}, WORD, IDENTITY)
    result = st.builds(lambda i, t: {"type": "tool_result", "tool_use_id": i, "content": t}, IDENTITY, WORD)
    user = st.tuples(st.lists(result, max_size=2), st.lists(text, min_size=1, max_size=2)).map(lambda both: [*both[0], *both[1]])
    assistant = st.tuples(st.lists(thought, max_size=1), st.lists(text | call, min_size=1, max_size=3)).map(
        lambda both: [*both[0], *both[1]]
    )
    return st.lists(st.tuples(user, assistant), min_size=1, max_size=3).map(
        lambda turns: [
            *[turn for pair in turns for turn in ({"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]})],
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
        ]
    )


def gemini_contents() -> st.SearchStrategy[list[dict[str, Any]]]:
    text = WORD.map(lambda text: {"text": text})
    call = st.builds(lambda i, n, a: {"functionCall": {"name": n, "args": a, "id": i}}, IDENTITY, NAME, OBJECT)
    result = st.builds(lambda i, n, t: {"functionResponse": {"id": i, "name": n, "response": {"output": t}}}, IDENTITY, NAME, WORD)
    user = st.tuples(st.lists(result, max_size=2), st.lists(text, min_size=1, max_size=2)).map(lambda both: [*both[0], *both[1]])
    model = st.lists(text | call, min_size=1, max_size=3)
    return st.lists(st.tuples(user, model), min_size=1, max_size=3).map(
        lambda turns: [turn for pair in turns for turn in ({"role": "user", "parts": pair[0]}, {"role": "model", "parts": pair[1]})]
    )


@given(openai_messages())
@settings(max_examples=60)
def test_any_openai_conversation_is_what_it_was(messages: list[dict[str, Any]]) -> None:
    body = {"model": "work/m", "messages": messages}
    assert again("openai", body) == body


@given(anthropic_messages())
@settings(max_examples=60)
def test_any_anthropic_conversation_is_what_it_was(messages: list[dict[str, Any]]) -> None:
    body = {"model": "work/m", "max_tokens": 9, "messages": messages}
    assert again("anthropic", body) == body


@given(gemini_contents())
@settings(max_examples=60)
def test_any_gemini_conversation_is_what_it_was(contents: list[dict[str, Any]]) -> None:
    assert again("gemini", {"contents": contents}) == {"contents": contents}


@given(openai_messages())
@settings(max_examples=40)
def test_any_conversation_keeps_its_calls_through_every_other_dialect(messages: list[dict[str, Any]]) -> None:
    messages = [{"role": "user", "content": "x"}, *[message for message in messages if message["role"] != "tool"]]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
    for other in ("responses", "anthropic", "gemini"):
        there = DIALOGUES[other].read_call(sent(crossing("openai", other, {"messages": messages})))  # type: ignore[index]
        found = [part for message in there.messages for part in message.parts if isinstance(part, ToolCall)]
        assert [part.name for part in found] == [call["name"] for call in calls]
        assert [json.loads(part.arguments) for part in found] == [json.loads(call["arguments"]) for call in calls]


@given(anthropic_messages(), st.sampled_from(NAMES))
@settings(max_examples=60)
def test_what_a_model_says_is_the_same_whole_and_streamed(messages: list[dict[str, Any]], client: str) -> None:
    """An answer written as a stream and read again says what the same answer says in one piece."""
    dialogue = DIALOGUES[client]  # type: ignore[index]
    content = [block for block in messages[1]["content"] if block["type"] != "thinking"]
    reply = {"id": "m1", "content": content, "stop_reason": "end_turn"}
    answer = DIALOGUES["anthropic"].read_answer(reply, "s")
    answer.usage = Usage(input=3, output=4)
    whole = dialogue.write_answer(answer, Call(origin=client, model="m"), FACTS)
    fits(client, whole, whole=True)
    writer = dialogue.writer(Call(origin=client, model="m", stream=True), FACTS)
    stream = writer.write(_deltas(content), Usage()) + writer.end(answer.usage)
    reader = dialogue.reader("s")
    deltas = [delta for value in said(stream) for delta in reader.event("", json.dumps(value).encode())]
    assert _text(deltas) == "".join(block["text"] for block in content if block["type"] == "text")
    assert _text(dialogue.read_answer(whole, "s")) == _text(deltas)


def _deltas(content: list[dict[str, Any]]) -> list[Delta]:
    reader = DIALOGUES["anthropic"].reader("s")
    out: list[Delta] = []
    for at, block in enumerate(content):
        for value in (
            {"type": "content_block_start", "index": at, "content_block": block},
            {"type": "content_block_stop", "index": at},
        ):
            out += reader.event("", json.dumps(value).encode())
    return out


def _text(value: Any) -> str:
    """All text that was said, in order, but for arguments."""
    if isinstance(value, Answer):
        return "".join(part.text for part in value.parts if type(part).__name__ == "Text")
    return "".join(delta.text for delta in value if type(delta).__name__ == "Said")
