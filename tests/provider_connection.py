"""One connection of the local upstream: what is asked, which answer that gets, and how it goes out.

A reply that is neither slow nor wrong is one cached write, so that the benchmark measures the gateway and not this.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from tests import provider_replies as replies
from tests.misbehaviour import chunked, framing, head, play, whole
from tests.provider_replies import Answer

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(slots=True, eq=False)
class Request:
    """One request as it came. Times are time.monotonic(). connection counts from 1 in the order of arrival.

    answered_at: the last byte of the reply was handed to the system. gone_at: the other side left before that.
    """

    number: int
    connection: int
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    at: float
    answered_at: float | None = None
    gone_at: float | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    def header(self, name: str) -> str | None:
        """The value of the header of that name, or None. AssertionError if it was sent twice."""
        found = [value.decode("latin-1") for key, value in self.headers if key.decode("latin-1").lower() == name]
        assert len(found) < 2, f"{name} was sent {len(found)} times"
        return found[0] if found else None

    @property
    def header_names(self) -> list[str]:
        return [name.decode("latin-1").lower() for name, _ in self.headers]


class _Options(msgspec.Struct):
    include_usage: bool = False


class _Ask(msgspec.Struct):
    """What decides about a built-in reply."""

    model: str = ""
    stream: bool | None = False
    stream_options: _Options | None = None
    input: msgspec.Raw = msgspec.Raw(b"null")
    encoding_format: str = "float"


_ask = msgspec.json.Decoder(_Ask)


@dataclass(slots=True)
class Scripted:
    fault: str
    times: int | None


@dataclass(slots=True)
class State:
    """Shared by all connections of one server; belongs to its loop, but for `requests`, which other threads read."""

    key: str | None
    record: bool
    models: tuple[str, ...]
    requests: list[Request] = field(default_factory=list)
    scripted: dict[str, Scripted] = field(default_factory=dict)
    connections: set[Serving] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    troubles: list[BaseException] = field(default_factory=list)
    opened: int = 0
    served: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def script_for(self, name: str) -> str | None:
        scripted = self.scripted.get(name)
        if scripted is None:
            return None
        if scripted.times is not None:
            scripted.times -= 1
            if scripted.times <= 0:
                del self.scripted[name]
        return scripted.fault


class Serving(asyncio.Protocol):
    """One connection: reads requests one after another and answers in order."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.number = 0
        self.dialect = "openai"
        self.key_given = ""
        self.doomed = ""
        self.gone = asyncio.Event()
        self.transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._waiting: list[tuple[Request, _Ask | None]] = []
        self._current: Request | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    # Wire

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drained(self) -> None:
        await self._can_write.wait()

    def fin(self) -> None:
        self._ended = True
        self.transport.close()

    def reset(self) -> None:
        self._ended = True
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.state.opened += 1
        self.number = self.state.opened
        self.state.connections.add(self)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not isinstance(error, httptools.HttpParserCallbackError):
                self.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            elif error.__context__ is not None:
                self.state.troubles.append(error.__context__)
            self.fin()

    def eof_received(self) -> bool | None:
        self._left()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        self._can_write.set()
        self.state.connections.discard(self)
        self.state.notify()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def _left(self) -> None:
        if self.gone.is_set():
            return
        self.gone.set()
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        for request in (self._current, *(request for request, _ in self._waiting)):
            if request is not None and request.answered_at is None and not self._ended:
                request.gone_at = now
        self.state.notify()

    # httptools

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        path = self._target.partition(b"?")[0].decode("latin-1")
        scripted = self.state.scripted.get(path)
        if scripted is not None and scripted.fault.partition("?")[0] == "early":
            self._asked(_Ask())

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._ended:
            return
        self._asked(None)

    def _asked(self, ask: _Ask | None) -> None:
        state = self.state
        state.served += 1
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(
            number=state.served,
            connection=self.number,
            method=self._parser.get_method().decode(),
            target=self._target.decode("latin-1"),
            headers=tuple(self._headers),
            body=body,
            at=time.monotonic(),
        )
        self._target, self._headers, self._body = b"", [], []
        if state.record:
            state.requests.append(request)
            state.notify()
        self._waiting.append((request, ask))
        if self._current is None:
            self._next()

    # answering

    def _next(self) -> None:
        while self._current is None and self._waiting and not self._ended:
            request, ask = self._waiting.pop(0)
            self._current = request
            self._answer(request, ask)

    def _done(self) -> None:
        request, self._current = self._current, None
        if request is not None and request.gone_at is None:
            request.answered_at = time.monotonic()
            if self.state.record:
                self.state.notify()
        if self._waiting:
            self._next()

    def _answer(self, request: Request, ask: _Ask | None) -> None:
        path = request.path
        self.dialect = "anthropic" if path.startswith("/v1/messages") else "openai"
        if path.startswith("/v1/models") and any(name.lower() == b"anthropic-version" for name, _ in request.headers):
            self.dialect = "anthropic"
        if ask is None:
            try:
                ask = _ask.decode(request.body) if request.body else _Ask()
            except msgspec.DecodeError:
                self._whole(replies.error(self.dialect, 400, "We could not parse the JSON body of your request."))
                return
        if self.doomed:
            fault = self.doomed
        else:
            fault = self.state.script_for(path) or self.state.script_for(ask.model) or ""
            if not fault and ask.model.startswith("fault/"):
                fault = ask.model[6:]
        self.key_given = _key(request, self.dialect)
        if self.state.key is not None and self.key_given != self.state.key and not fault:
            message = "invalid x-api-key" if self.dialect == "anthropic" else f"Incorrect API key provided: {_masked(self.key_given)}."
            self._whole(replies.error(self.dialect, 401, message))
            return
        answer = recording(self.dialect, ask.model[10:]) if ask.model.startswith("recording/") else self._built_in(request, ask)
        if fault:
            self._spawn(self._play(fault, answer))
        elif answer.every_s:
            self._slowly(answer)
        else:
            self._whole(answer)

    def _built_in(self, request: Request, ask: _Ask) -> Answer:
        path, state = request.path, self.state
        path = path.removeprefix("/v1")
        if request.method == "POST":
            model = ask.model
            usage = ask.stream_options is not None and ask.stream_options.include_usage
            if path == "/chat/completions":
                return replies.chat_stream(model, usage) if ask.stream else replies.chat(model)
            if path == "/messages":
                return replies.message_stream(model) if ask.stream else replies.message(model)
            if path == "/completions":
                return replies.completion_stream(model, usage) if ask.stream else replies.completion(model)
            if path == "/embeddings":
                given = msgspec.json.decode(ask.input)
                several = isinstance(given, list) and given and not isinstance(given[0], int)
                return replies.embeddings(model, len(given) if several else 1, ask.encoding_format == "base64")
            if path == "/messages/count_tokens":
                return replies.count_tokens(model)
        elif request.method == "GET" and path == "/models":
            return replies.anthropic_models(state.models) if self.dialect == "anthropic" else replies.openai_models(state.models)
        elif request.method == "GET" and path.startswith("/models/"):
            name = unquote(path[8:])
            if name in state.models:
                return replies.anthropic_model(name) if self.dialect == "anthropic" else replies.openai_model(name)
            return replies.error(self.dialect, 404, f"The model '{name}' does not exist")
        return replies.error(self.dialect, 404, f"Unknown request URL: {request.method} {request.target}.")

    def _whole(self, answer: Answer) -> None:
        self.write(_wire_bytes(answer))
        self._done()

    def _slowly(self, answer: Answer) -> None:
        """One piece after each pause, by timer: thousands of streams at once need no task."""
        loop = asyncio.get_running_loop()
        if not answer.stream:
            self._timer = loop.call_later(answer.every_s, self._whole, answer)
            return
        self.write(head(answer, framing(answer)))
        frames = _frames(answer)
        index = 0

        def tick() -> None:
            nonlocal index
            if self.gone.is_set():
                return
            self.write(frames[index])
            index += 1
            if index == len(frames):
                self._done()
            else:
                self._timer = loop.call_later(answer.every_s, tick)

        self._timer = loop.call_later(answer.every_s, tick)

    async def _play(self, fault: str, answer: Answer) -> None:
        name, _, query = fault.partition("?")
        self.doomed = ""
        await play(name, self, answer, dict(parse_qsl(query, keep_blank_values=True)))
        await self._can_write.wait()
        self._done()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.state.tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self.state.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.state.troubles.append(error)
            self.reset()


def _key(request: Request, dialect: str) -> str:
    given = ""
    for name, value in request.headers:
        lower = name.lower()
        if lower == b"authorization":
            given = given or value.decode("latin-1").removeprefix("Bearer ")
        elif lower == b"x-api-key" and dialect == "anthropic":
            given = value.decode("latin-1")
    return given


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "***"


@lru_cache(maxsize=256)
def _wire_bytes(answer: Answer) -> bytes:
    return whole(answer)


@lru_cache(maxsize=256)
def _frames(answer: Answer) -> tuple[bytes, ...]:
    """The body of a stream, one frame per event; the end rides on the last."""
    frames = [chunked(piece) for piece in answer.pieces]
    frames[-1] += b"0\r\n\r\n"
    return tuple(frames)


@lru_cache(maxsize=256)
def recording(dialect: str, case: str) -> Answer:
    """What was recorded as `tests/recordings/DIALECT/CASE/`: `stream.txt`, event by event, or `reply.json`; status from `expected.json`."""
    folder = RECORDINGS / dialect / case
    if folder.parent != RECORDINGS / dialect or not (folder / "expected.json").is_file():
        return replies.error(dialect, 404, f"There is no recording {dialect}/{case}.")
    status = int(json.loads((folder / "expected.json").read_bytes()).get("status", 200))
    headers = replies.ANTHROPIC_HEADERS if dialect == "anthropic" else replies.OPENAI_HEADERS
    stream = folder / "stream.txt"
    if stream.is_file():
        events = re.findall(rb"(?s).+?(?:\r?\n\r?\n|\Z)", stream.read_bytes())
        return Answer(status, replies.SSE_TYPE, headers, tuple(events), stream=True)
    return Answer(status, replies.JSON_TYPE, headers, ((folder / "reply.json").read_bytes(),))
