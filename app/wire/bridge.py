"""The passage of one exchange. `Relay`: client and provider speak the same dialect, bytes stay untouched, usage is overheard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.core.records import Tokens
from app.core.secret import Secret
from app.wire import replies
from app.wire.body import Understood, rewrite
from app.wire.dialect import Dialect, Heard
from app.wire.redact import redact
from app.wire.sse import Splitter, events, fields
from app.wire.usage import Usage

_NONE: Final = Usage()
_BYTES_A_TOKEN: Final = 4
_BLOB: Final = re.compile(rb'"(?:data:[^",]{0,100},)?[A-Za-z0-9+/=_\\-]{1024,}+"')


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the client gets for a provider's error, and what the ledger notes."""

    status: int
    body: bytes
    error: AppError


class Relay:
    """One attempt of one exchange: make it with the model's name at the target, send `request_body`, feed it what comes back.

    usage, tokens: used so far. Where the provider did not say, an estimate, marked so: four bytes of text make a token, and each
    piece of text that came is at least one. Nothing is estimated before something came.
    """

    __slots__ = (
        "_dialect", "_endpoint", "_finished", "_notable", "_pieces", "_reported", "_said_bytes", "_secrets", "_settled",
        "_splitter", "_strip_usage", "_words", "complete", "error", "request_body", "started",
    )  # fmt: skip

    def __init__(
        self,
        dialect: Dialect,
        endpoint: str,
        body: bytes,
        call: Understood,
        model: str,
        *,
        ask_usage: bool = True,
        secrets: Sequence[Secret] = (),
    ) -> None:
        edits = dialect.edits(call, endpoint, model, ask_usage=ask_usage)
        self.request_body = rewrite(body, call.members, edits.values)
        self.error: AppError | None = None
        self.complete = self.started = False
        self._dialect, self._endpoint, self._secrets = dialect, endpoint, secrets
        self._notable, self._words = dialect.notable, dialect.words.findall
        self._strip_usage = edits.strip_usage
        self._splitter = Splitter()
        self._reported = _NONE
        self._settled = self._finished = False
        self._said_bytes = self._pieces = 0

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes. AppError provider_broken when one event is too large."""
        block = self._splitter.feed(chunk)
        if not block:
            return block
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
        rest = self._splitter.rest()
        name, data = fields(rest)
        out = b""
        if not data:
            out = rest if rest.endswith((b"\n", b"\r")) else b""
        elif data.startswith(b"[DONE]") or replies.decoded(data) is not None:
            self._count(rest)
            out = self._heard(rest, self._dialect.hear(name, data))
        # Some servers never send the last marker, but all say why the model stopped.
        if self._finished and self.error is None:
            self.complete = True
        if out and not self.complete:
            out += b"\n\n"  # an error event may follow
        return out

    def reply(self, body: bytes) -> bytes:
        """A whole 2xx reply, unchanged. AppError provider_not_json. `error` is set when it reports an error in spite of its status."""
        heard = self._dialect.hear_reply(self._endpoint, body)
        self._count(body)
        return self._heard(body, heard)

    def refusal(self, status: int, body: bytes, call_id: str, *, retry_after_s: float | None = None) -> Refusal:
        """An answer that is not 2xx, without keys. As the provider put it where it is JSON, else in our words."""
        body = redact(body, self._secrets)
        said = replies.decoded(body)
        message = replies.message(said) or f"The provider answered with status {status}."
        self.error = AppError("provider_error", message, status=status, retry_after_s=retry_after_s)
        readable = isinstance(said, dict | list)
        return Refusal(status, body if readable else self._dialect.error_body(self.error, call_id), self.error)

    @property
    def usage(self) -> Usage:
        reported = self._reported
        if not self.started or (self._settled and reported.input is not None and reported.output is not None):
            return reported
        said = 0 if self._settled else max(self._pieces, -(-self._said_bytes // _BYTES_A_TOKEN))
        asked = -(-text_bytes(self.request_body) // _BYTES_A_TOKEN) if reported.input is None else None
        return reported.merged(Usage(input=asked, output=said, estimated=True))

    @property
    def tokens(self) -> Tokens:
        return self.usage.tokens()

    def _event(self, event: bytes) -> bytes:
        name, data = fields(event)
        return self._heard(event, self._dialect.hear(name, data)) if data else event

    def _heard(self, said: bytes, heard: Heard) -> bytes:
        """Note what an event or a reply said; what of it goes on to the client."""
        if heard.error is not None:
            message = redact(heard.error.message.encode("utf-8", "replace"), self._secrets).decode("utf-8", "replace")
            self.error = AppError(heard.error.code, message, status=heard.error.status)
            return redact(said, self._secrets)
        self.started = True
        if heard.usage is not None:
            self._reported = self._reported.merged(heard.usage)
            self._settled = self._settled or not heard.opening
        self._finished = self._finished or heard.finished
        self.complete = self.complete or heard.end
        return b"" if heard.bare_usage and self._strip_usage else said

    def _count(self, said: bytes) -> None:
        words = self._words(said)
        self._pieces += len(words)
        self._said_bytes += sum([len(word) for word in words])


def text_bytes(body: bytes) -> int:
    """The size of a request for an estimate: without embedded files, whose tokens have nothing to do with their bytes."""
    return len(body) - sum([blob.end() - blob.start() for blob in _BLOB.finditer(body)])
