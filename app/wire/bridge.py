"""The passage of one exchange. `Relay`: client and provider speak the same dialect, bytes stay untouched, usage is overheard.
`Bridge`: they speak two, and everything is read into the neutral exchange (`chat`) and written from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from app.core.errors import AppError
from app.core.records import Tokens
from app.wire import replies, shape
from app.wire.body import LARGE, Understood, rewrite
from app.wire.carry import carried
from app.wire.chat import Delta, Facts, Losses
from app.wire.dialect import NOTHING, Dialect, Heard
from app.wire.dialogues import DIALOGUES
from app.wire.prepare import Restorer, prepare, restore
from app.wire.redact import ESCAPED, LONGEST, SHAPES_ALONE, Carried, Redactor
from app.wire.sse import Splitter, events, fields
from app.wire.usage import Usage

_NONE: Final = Usage()
encode: Final = msgspec.json.encode
_BYTES_A_TOKEN: Final = 4
_BLOB: Final = re.compile(rb'"(?:data:[^",]{0,100},)?[A-Za-z0-9+/=_\\-]{1024,}+"')


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the client gets for a provider's error, and what the ledger notes."""

    status: int
    body: bytes
    error: AppError


def refused(dialect: Dialect, redactor: Redactor, status: int, body: bytes, call_id: str, *, retry_after_s: float | None = None) -> Refusal:
    """An answer that is not 2xx, for a client of the provider's own dialect: without keys, as the provider put it where that is JSON of
    ordinary size, else in our words."""
    error = _error_said(redactor, status, body, retry_after_s)
    clean = redactor.body(body) if isinstance(replies.decoded(body), dict | list) else None
    return Refusal(status, dialect.error_body(error, call_id) if clean is None else clean, error)


def _error_said(redactor: Redactor, status: int, body: bytes, retry_after_s: float | None) -> AppError:
    message = redactor.text(replies.message(replies.decoded(body))) or f"The provider answered with status {status}."
    if len(body) > LONGEST:
        message = f"{message} (Only this is shown of its answer of {len(body):,} bytes.)"
    return AppError("provider_error", message, status=status, retry_after_s=retry_after_s)


class _Passage:
    """What both kinds know of an exchange: what was used so far, and what went wrong.

    usage, tokens: used so far. Where the provider did not say, an estimate, marked so: four bytes of text make a token, and each
    piece of text that came is at least one. Nothing is estimated before something came.
    """

    __slots__ = (
        "_carried", "_client", "_finished", "_long_text", "_needle", "_notable", "_pieces", "_provider", "_redactor", "_reported",
        "_said_bytes", "_settled", "_splitter", "_words", "complete", "endpoint", "error", "request_body", "started",
    )  # fmt: skip

    content_type = "text/event-stream; charset=utf-8"
    dropped: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]

    def __init__(self, client: Dialect, provider: Dialect, endpoint: str, request_body: bytes, redactor: Redactor) -> None:
        self.endpoint = endpoint
        self.request_body = request_body
        # Of a large request it is worked out at once, while that is done apart from everybody else.
        self._long_text = text_bytes(request_body) if len(request_body) > LARGE else None
        self.error: AppError | None = None
        self.complete = self.started = False
        self._client, self._provider = client, provider
        self._redactor, self._needle = redactor, redactor.needle
        self._carried = Carried(redactor)
        self._notable, self._words = provider.notable, provider.words.findall
        self._splitter = Splitter()
        self._reported = _NONE
        self._settled = self._finished = False
        self._said_bytes = self._pieces = 0

    def ping(self) -> bytes:
        """A keepalive in the client's dialect, for between two events."""
        return self._client.ping()

    @property
    def usage(self) -> Usage:
        reported = self._reported
        if not self.started or (self._settled and reported.input is not None and reported.output is not None):
            return reported
        said = 0 if self._settled else max(self._pieces, -(-self._said_bytes // _BYTES_A_TOKEN))
        asked = -(-self._asked_bytes() // _BYTES_A_TOKEN) if reported.input is None else None
        return reported.merged(Usage(input=asked, output=said, estimated=True))

    @property
    def waiting(self) -> int:
        """Bytes of an event that is not whole yet."""
        return self._splitter.waiting

    @property
    def tokens(self) -> Tokens:
        return self.usage.tokens()

    def _asked_bytes(self) -> int:
        return text_bytes(self.request_body) if self._long_text is None else self._long_text

    def _rest(self) -> bytes:
        """What never became a whole event."""
        rest = self._splitter.rest()
        _refuse_swollen(rest)
        return rest

    def _fail(self, error: AppError) -> AppError:
        self.error = AppError(error.code, self._carried.text(error.message), status=error.status)
        return self.error

    def _note(self, heard: Heard) -> None:
        self.started = True
        if heard.usage is not None:
            self._reported = heard.usage if self._reported is _NONE else self._reported.merged(heard.usage)
            self._settled = self._settled or not heard.opening
        self._finished = self._finished or heard.finished

    def _count(self, said: bytes) -> None:
        words = self._words(said)
        self._pieces += len(words)
        self._said_bytes += sum([len(word) for word in words])


class Relay(_Passage):
    """One attempt of one exchange in one dialect: make it with the model's name at the target, send `request_body` to `endpoint`, feed
    it what comes back. Bytes stay as they are but for the model, the wish for usage, and keys in errors."""

    __slots__ = ("_asked", "_call_id", "_strip_usage")

    dropped = ()
    headers = ()

    def __init__(
        self,
        dialect: Dialect,
        endpoint: str,
        body: bytes,
        call: Understood,
        model: str,
        *,
        ask_usage: bool = True,
        redactor: Redactor = SHAPES_ALONE,
        call_id: str = "",
    ) -> None:
        edits = dialect.edits(call, endpoint, model, ask_usage=ask_usage)
        super().__init__(dialect, dialect, dialect.path(endpoint, model), rewrite(body, call.members, edits.values), redactor)
        self._asked, self._call_id = endpoint, call_id
        self._strip_usage = edits.strip_usage

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes. AppError provider_broken when one event is too large."""
        block = self._splitter.feed(chunk)
        if not block:
            return block
        _refuse_swollen(block)
        if self._needle in block or ESCAPED in block:
            block = self._keyless(block)
        words = self._words(block)
        if words:
            self._pieces += len(words)
            self._said_bytes += sum([len(word) for word in words])
        if self._notable(block):
            return b"".join([self._event(event) for event in events(block)])
        if not self.started:
            self.started = b"data" in block
        return block

    def finish(self) -> bytes:
        """The provider ended the stream. A last event without its empty line counts if it is whole; half an event is dropped."""
        rest = self._keyless(self._rest())
        name, data = fields(rest)
        out = b""
        if not data:
            out = rest if rest.endswith((b"\n", b"\r")) else b""
        elif data.startswith(b"[DONE]") or replies.decoded(data) is not None:
            self._count(rest)
            out = self._heard(rest, name, data)
        # Some servers never send the last marker, but all say why the model stopped.
        if self._finished and self.error is None:
            self.complete = True
        if out and not self.complete:
            out += b"\n\n"  # an error event may follow
        return out

    def reply(self, body: bytes) -> bytes:
        """A whole 2xx reply, unchanged. AppError provider_not_json. `error` is set when it reports an error in spite of its status."""
        if self._asked != "embeddings":  # whose numbers are skipped over
            _refuse_swollen(body)
        heard = self._provider.hear_reply(self._asked, body)
        self._count(body)
        if heard.error is not None:
            error = self._fail(heard.error)
            clean = self._redactor.body(body)
            return self._client.error_body(error, self._call_id) if clean is None else clean
        self._noted(heard)
        body = self._redactor.content(body)
        if self._redactor.hides_in(body):
            body = self._redactor.rewritten_content(body) or body
        return body

    def refusal(self, status: int, body: bytes, call_id: str, *, retry_after_s: float | None = None) -> Refusal:
        """See `refused`."""
        refusal = refused(self._client, self._redactor, status, body, call_id, retry_after_s=retry_after_s)
        self.error = refusal.error
        return refusal

    def error_event(self, error: AppError, call_id: str) -> bytes:
        """An error inside the stream, with what ends it."""
        return self._client.error_event(error, call_id)

    def _event(self, event: bytes) -> bytes:
        name, data = fields(event)
        return self._heard(event, name, data) if data else event

    def _heard(self, event: bytes, name: str, data: bytes) -> bytes:
        """Note what an event said; what of it goes on to the client."""
        heard = self._provider.hear(name, data)
        if heard.error is not None:
            error = self._fail(heard.error)
            clean = None if self._carried.crossed else self._redactor.body(data)
            if clean is None:
                return self._client.error_event(error, self._call_id)
            return event if clean is data and self._redactor.raw(event) is event else _framed(self._redactor.text(name), clean)
        if name == "error" or (heard is NOTHING and b"error" in data and replies.decoded(data) is None):  # an error in other words
            clean = self._redactor.body(data)
            clean = self._redactor.raw(data) if clean is None else clean
            return event if clean is data and self._redactor.raw(event) is event else _framed(self._redactor.text(name), clean)
        self._noted(heard)
        return b"" if heard.bare_usage and self._strip_usage else event

    def _noted(self, heard: Heard) -> None:
        self._note(heard)
        self.complete = self.complete or heard.end

    def _keyless(self, block: bytes) -> bytes:
        """What the model says, without the key."""
        block = self._redactor.content(block)
        if not self._redactor.hides_in(block):
            return block
        return b"".join([self._keyless_event(event) for event in events(block)])

    def _keyless_event(self, event: bytes) -> bytes:
        name, data = fields(event)
        clean = self._redactor.rewritten_content(data) if self._redactor.hides_in(data) else None
        return event if clean is None else _framed(name, clean)


class Bridge(_Passage):
    """One attempt of one exchange between two dialects, with the same members. `reply` and `refusal` answer in the client's dialect.

    dropped: what the target cannot express, by the client's names. headers: what the provider must be told besides. AppError
    when made: body_invalid and its like, not_expressible.
    """

    __slots__ = ("_call", "_done", "_facts", "_names", "_reader", "_restorer", "_theirs", "_writer", "_yours", "dropped", "headers")

    def __init__(
        self,
        client: Dialect,
        provider: Dialect,
        endpoint: str,
        body: bytes,
        call: Understood,
        facts: Facts,
        *,
        redactor: Redactor = SHAPES_ALONE,
    ) -> None:
        self._yours, self._theirs = DIALOGUES[client.name], DIALOGUES[provider.name]
        if endpoint not in self._yours.endpoints:
            raise AppError(
                "not_expressible",
                f"{endpoint} cannot be translated for a provider that speaks the {provider.name} dialect.",
                f"Use a model whose provider speaks {client.name}.",
                param="model",
            )
        asked = self._yours.read_call(shape.body(body))
        asked.model, asked.stream = call.model, call.stream
        losses = Losses(asked.origin)
        custom = self._theirs.custom == "always" or self._theirs.custom in facts.quirks
        self._names = prepare(asked, provider.name, self._theirs.longest_name, losses, custom=custom)
        written = encode(self._theirs.write_call(asked, facts, losses))
        super().__init__(client, provider, provider.path(self._theirs.endpoint(call.stream), facts.model), written, redactor)
        self.dropped, self.headers = losses.names, provider.own_headers
        self._call, self._facts = asked, facts
        self._reader, self._writer = self._theirs.reader(facts.id), self._yours.writer(asked, facts)
        self._restorer = Restorer(self._names) if self._names.changed else None
        self._done = False

    def feed(self, chunk: bytes) -> bytes:
        """Whole events in the client's dialect. AppError provider_broken when one event is too large."""
        block = self._splitter.feed(chunk)
        if not block:
            return block
        _refuse_swollen(block)
        return self._keyless(b"".join([self._event(event) for event in events(block)]))

    def finish(self) -> bytes:
        """The provider ended the stream. One that says not why it ended is an error."""
        return self._keyless(self._finish())

    def _finish(self) -> bytes:
        out = b""
        rest = self._rest()
        data = fields(rest)[1]
        if data.startswith(b"[DONE]") or (data and replies.decoded(data) is not None):
            out = self._event(rest)
        if self._done:
            return out
        out += self._said(self._reader.close())
        if self._finished:
            return out + self._end()
        error = self._fail(AppError("provider_broken", "The provider's answer broke off.", "Try again."))
        self._done = True
        return out + self._writer.error(error, self._facts.id)

    def reply(self, body: bytes) -> bytes:
        """A whole 2xx reply in the client's dialect. AppError provider_not_json, provider_broken, and what it reports as an error."""
        _refuse_swollen(body)
        heard = self._provider.hear_reply(self._theirs.endpoint(False), body)
        if heard.error is not None:
            raise self._fail(heard.error)
        said = shape.decoded(body)
        if said is None:
            raise AppError("provider_not_json", "The provider's answer is not JSON.", replies.PORTAL)
        self._count(body)
        answer = self._theirs.read_answer(said, self._facts.id)
        self._note(heard)
        answer.usage = self.usage
        restore(answer, self._names)
        self.complete = True
        return self._keyless(encode(self._yours.write_answer(answer, self._call, self._facts)))

    def refusal(self, status: int, body: bytes, call_id: str, *, retry_after_s: float | None = None) -> Refusal:
        """An answer that is not 2xx, in the client's dialect and without keys."""
        self.error = _error_said(self._redactor, status, body, retry_after_s)
        return Refusal(status, self._client.error_body(self.error, call_id), self.error)

    def error_event(self, error: AppError, call_id: str) -> bytes:
        """An error inside the stream, with what ends it; nothing once the stream has ended."""
        if self._done:
            return b""
        self._done = True
        return self._writer.error(error, call_id)

    def _event(self, event: bytes) -> bytes:
        name, data = fields(event)
        if not data or self._done:
            return b""
        heard = self._provider.hear(name, data) if self._notable(event) else NOTHING
        if heard.error is not None:
            self._done = True
            return self._writer.error(self._fail(heard.error), self._facts.id)
        self._count(event)
        self._note(heard)
        out = self._said(self._reader.event(name, data))
        return out + self._end() if heard.end else out

    def _keyless(self, said: bytes) -> bytes:
        """What the model says, without the key: as we write it, letters and digits are not escaped."""
        return self._redactor.content(said) if self._needle in said else said

    def _said(self, deltas: Sequence[Delta]) -> bytes:
        if not deltas:
            return b""
        if self._restorer is not None:
            deltas = self._restorer.restored(deltas)
        return self._writer.write(deltas, self._reported)

    def _end(self) -> bytes:
        out = self._said(self._reader.close())
        self._done = self.complete = True
        return out + self._writer.end(self.usage)


class _Array:
    """Events as the elements of one JSON array, which is how Gemini streams when it is not asked for events."""

    content_type = "application/json; charset=utf-8"
    _first = True

    def ping(self) -> bytes:
        return b"\n"

    def _elements(self, whole: bytes, *, last: bool) -> bytes:
        out = bytearray()
        for event in events(whole):
            data = fields(event)[1]
            if data:
                out += (b"[" if self._first else b",\n") + data
                self._first = False
        if last:
            out += b"[]" if self._first else b"]"
        return bytes(out)


class _ArrayRelay(_Array, Relay):
    def feed(self, chunk: bytes) -> bytes:
        return self._elements(super().feed(chunk), last=False)

    def finish(self) -> bytes:
        return self._elements(super().finish(), last=True)

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return self._elements(super().error_event(error, call_id), last=True)


class _ArrayBridge(_Array, Bridge):
    def feed(self, chunk: bytes) -> bytes:
        return self._elements(super().feed(chunk), last=False)

    def finish(self) -> bytes:
        return self._elements(super().finish(), last=True)

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return self._elements(super().error_event(error, call_id), last=True)


def passage(
    client: Dialect,
    provider: Dialect,
    endpoint: str,
    body: bytes,
    call: Understood,
    model: str,
    *,
    ask_usage: bool = True,
    redactor: Redactor = SHAPES_ALONE,
    max_tokens: int = 0,
    quirks: frozenset[str] = frozenset(),
    call_id: str = "",
    now_s: int = 0,
    array: bool = False,
) -> Relay | Bridge:
    """How `body`, sent to `endpoint` in the client's dialect, goes to `model` at a provider that speaks `provider`.

    redactor: of the account's key. max_tokens: the most the model gives out, where a dialect wants to be told; 0: unknown. quirks: of the
    provider's row. call_id, now_s: of the exchange, for ids and times that the provider does not give. array: of the `Place`. AppError:
    body_invalid and its like, not_expressible.

    In one dialect the bytes are left alone, unless they hold marks that a translation left in the client's conversation (`carry`).
    """
    if client.name == provider.name and not (endpoint in DIALOGUES[client.name].endpoints and carried(body)):
        relay = _ArrayRelay if array else Relay
        return relay(client, endpoint, body, call, model, ask_usage=ask_usage, redactor=redactor, call_id=call_id)
    facts = Facts(model=model, asked=call.model, max_tokens=max_tokens, quirks=quirks, id=call_id, now_s=now_s)
    bridge = _ArrayBridge if array else Bridge
    return bridge(client, provider, endpoint, body, call, facts, redactor=redactor)


def _refuse_swollen(body: bytes) -> None:
    if shape.swollen(body):
        raise AppError("provider_broken", "The provider's answer has more parts than are read.", "Ask for a shorter one.")


def _framed(name: str, data: bytes) -> bytes:
    head = b"event: " + name.encode("utf-8", "replace") + b"\n" if name else b""
    return head + b"".join([b"data: " + line + b"\n" for line in data.splitlines()]) + b"\n"


def text_bytes(body: bytes) -> int:
    """The size of a request for an estimate: without embedded files, whose tokens have nothing to do with their bytes."""
    return len(body) - sum([blob.end() - blob.start() for blob in _BLOB.finditer(body)])
