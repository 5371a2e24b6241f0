"""One connection of the local upstream: what is asked, which answer that gets, and how it goes out.

A reply that is neither slow nor wrong is one cached write, so that the benchmark measures the gateway and not this.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from tests import provider_replies as replies
from tests.misbehaviour import chunked, framing, head, play, whole
from tests.provider_replies import Answer
from tests.provider_spots import GENERATING, RECORDINGS, Request, Spot, key_of, plain, recording, spot, stranger

__all__ = ["RECORDINGS", "Request", "Scripted", "Serving", "State"]


class _Options(msgspec.Struct):
    include_usage: bool = False


class _Ask(msgspec.Struct):
    """What decides about a built-in reply. model: in the body, or in the path where a dialect has it there."""

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
    """Shared by all connections of one server; belongs to its loop, but for `requests` and `refused`, which other threads read.

    strict: requests are judged as the real provider would. refused: what was refused so, and why. stored: Responses by id.
    """

    key: str | None
    record: bool
    models: tuple[str, ...]
    strict: bool = False
    refused: list[tuple[Request, str]] = field(default_factory=list)
    stored: dict[str, tuple[bytes, object]] = field(default_factory=dict)
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
        names = [name.lower() for name, _ in request.headers]
        here = spot(request.path, b"anthropic-version" in names, b"x-goog-api-key" in names)
        self.dialect = here.dialect
        if ask is None:
            try:
                ask = _ask.decode(request.body) if request.body else _Ask()
            except msgspec.DecodeError:
                self._whole(replies.error(self.dialect, 400, "We could not parse the JSON body of your request."))
                return
        if here.model:
            ask.model = here.model
        if here.dialect == "gemini":
            ask.stream = here.endpoint == "streamGenerateContent"
        if self.doomed:
            fault = self.doomed
        else:
            fault = self.state.script_for(request.path) or self.state.script_for(ask.model) or ""
            if not fault and ask.model.startswith("fault/"):
                fault = ask.model[6:]
        self.key_given = key_of(request, here)
        if self.state.key is not None and self.key_given != self.state.key and not fault:
            self._whole(stranger(here.dialect, self.key_given))
            return
        if ask.model.startswith("recording/"):
            answer = recording(self.dialect, ask.model[10:])
        else:
            answer = self._judged(request, ask, here, bool(fault)) or self._built_in(request, ask, here)
        if fault and (answer.status < 300 or not self.state.strict):
            self._spawn(self._play(fault, answer))
        elif answer.every_s:
            self._slowly(answer)
        else:
            self._whole(answer)

    def _judged(self, request: Request, ask: _Ask, here: Spot, goes_wrong: bool) -> Answer | None:
        """The error that the real provider would send, or the answer that depends on what was asked; None where `_built_in` answers."""
        state = self.state
        generates = request.method == "POST" and here.endpoint in GENERATING
        known = here.dialect in ("responses", "gemini") and not goes_wrong
        if here.azure and "/deployments/" in request.path and "api-version=" not in request.target:
            return replies.error("openai", 404, "Resource not found")
        if not generates or not (state.strict or known or replies.options(ask.model).say):
            return None
        from tests import scripted_replies, strict

        body = json.loads(request.body or b"{}")
        if not isinstance(body, dict):
            return replies.error(here.dialect, 400, "The body must be a JSON object.")
        refusal = None
        if state.strict or known:
            if here.dialect == "gemini" and "key=" in request.target.partition("?")[2]:
                refusal = strict.Refusal("The key must not be a part of the URL.")
            elif ask.stream and here.dialect == "gemini" and "alt=sse" not in request.target:
                refusal = strict.Refusal("This upstream streams with alt=sse only.")
            else:
                judged = {"model": ask.model, **body} if here.azure else body
                version = request.header("anthropic-version") or ""
                refusal = strict.judge(here.dialect, judged, ask.model, version, counts=here.endpoint == "/messages/count_tokens")
        previous = body.get("previous_response_id") if here.dialect == "responses" else None
        if refusal is None and previous is not None and previous not in state.stored:
            words = f"Previous response with id '{previous}' not found."
            refusal = strict.Refusal(words, "previous_response_id", "previous_response_not_found")
        if refusal is not None:
            state.refused.append((request, refusal.message))
            return replies.error(here.dialect, refusal.status, refusal.message, param=refusal.param, code=refusal.code)
        if here.endpoint in ("/messages/count_tokens", "countTokens", "/responses/input_tokens"):
            return None
        said = scripted_replies.script(replies.options(ask.model), strict.understand(here.dialect, body))
        if here.dialect == "responses" and body.get("store") is not False:
            whole = scripted_replies.answer("responses", said, stream=False)
            state.stored[json.loads(whole.body)["id"]] = (whole.body, body["input"])
        usage = ask.stream_options is not None and ask.stream_options.include_usage
        return scripted_replies.answer(here.dialect, said, stream=bool(ask.stream), include_usage=usage)

    def _built_in(self, request: Request, ask: _Ask, here: Spot) -> Answer:
        path, model = here.endpoint, ask.model
        if here.dialect == "responses" and path != "/responses":
            return self._stored(request, path, model)
        if request.method == "POST":
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
            if path == "countTokens":
                return replies.gemini_count(model)
            if path in GENERATING:  # goes wrong, so nobody judged the body
                return plain(here.dialect, model, bool(ask.stream))
        elif request.method == "GET" and path.startswith("/models"):
            return self._models(path)
        return replies.error(self.dialect, 404, f"Unknown request URL: {request.method} {request.target}.")

    def _models(self, path: str) -> Answer:
        models = replies.GEMINI_MODELS if self.dialect == "gemini" else self.state.models
        if path == "/models":
            lists = {"anthropic": replies.anthropic_models, "gemini": replies.gemini_models}
            return lists.get(self.dialect, replies.openai_models)(models)
        name = unquote(path.removeprefix("/models/"))
        if name not in models:
            return replies.error(self.dialect, 404, f"The model '{name}' does not exist")
        one = {"anthropic": replies.anthropic_model, "gemini": replies.gemini_model}
        return one.get(self.dialect, replies.openai_model)(name)

    def _stored(self, request: Request, path: str, model: str) -> Answer:
        """`responses/ID`, with `cancel` and `input_items`, and `responses/input_tokens`."""
        if path == "/responses/input_tokens":
            return replies.input_tokens(model)
        name, _, part = path.removeprefix("/responses/").partition("/")
        kept = self.state.stored.get(name)
        if kept is None:
            return replies.error("openai", 404, f"Response with id '{name}' not found.")
        body: object
        if part == "cancel":
            return replies.error("openai", 400, "Cannot cancel a synchronous response.")
        if part == "input_items":
            items = [{"type": "message", "role": "user", "content": kept[1], "id": "msg_0"}] if isinstance(kept[1], str) else kept[1]
            body = {"object": "list", "data": items, "first_id": None, "last_id": None, "has_more": False}
        elif request.method == "DELETE":
            del self.state.stored[name]
            body = {"id": name, "object": "response", "deleted": True}
        else:
            body = json.loads(kept[0])
        return Answer(200, replies.JSON_TYPE, replies.OPENAI_HEADERS, (replies.dumps(body),))

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


@lru_cache(maxsize=256)
def _wire_bytes(answer: Answer) -> bytes:
    return whole(answer)


@lru_cache(maxsize=256)
def _frames(answer: Answer) -> tuple[bytes, ...]:
    """The body of a stream, one frame per event; the end rides on the last."""
    frames = [chunked(piece) for piece in answer.pieces]
    frames[-1] += b"0\r\n\r\n"
    return tuple(frames)
