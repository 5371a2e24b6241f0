"""What reads, gathers and writes text of clients and providers takes time in proportion to it: every part of it is in the table below.

Each row makes an input of size n and gives the work on it. A row for every dialect and direction stands for all that its readers and
writers do: many parts of each kind, many pieces, many calls at once.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from app.core.errors import AppError
from app.core.secret import Secret
from app.egress.door import Opened
from app.egress.http1 import Limits, ReplyReader
from app.egress.reply import Reply, Timeouts
from app.egress.unpack import Unpacker
from app.engine.responses import Keeping
from app.wire import replies, shape
from app.wire.body import rewrite, understand
from app.wire.bridge import text_bytes
from app.wire.carry import carried
from app.wire.chat import Call, CallEnd, CallPiece, CallStart, Delta, Facts, Finish, Losses, Said, Start, Thought
from app.wire.dialects import DIALECTS
from app.wire.dialogues import DIALOGUES
from app.wire.identifiers import Pseudonyms, hide
from app.wire.prepare import prepare
from app.wire.redact import Carried, Redactor
from app.wire.sse import Splitter, events, fields
from app.wire.usage import Usage
from tests.growth import LIMIT, Work, growth
from tests.wire.spellings import KEYS

KEY = KEYS["openai"]
REDACTOR = Redactor(Secret(KEY))
ROWS: dict[str, Callable[[int], Work]] = {}
FACTS = Facts(model="gpt-5", asked="a/gpt-5", id="01J", now_s=1)


def row(name: str) -> Callable[[Callable[[int], Work]], Callable[[int], Work]]:
    def add(make: Callable[[int], Work]) -> Callable[[int], Work]:
        assert name not in ROWS
        ROWS[name] = make
        return make

    return add


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- redaction, without its bound of 16 KB

HOSTILE = {
    "tokens": "-eyJ0123456789",
    "stars": "a" * 30 + "****",
    "stars apart": "*** ",
    "beginnings of shapes": "sk-proj sk- gsk_ab -sk-",
    "bearers": "bearer      ",
    "backslashes": "\\",
    "escapes": "\\u0061",
    "escapes of escapes": "\\u005cu0061",
    "percents": "%25",
    "percents of a letter": "%2561",
    "ampersands": "&amp;",
    "zeros": "&#0000",
    "pieces of the key": KEY[20:27] + "z",
    "parts of the key": KEY[20:33],
    "the key": KEY,
    "the beginning of the key": KEY[:16] + "*",
    "its base64": "c2stcHJvai0",
    "letters": "abcdefghijkl",
    "bullets": "•",
}


def of_text(piece: str, work: Callable[[bytes], object]) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        data = (piece * (n // len(piece) + 1)).encode()
        return lambda: work(data)

    return make


for _name, _piece in HOSTILE.items():
    ROWS[f"redact, {_name}"] = of_text(_piece, lambda data: REDACTOR._masked(data) if REDACTOR._holds(data) else data)
    ROWS[f"redact an answer, {_name}"] = of_text(_piece, REDACTOR.content)


@row("redact with a key of one letter")
def _(n: int) -> Work:
    redactor, data = Redactor(Secret("a" * 40)), b"aaaaaaaaaaab" * (n // 12)
    return lambda: redactor._masked(data)


@row("errors of a stream, in pieces of the key")
def _(n: int) -> Work:
    carried_on = Carried(REDACTOR)
    return lambda: [carried_on.text(KEY[at % 150 : at % 150 + 5]) for at in range(n // 16)]


# -- bytes from the network


@row("events in pieces of one byte")
def _(n: int) -> Work:
    splitter = Splitter()
    return lambda: [splitter.feed(b"x") for _ in range(n)]


@row("events in pieces of one byte, each ended")
def _(n: int) -> Work:
    splitter, stream = Splitter(), b"data: x\n\n" * (n // 9)
    return lambda: [splitter.feed(stream[at : at + 1]) for at in range(len(stream))]


@row("many events at once")
def _(n: int) -> Work:
    return lambda: [fields(event) for event in events(b"data: x\n\n" * n)]


@row("one event of many lines")
def _(n: int) -> Work:
    return lambda: fields(b"data: x\n" * n)


@row("an HTTP reply in chunks of one byte")
def _(n: int) -> Work:
    reader = ReplyReader(Limits())
    reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    data = b"1\r\nx\r\n" * n
    return lambda: [reader.feed(data[at : at + 65_536]) for at in range(0, len(data), 65_536)]


@row("an HTTP reply, a byte at a time")
def _(n: int) -> Work:
    reader = ReplyReader(Limits())
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")
    return lambda: [reader.feed(b"x") for _ in range(n)]


class Wire:
    """A connection that has nothing more to give."""

    def __init__(self) -> None:
        self.host, self.limits, self.paused, self.tls, self.uses = "host", Limits(), False, "", 1
        self.opened: Opened = None  # type: ignore[assignment]

    def drop(self) -> None: ...
    def resume(self) -> None: ...


def whole_reply(pieces: list[bytes], encoding: bytes = b"") -> Work:
    async def read() -> bytes:
        reply = Reply(Wire(), asyncio.get_running_loop(), Timeouts(), 0)
        reply.begin(200, [(b"content-encoding", encoding)] if encoding else [])
        reply.put(pieces, sum(map(len, pieces)))
        reply.end()
        return await reply.read(1 << 30)

    return lambda: asyncio.run(read())


@row("a body of many pieces")
def _(n: int) -> Work:
    return whole_reply([b"x"] * n)


@row("a packed body of many pieces")
def _(n: int) -> Work:
    packed = gzip.compress(bytes(range(256)) * (n // 256 + 1), 0)
    return whole_reply([packed[at : at + 1] for at in range(len(packed))], b"gzip")


@row("packed members, each of one byte")
def _(n: int) -> Work:
    packed = gzip.compress(b"x") * (n // 16)
    return whole_reply([packed], b"gzip")


@row("a packed body, put in piece by piece")
def _(n: int) -> Work:
    unpacker, packed = Unpacker(b"gzip"), gzip.compress(bytes(range(256)) * (n // 256 + 1), 0)
    return lambda: [(unpacker.put(packed[at : at + 7]), unpacker.take()) for at in range(0, len(packed), 7)]


# -- what a provider says

_TEXT = "word and word " * 4
_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": _TEXT})}}
_LOGPROB = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}

# A reply of n parts by dialect: of text, thoughts, calls and log probabilities.
REPLIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "openai": lambda n: {
        "id": "x",
        "choices": [
            {
                "message": {
                    "content": [{"type": "text", "text": _TEXT}] * n,
                    "tool_calls": [_CALL] * n,
                    "thinking_blocks": [{"thinking": _TEXT}] * n,
                },
                "finish_reason": "stop",
                "logprobs": {"content": [_LOGPROB] * n},
            }
        ],
    },
    "responses": lambda n: {
        "id": "x",
        "status": "completed",
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": _TEXT, "logprobs": [_LOGPROB] * 3}] * n},
            *([{"type": "reasoning", "id": "r", "summary": [{"text": _TEXT}]}] * n),
            *([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}] * n),
            {"type": "reasoning", "id": "r", "summary": [{"text": _TEXT}] * n},
        ],
    },
    "anthropic": lambda n: {
        "id": "x",
        "content": [
            {"type": "text", "text": _TEXT},
            {"type": "thinking", "thinking": _TEXT},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ]
        * n,
        "stop_reason": "end_turn",
    },
    "gemini": lambda n: {
        "candidates": [
            {
                "content": {
                    "parts": [
                        *([{"text": _TEXT}] * n),
                        *([{"text": _TEXT, "thought": True}] * n),
                        *([{"functionCall": {"name": "f", "args": {}}}] * n),
                        *([{"text": _TEXT, "thought": True, "thoughtSignature": "s"}] * n),
                    ]
                },
                "finishReason": "STOP",
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1}] * n},
            }
        ]
    },
}  # fmt: skip


def _reading(dialect: str) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        reply = REPLIES[dialect](n)
        return lambda: DIALOGUES[dialect].read_answer(reply, "s")  # type: ignore[index]

    return make


def _hearing(dialect: str) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        body = dumped(REPLIES[dialect](n))
        provider = DIALECTS[dialect]  # type: ignore[index]

        def work() -> object:
            provider.notable(body)
            provider.words.findall(body)
            return provider.hear_reply("x", body)

        return work

    return make


def _writing(client: str, provider: str) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        answer = DIALOGUES[provider].read_answer(REPLIES[provider](n), "s")  # type: ignore[index]
        return lambda: DIALOGUES[client].write_answer(answer, Call(origin=client, model="m"), FACTS)  # type: ignore[index]

    return make


for _dialect in DIALOGUES:
    ROWS[f"hear a reply, {_dialect}"] = _hearing(_dialect)
    ROWS[f"read a reply, {_dialect}"] = _reading(_dialect)
    for _other in DIALOGUES:
        ROWS[f"write a reply, {_other} to {_dialect}"] = _writing(_dialect, _other)


def _deltas(n: int) -> Iterator[Delta]:
    yield Start("i", "m")
    for _ in range(n):
        yield Said(_TEXT)
    for _ in range(n):
        yield Thought(_TEXT)
    yield Thought("", "seal", origin="anthropic")
    for number in range(n // 4):
        yield CallStart(f"c{number}", "f")
        yield CallPiece("{}")
        yield CallEnd()
    yield CallStart("last", "f")
    yield CallPiece('{"a":"')
    for _ in range(n):
        yield CallPiece(_TEXT)
    yield CallPiece('"}')
    yield CallEnd()
    yield Finish("stop")


def _streaming_out(dialect: str) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        writer = DIALOGUES[dialect].writer(Call(origin=dialect, model="m", stream=True), FACTS)  # type: ignore[index]

        def work() -> bytes:
            return b"".join([*(writer.write([delta], Usage()) for delta in _deltas(n)), writer.end(Usage())])

        return work

    return make


def _streaming_in(client: str, provider: str) -> Callable[[int], Work]:
    """What one dialect's writer writes, read by its own reader and written in the other."""

    def make(n: int) -> Work:
        source = DIALOGUES[provider].writer(Call(origin=provider, model="m", stream=True), FACTS)  # type: ignore[index]
        stream = b"".join([source.write([delta], Usage()) for delta in _deltas(n)]) + source.end(Usage())
        reader = DIALOGUES[provider].reader("s")  # type: ignore[index]
        writer = DIALOGUES[client].writer(Call(origin=client, model="m", stream=True), FACTS)  # type: ignore[index]
        splitter = Splitter()

        def work() -> object:
            for at in range(0, len(stream), 1500):
                for event in events(splitter.feed(stream[at : at + 1500])):
                    name, data = fields(event)
                    if data:
                        writer.write(reader.event(name, data), Usage())
            return writer.write(reader.close(), Usage())

        return work

    return make


for _dialect in DIALOGUES:
    ROWS[f"write a stream, {_dialect}"] = _streaming_out(_dialect)
    for _other in DIALOGUES:
        ROWS[f"relay a stream, {_other} to {_dialect}"] = _streaming_in(_dialect, _other)


def _chunk(*calls: dict[str, Any]) -> bytes:
    return dumped({"choices": [{"index": 0, "delta": {"tool_calls": list(calls)}}]})


@row("pieces of one call between those of another")
def _(n: int) -> Work:
    reader = DIALOGUES["openai"].reader("s")
    reader.event("", _chunk({"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a":"'}}))
    first = _chunk({"index": 0, "function": {"arguments": _TEXT * 20}})
    second = _chunk({"index": 1, "id": "b", "function": {"name": "g", "arguments": "x"}})
    return lambda: [(reader.event("", first), reader.event("", second)) for _ in range(n // 4)]


@row("many calls that wait for their names")
def _(n: int) -> Work:
    reader = DIALOGUES["openai"].reader("s")
    chunks = [_chunk({"index": at, "function": {"arguments": "{}"}}) for at in range(n // 4)]
    return lambda: [*(reader.event("", chunk) for chunk in chunks), reader.close()]


@row("a stream that is kept")
def _(n: int) -> Work:
    keeping = Keeping.__new__(Keeping)
    keeping._wanted, keeping._id, keeping._relayed, keeping._answer = True, b"", False, b""
    return lambda: [keeping.hear(b'event: response.x\ndata: {"id" : "re"}\n\n') for _ in range(n)]


@row("a list of models")
def _(n: int) -> Work:
    body = dumped({"data": [{"id": f"model-{at}"} for at in range(n)]})
    return lambda: [REDACTOR.name(name) for name in replies.model_names(body)]


@row("an error's message")
def _(n: int) -> Work:
    body = dumped({"error": {"message": "x" * n, "details": [{"a": _TEXT}] * (n // 50)}})
    return lambda: replies.message(replies.decoded(body))


# -- what a client says


def _schema(n: int) -> dict[str, Any]:
    inner = {"type": "string", "description": "d", "pattern": "^a$", "enum": ["a", "b"]}
    return {"type": "object", "properties": {f"p{at}": inner for at in range(n)}, "required": [f"p{at}" for at in range(n)]}


_SEAL = "Z2gxLmFudGhyb3BpYy50LnM="  # of another dialect's thought: its pieces are joined

# Requests of n messages, parts, calls, results and tools, by dialect and kind.
REQUESTS: dict[str, dict[str, Callable[[int], dict[str, Any]]]] = {
    "openai": {
        "turns": lambda n: {"messages": [{"role": "user", "content": _TEXT}, {"role": "assistant", "content": _TEXT}] * n},
        "parts": lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": _TEXT}] * n}]},
        "calls and results": lambda n: {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [{**_CALL, "id": f"c{at}"} for at in range(n)]},
                *({"role": "tool", "tool_call_id": f"c{at}", "content": _TEXT} for at in range(n)),
            ]
        },
        "tools": lambda n: {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": f"f{at}", "parameters": _schema(3)}} for at in range(n)],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": f"f{at}"}} for at in range(n)]},
            },
        },
        "a schema": lambda n: {
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _schema(n)}},
        },
        "unknown members": lambda n: {"messages": [{"role": "user", "content": "x", **{f"m{at}": 1 for at in range(n)}}]},
    },
    "responses": {
        "calls and results": lambda n: {
            "input": [
                {"role": "user", "content": "x"},
                *({"type": "function_call", "call_id": f"c{at}", "name": "f", "arguments": "{}"} for at in range(n)),
                *({"type": "function_call_output", "call_id": f"c{at}", "output": _TEXT} for at in range(n)),
            ]
        },
        "thoughts": lambda n: {
            "input": [
                {"role": "user", "content": "x"},
                *([{"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": _TEXT}]}] * n),
            ]
        },
        "hosted tools that are allowed": lambda n: {
            "input": "x",
            "tools": [{"type": "function", "name": "f"}, *({"type": f"hosted_{at}"} for at in range(n))],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, *({"type": f"hosted_{at}"} for at in range(n))],
            },
        },
    },
    "anthropic": {
        "turns": lambda n: {"messages": [{"role": "user", "content": _TEXT}, {"role": "assistant", "content": _TEXT}] * n},
        "one role": lambda n: {"messages": [{"role": "user", "content": _TEXT}] * n},
        "calls and results": lambda n: {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{at}", "name": "f", "input": {}} for at in range(n)]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{at}", "content": _TEXT} for at in range(n)]},
            ]
        },
        "tools": lambda n: {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"name": f"f{at}", "input_schema": _schema(3)} for at in range(n)],
        },
    },
    "gemini": {
        "thoughts in pieces": lambda n: {
            "contents": [
                {"role": "user", "parts": [{"text": "x"}]},
                {
                    "role": "model",
                    "parts": [*([{"text": _TEXT, "thought": True}] * n), {"text": "", "thought": True, "thoughtSignature": _SEAL}],
                },
            ]
        },
        "calls without ids, answered backwards": lambda n: {
            "contents": [
                {"role": "user", "parts": [{"text": "x"}]},
                {"role": "model", "parts": [{"functionCall": {"name": f"f{at}", "args": {}}} for at in range(n)]},
                {"role": "user", "parts": [{"functionResponse": {"name": f"f{at}", "response": {"a": 1}}} for at in reversed(range(n))]},
            ]
        },
        "calls of one name": lambda n: {
            "contents": [
                {"role": "user", "parts": [{"text": "x"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}] * n},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}] * n},
            ]
        },
        "names in snake case": lambda n: {"contents": [{"role": "user", "parts": [{"text": "x", **{f"a_b_{at}": 1 for at in range(n)}}]}]},
        "a schema": lambda n: {
            "contents": [{"role": "user", "parts": [{"text": "x"}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseSchema": _schema(n)},
        },
    },
}  # fmt: skip


def _asking(client: str, kind: str, provider: str) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        asked = REQUESTS[client][kind](n)
        asked = json.loads(dumped(asked)) if client == "gemini" else {"model": "m", **json.loads(dumped(asked))}

        def work() -> object:
            call = DIALOGUES[client].read_call(asked)  # type: ignore[index]
            losses = Losses(client)
            try:
                prepare(call, provider, 64, losses, custom=False)
                DIALOGUES[provider].write_call(call, FACTS, losses)  # type: ignore[index]
            except AppError as error:
                assert error.code in ("not_expressible", "body_invalid"), error
            return losses.names

        return work

    return make


for _client, _kinds in REQUESTS.items():
    for _kind in _kinds:
        for _provider in DIALOGUES:
            ROWS[f"ask, {_client} to {_provider}, {_kind}"] = _asking(_client, _kind, _provider)


@row("members below the top")
def _(n: int) -> Work:
    body = dumped({"model": "m", "messages": [], "extra": {f"m{at}": at for at in range(n)}})

    def work() -> object:
        call = understand(body, "chat/completions")
        return rewrite(body, call.members, {"model": b'"x"'})

    return work


@row("who is asking, among many members")
def _(n: int) -> Work:
    body = dumped(
        {
            "model": "m",
            "user": "u",
            "metadata": {"user_id": "u", **{f"k{at}": 1 for at in range(n)}},
            "client_metadata": {f"m{at}": "x" for at in range(n)},
        }
    )
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    pseudonyms = Pseudonyms(b"k" * 32)
    return lambda: [hide(body, members, choice, pseudonyms, "c") for choice in ("pseudonym", "remove")]  # type: ignore[arg-type]


@row("the size of a request's text")
def _(n: int) -> Work:
    body = b'"data:' * (n // 6) + b'"' + b"A" * n
    return lambda: text_bytes(body)


@row("marks in a request")
def _(n: int) -> Work:
    body = b'"thinking" "signature"    : "x"' * (n // 30)
    return lambda: carried(body)


@row("arguments of a call")
def _(n: int) -> Work:
    text = '{"a":[' + "1," * n + "1]}"
    return lambda: shape.arguments(text)


@pytest.mark.parametrize("name", ROWS)
def test_the_work_grows_with_the_input_alone(name: str) -> None:
    ratio = growth(ROWS[name], most=1 << 14)
    assert ratio < LIMIT, f"four times as much takes {ratio:.1f} times as long"


def test_square_work_would_be_seen() -> None:
    """Texts that are added to a text, which copies all of it each time."""

    class Part:
        text = ""

    def make(n: int) -> Work:
        part = Part()

        def work() -> None:
            for _ in range(n):
                part.text += _TEXT

        return work

    assert growth(make, 4096) > LIMIT
