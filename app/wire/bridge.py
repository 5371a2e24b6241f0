"""The passage of one exchange. `Relay`: client and provider speak the same dialect, bytes stay untouched, usage is overheard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.core.records import Tokens
from app.core.secret import Secret
from app.wire.body import Understood, rewrite
from app.wire.dialect import Dialect
from app.wire.redact import redact
from app.wire.sse import Splitter, events, fields
from app.wire.usage import Usage

_ZERO: Final = Usage()
_BLOB: Final = re.compile(rb'"[A-Za-z0-9+/=_\-:;,.]{512,}+"')


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the client gets for a provider's error, and what the ledger notes."""

    status: int
    body: bytes
    error: AppError


class Relay:
    """One attempt of one exchange: make it with the model name of the target, send `request_body`, feed it what comes back."""

    __slots__ = (
        "_asked_bytes", "_call_id", "_dialect", "_endpoint", "_finished", "_notable", "_pieces", "_said_bytes", "_secrets",
        "_splitter", "_strip_usage", "_usage", "_words", "complete", "error", "request_body", "started",
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
        self.request_body: bytes = rewrite(body, call.members, edits.values)
        self.error: AppError | None = None
        self.complete = False
        self.started = False
        self._dialect, self._endpoint, self._secrets = dialect, endpoint, tuple(secrets)
        self._notable, self._words = dialect.notable.search, dialect.words.findall
        self._strip_usage = edits.strip_usage
        self._splitter = Splitter()
        self._usage = _ZERO
        self._finished = False
        self._asked_bytes = _text_bytes(body)
        self._said_bytes = self._pieces = 0

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes. AppError provider_broken when one event is too large."""
        block = self._splitter.feed(chunk)
        if not block:
            return block
        words = self._words(block)
        if words:
            self._pieces += len(words)
            self._said_bytes += sum(map(len, words))
        if self._notable(block) is None:
            self.started = self.started or b"data:" in block
            return block
        return b"".join([self._event(event) for event in events(block)])

    def finish(self) -> bytes:
        """The stream is over. A last event without its empty line still counts if it is whole; half an event is dropped."""
        rest = self._splitter.rest()
        data = fields(rest)[1]
        out = b""
        if data and (data.startswith(b"[DONE]") or _is_json(data)):
            out = self._event(rest)
        # Servers that never send the last marker still say why the model stopped.
        if self._finished and self.error is None:
            self.complete = True
        return out

    def reply(self, body: bytes) -> bytes:
        """A whole 2xx reply, unchanged. AppError provider_not_json. `error` is set when it holds an error in spite of its status."""
        heard = self._dialect.hear_reply(self._endpoint, body)
        self.started = True
        if heard.error is not None:
            self.error = self._clean(heard.error)
            return redact(body, self._secrets)
        if heard.usage is not None:
            self._usage = self._usage.merged(heard.usage)
        else:
            words = self._words(body)
            self._pieces, self._said_bytes = len(words), sum(map(len, words))
        self.complete = True
        return body

    def refusal(self, status: int, body: bytes, call_id: str, *, retry_after_s: float | None = None) -> Refusal:
        """An answer that is not 2xx, without keys. In the provider's words where they are in this dialect, else in ours."""
        body = redact(body, self._secrets)
        heard = self._dialect.hear_error(body)
        message = heard[1] if heard else f"The provider answered with status {status}."
        self.error = error = AppError("provider_error", message, status=status, retry_after_s=retry_after_s)
        return Refusal(status, body if heard else self._dialect.error_body(error, call_id), error)

    @property
    def usage(self) -> Usage:
        """Used so far. Without a report from the provider: an estimate from the bytes, four to a token, at least one token for each
        piece of text that came."""
        usage = self._usage
        if usage.input is not None and usage.output is not None and (self.complete or not self._said_bytes):
            return usage
        said = max(self._pieces, -(-self._said_bytes // 4))
        return usage.merged(Usage(
            input=-(-self._asked_bytes // 4) if usage.input is None else None,
            output=said,
            estimated=True,
        ))  # fmt: skip

    @property
    def tokens(self) -> Tokens:
        return self.usage.tokens()

    def _event(self, event: bytes) -> bytes:
        name, data = fields(event)
        if not data:
            return event
        heard = self._dialect.hear(name, data)
        if heard.error is not None:
            self.error = self._clean(heard.error)
            return redact(event, self._secrets)
        self.started = True
        if heard.usage is not None:
            self._usage = self._usage.merged(heard.usage)
        self._finished = self._finished or heard.finished
        self.complete = self.complete or heard.end
        return b"" if heard.bare_usage and self._strip_usage else event

    def _clean(self, error: AppError) -> AppError:
        message = redact(error.message.encode("utf-8", "replace"), self._secrets).decode("utf-8", "replace")
        return AppError(error.code, message, error.hint, param=error.param, status=error.status)


def _text_bytes(body: bytes) -> int:
    """Size of a request without embedded files, whose tokens have nothing to do with their bytes."""
    return len(body)


def _is_json(data: bytes) -> bool:
    return data.startswith(b"{")
