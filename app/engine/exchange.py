"""The life of one request, from the first header to the last byte, as numbered steps.

     1 who asks                 6 translate (same dialect: bytes untouched)     11 relay chunk by chunk
     2 is there room            7 method, target, headers for the provider      12 journal "closed", before the last byte
     3 what is asked            8 journal "opened", before a byte goes out      13 ledger, in batches off the loop
     4 where it goes            9 send through the door                         14 bus, so that windows see it
     5 the key for there       10 an error before the first byte is a status

Nothing here parses a chunk, writes a log line or touches the database while bytes flow. Every way out of step 8 writes "closed" exactly
once: completed, failed, cancelled by the client, or interrupted by Gatehouse. What a client is told comes from `AppError`, in the client's
own dialect. Steps 13 and 14 happen in `recorder` and `bus` after the client has its answer.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app.control.contract import EchoResult
from app.core.errors import AppError
from app.core.records import Client, Outcome
from app.egress.upstream import Reply as ProviderReply
from app.egress.upstream import Upstream
from app.engine import echo, responses, routing, safety, tasks
from app.engine.apart import Apart
from app.engine.clients import KeyBlockedError
from app.engine.draft import Draft
from app.engine.ready import readiness
from app.engine.status import Opened, Status
from app.engine.web import Incoming, Pairs, Reply, Stream
from app.wire import count
from app.wire.body import LARGE, Understood, understand
from app.wire.bridge import Bridge, Relay, passage, refused
from app.wire.dialect import Dialect
from app.wire.dialects import DIALECTS, Place, place, speaker
from app.wire.identifiers import Choice, Pseudonyms, hide

HEALTH: Final = frozenset({"/health/liveliness", "/health/liveness"})
AnyReply = ProviderReply | echo.EchoReply
Passage = Relay | Bridge
_SMALL: Final = 32_768  # bytes of a stream that are read in one turn of the loop
_MOST_BEFORE: Final = 65_536  # bytes of a stream that wait while nothing but comments came


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take. Times in seconds, sizes in bytes."""

    body: int = 32 * 1_048_576
    body_idle_s: float = 30.0
    body_rate: int = 1_000
    reply: int = 64 * 1_048_576
    error_reply: int = 1_048_576
    first_chunk_s: float = 10.0
    ping_s: float = 15.0
    start_s: float = 5.0


class Gateway:
    """Answers client programs. `settled` is set once requests can be answered, or refused for a known reason."""

    def __init__(self, status: Status, upstream: Upstream, limits: Limits, settled: asyncio.Event) -> None:
        self._status: Final = status
        self._upstream: Final = upstream
        self._limits: Final = limits
        self._settled: Final = settled
        self._hosts: Final = safety.allowed_hosts(status.boot.port)
        self._now_us: Final[Callable[[], int]] = status.now_us
        self._apart: Final = Apart()

    async def handle(self, request: Incoming) -> Reply | Stream:
        if request.path.startswith("/health/"):
            return self._health(request)
        anthropic = "anthropic-version" in request.headers
        google = "x-goog-api-key" in request.headers
        spot = place(request.path, anthropic=anthropic, google=google, query=request.query)
        dialect = spot.dialect if spot is not None else speaker(request.path, anthropic=anthropic, google=google)
        draft = Draft(self._now_us(), spot.endpoint if spot is not None else "", dialect.name)
        return await draft.work.steps(self._answer(request, spot, dialect, draft))

    async def _answer(self, request: Incoming, spot: Place | None, dialect: Dialect, draft: Draft) -> Reply | Stream:
        try:
            # 1 Who asks: the rules for web pages first, then the key, both before a byte of the body is read.
            safety.check(request, self._hosts)
            opened = await self._opened()
            client = opened.clients.identify(request, draft.opened_us)
            draft.client, draft.client_id = client.name, client.id
            draft.others = opened.accounts.redactors()
            draft.say()
            request.belongs_to(client.name)
            if spot is None:
                raise AppError("not_found", "Gatehouse does not answer this address.", "See the README for the addresses it answers.")
            if request.method not in spot.methods:
                raise AppError("method_not_allowed", f"{request.method} is not answered at this address.")
            if spot.endpoint == "models":
                return self._models(spot, draft, opened)
            if spot.endpoint == "event_logging":
                return self._swallow(draft)
            if spot.item:
                return await self._kept(request, spot, draft, opened, client)
            return await self._exchange(request, spot, draft, opened, client)
        except AppError as error:
            return self._refuse(draft, dialect, error)
        except asyncio.CancelledError:
            # Cut before anything was sent, for example while its body came in.
            if (cut := tasks.why_cut()) is None:
                raise
            return self._refuse(draft, dialect, cut, _broken_off(cut, "refused"))

    async def _exchange(self, request: Incoming, spot: Place, draft: Draft, opened: Opened, client: Client | None) -> Reply | Stream:
        limits, dialect, apart = self._limits, spot.dialect, self._apart.run
        # 2 Is there room: each piece of the body is counted as it comes.
        body = await request.body(limits.body, limits.body_idle_s, limits.body_rate)
        # 3 What is asked: only the fields that decide where it goes.
        size = len(body)
        call = await apart(size, lambda: understand(body, spot.endpoint, model=spot.model, stream=spot.stream))
        draft.asked, draft.stream = call.model, call.stream
        draft.say()
        # 4 Where it goes.
        target = routing.choose(call.model, opened.accounts.offers())
        entry = opened.accounts.get(target.account)
        draft.aim(entry, target.model)
        provider = draft.spoken = entry.dialect_for(dialect, spot.endpoint)
        if spot.endpoint in count.COUNTS and provider.name != dialect.name:
            said = await apart(size, lambda: count.estimate(spot.endpoint, body))
            return self._estimated(draft, opened, said)
        if spot.endpoint == responses.ENDPOINT and client is not None:
            draft.keeping = await responses.begin(opened, client, entry, provider, body, call, self._apart)
            body, call = draft.keeping.body, draft.keeping.call
        # What identifies the person or the machine stays here, as chosen for this client.
        choice = client.identifiers if client is not None else "pseudonym"
        draft.hidden, body, call = await apart(
            size, lambda: _hidden(body, call, choice, opened.clients.pseudonyms, draft.client_id or draft.client, spot)
        )
        # 5 The key for there, bound to that account's host.
        key = await opened.accounts.secret(entry)
        draft.redactor = entry.redactor(key)
        # 6 Same dialect: the body as it came, but for the model's name and the wish for usage. Otherwise it is translated.
        relay = await apart(size, lambda: passage(
            dialect, provider, spot.endpoint, body, call, target.model, ask_usage=entry.asks_usage, quirks=entry.quirks,
            redactor=draft.redactor, call_id=draft.id, now_s=draft.opened_us // 1_000_000, array=spot.array,
        ))  # fmt: skip
        draft.dropped = relay.dropped
        # 7 What the provider is sent: built from an allowlist, so that nothing rides along.
        outgoing = entry.outgoing(relay.endpoint, key, request.pairs(), provider, target.model)
        draft.removed = outgoing.removed
        sent = {name for name, _ in outgoing.headers}
        headers = (*outgoing.headers, *(pair for pair in relay.headers if pair[0] not in sent)) if relay.headers else outgoing.headers
        # 8 It is written down before a byte goes out.
        opened.recorder.opened(draft.opening())
        draft.journaled = True
        try:
            # 9 Through the door, or to the built-in model.
            sending: Coroutine[Any, Any, AnyReply]
            if entry.target is None:
                answer = partial(echo.reply, relay.endpoint, relay.request_body, call.stream, draft.id, draft.opened_us // 1_000_000)
                sending = apart(len(relay.request_body), answer)
            else:
                sending = self._upstream.send(
                    entry.target, "POST", outgoing.target, headers, relay.request_body, timeouts=entry.timeouts, went=draft.went
                )
            if call.stream:
                return await self._streamed(request, draft, opened, relay, sending)
            draft.reply = await sending
            return await self._whole(request, draft, opened, relay, draft.reply)
        except (asyncio.CancelledError, ConnectionError):
            # The client left, or Gatehouse ends it: the provider stops within the same turn of the loop, and what came is priced.
            if (cut := tasks.why_cut()) is None:
                self._close(draft, opened, relay, 499, "cancelled")
                raise
            raise self._close_failed(draft, opened, relay, cut) from None
        except AppError as error:
            if error.code in ("destination_refused", "destination_held"):
                opened.accounts.refused(entry, error)
            raise self._close_failed(draft, opened, relay, error) from None
        except Exception:
            self._close_failed(draft, opened, relay, AppError("internal", "Gatehouse made a mistake; the log has the details."))
            raise
        finally:
            if draft.reply is not None:
                draft.reply.abort()

    async def _whole(self, request: Incoming, draft: Draft, opened: Opened, relay: Passage, reply: AnyReply) -> Reply:
        """Step 10 and the answer in one piece."""
        if not 200 <= reply.status < 300:
            return await self._provider_error(request, draft, opened, relay, reply)
        said = await reply.read(self._limits.reply, request.hold)
        body = await self._apart.run(len(said), lambda: relay.reply(said))
        draft.first_byte()
        if relay.error is not None:
            draft.fail(relay.error)
        elif draft.keeping is not None:
            await self._apart.run(len(body), partial(draft.keeping.whole, body))
            await draft.keeping.keep(draft.opened_us)
        kind = draft.redactor.header("content-type", reply.header("content-type")) or "application/json"
        self._close(draft, opened, relay, reply.status, "failed" if relay.error is not None else "completed")
        return Reply(reply.status, body, self._headers(draft, reply), kind)

    async def _provider_error(self, request: Incoming, draft: Draft, opened: Opened, relay: Passage, reply: AnyReply) -> Reply:
        body = await reply.read(self._limits.error_reply, request.hold)
        refusal = relay.refusal(reply.status, body, draft.id)
        draft.fail(refusal.error)
        self._close(draft, opened, relay, refusal.status, "failed")
        return Reply(refusal.status, refusal.body, self._headers(draft, reply))

    async def _streamed(
        self, request: Incoming, draft: Draft, opened: Opened, relay: Passage, sending: Coroutine[Any, Any, AnyReply]
    ) -> Reply | Stream:
        limits, loop = self._limits, asyncio.get_running_loop()
        # 10 Status and first event are awaited, so that what fails now is a real status; after `first_chunk_s` the client gets 200.
        patience = loop.time() + limits.first_chunk_s
        sent = tasks.start(sending, "send", draft.work)
        begun = bytearray()
        try:
            await asyncio.wait((sent,), timeout=limits.first_chunk_s)
            if sent.done():
                reply = draft.reply = sent.result()
                if not 200 <= reply.status < 300 or "text/event-stream" not in reply.header("content-type"):
                    return await self._whole(request, draft, opened, relay, reply)
                while not relay.started and loop.time() < patience and len(begun) < _MOST_BEFORE:
                    piece = await reply.chunk_within(max(0.0, patience - loop.time()))
                    if not piece:
                        break
                    begun += await self._fed(relay, piece)
                    if relay.error is not None and not relay.started:
                        raise relay.error
                if begun:
                    draft.first_byte()
            stream = await request.stream(200, self._headers(draft, draft.reply), relay.content_type)
            try:
                if draft.reply is None:
                    draft.reply = await self._awaited(sent, stream, relay, draft)
                await self._relay(draft, opened, relay, draft.reply, stream, bytes(begun))
            except AppError as error:
                await self._end_late(draft, opened, relay, stream, error)
            except asyncio.CancelledError:
                if (cut := tasks.why_cut()) is None:
                    raise
                await self._end_late(draft, opened, relay, stream, cut)
            return stream
        finally:
            sent.cancel()
            if draft.reply is None:
                sent.add_done_callback(_abort_late)

    async def _awaited(self, sent: asyncio.Task[AnyReply], stream: Stream, relay: Passage, draft: Draft) -> AnyReply:
        """The provider is slow to answer at all: keep the client's connection alive meanwhile."""
        while not sent.done():
            await stream.write(relay.ping())
            await asyncio.wait((sent,), timeout=self._limits.ping_s)
        reply = draft.reply = sent.result()
        if not 200 <= reply.status < 300:
            raise relay.refusal(reply.status, await reply.read(self._limits.error_reply), draft.id).error
        return reply

    async def _relay(self, draft: Draft, opened: Opened, relay: Passage, reply: AnyReply, stream: Stream, data: bytes) -> None:
        # 11 Chunk by chunk. `feed` gives out whole events only, so a keepalive never falls inside one.
        chunk_within, feed, write, ping_s = reply.chunk_within, relay.feed, stream.write, self._limits.ping_s
        while True:
            if data:
                if draft.first_byte_us is None:
                    draft.first_byte()
                if draft.keeping is not None:
                    await self._apart.run(len(data), partial(draft.keeping.hear, data))
                if relay.complete and not draft.closed:
                    if draft.keeping is not None:
                        await draft.keeping.keep(draft.opened_us)
                    # 12 The last event tells a client that it has everything, so "closed" is written before that one goes out.
                    self._close_stream(draft, opened, relay)
                await write(data)
            piece = await chunk_within(ping_s)
            if piece is None:
                data = b"" if draft.closed else relay.ping()
                continue
            if not piece:
                break
            data = feed(piece) if len(piece) <= _SMALL and relay.waiting < LARGE else await self._fed(relay, piece)
        data = await self._apart.run(relay.waiting, relay.finish)
        if draft.keeping is not None and relay.complete:
            await self._apart.run(len(data), partial(draft.keeping.hear, data))
            await draft.keeping.keep(draft.opened_us)
        if not relay.complete and relay.error is None:
            if data and relay.content_type.startswith("text/event-stream"):
                await write(data)
            raise AppError("provider_broken", "The provider's stream ended before its last event.", "Ask again.")
        if not draft.closed:
            self._close_stream(draft, opened, relay)
        await stream.end(data)

    async def _fed(self, relay: Passage, piece: bytes) -> bytes:
        """What `relay.feed` gives: apart while an event is not whole yet that will be large once it is, and a large piece of small events
        part by part, so that others get their turn."""
        if len(piece) <= _SMALL or relay.waiting + len(piece) > LARGE:
            return await self._apart.run(relay.waiting + len(piece), partial(relay.feed, piece))
        out = []
        for at in range(0, len(piece), _SMALL):
            out.append(relay.feed(piece[at : at + _SMALL]))
            await asyncio.sleep(0)
        return b"".join(out)

    def _close_stream(self, draft: Draft, opened: Opened, relay: Passage) -> None:
        if relay.error is not None:
            draft.fail(relay.error)
        self._close(draft, opened, relay, 200, "failed" if relay.error is not None else "completed")

    async def _end_late(self, draft: Draft, opened: Opened, relay: Passage, stream: Stream, error: AppError) -> None:
        """Too late for a status: the dialect's error event, and the row says what happened. Nothing after the last event of an answer."""
        if draft.closed:
            await stream.end()
            return
        try:
            error = self._close_failed(draft, opened, relay, error, 200)
        except AppError as unavailable:
            error = unavailable
        await stream.end(relay.error_event(error, draft.id))

    def _close_failed(self, draft: Draft, opened: Opened, relay: Passage, error: AppError, status: int | None = None) -> AppError:
        """As `_close`, for what `error` ended. status: what the client has already got. The error without keys, as the client is told."""
        if draft.closed:
            return draft.redactor.error(error)
        clean = draft.fail(error)
        self._close(draft, opened, relay, error.status if status is None else status, _broken_off(error, "failed"))
        return clean

    def _close(self, draft: Draft, opened: Opened, relay: Passage, status: int, outcome: Outcome) -> None:
        """Step 12, once. AppError store_unavailable: then the last byte must not go out."""
        if draft.closed:
            return
        draft.closed = True
        if outcome != "failed" or relay.started:
            draft.usage = relay.usage
        opened.recorder.closed(draft.closing(status, outcome, self._now_us()))

    def _refuse(self, draft: Draft, dialect: Dialect, error: AppError, outcome: Outcome = "refused") -> Reply:
        """An error before or instead of an exchange, with its row where a row is due."""
        opened = self._status.opened
        if isinstance(error, KeyBlockedError):
            draft.client, draft.client_id = error.client.name, error.client.id
        if opened is not None:
            if error.code.startswith("key_"):
                opened.recorder.refused(error.code, draft.client)
            elif error.code in safety.CODES:
                opened.recorder.turned_away("gateway", error.code)
            if not draft.journaled and not draft.closed and opened.recorder.may_record_refusal(draft.client):
                error = draft.fail(error)
                draft.closed = True
                try:
                    opened.recorder.closed(draft.closing(error.status, outcome, self._now_us()))
                except AppError as unavailable:
                    error = unavailable
        headers = _call_headers(draft.id)
        if error.retry_after_s is not None:
            headers += (("retry-after", str(max(1, round(error.retry_after_s)))),)
        return Reply(error.status, dialect.error_body(error, draft.id), headers)

    async def _kept(self, request: Incoming, spot: Place, draft: Draft, opened: Opened, client: Client) -> Reply:
        """A question about an answer that was made before: answered here where it is kept here, else by the provider that keeps it."""
        stored = await responses.find(opened, client, spot.item)
        entry = opened.accounts.get(stored.account)
        draft.aim(entry, "")
        draft.spoken = spot.dialect
        if not stored.elsewhere:
            reply = await responses.local(opened, stored, spot.endpoint, request.method, request.query)
            draft.closed = True
            opened.recorder.closed(draft.closing(reply.status, "completed", self._now_us()))
            return Reply(reply.status, reply.body, _call_headers(draft.id))
        assert entry.target is not None
        key = await opened.accounts.secret(entry)
        draft.redactor = entry.redactor(key)
        outgoing = entry.outgoing(request.path.removeprefix("/v1").removeprefix("/"), key, request.pairs(), spot.dialect)
        opened.recorder.opened(draft.opening())
        draft.journaled = True
        path = f"{outgoing.target}?{request.query}" if request.query else outgoing.target
        body = b"{}" if request.method == "POST" else None
        status, said = 0, b""
        outcome: Outcome = "failed"
        try:
            found = draft.reply = await self._upstream.send(
                entry.target, request.method, path, outgoing.headers, body, timeouts=entry.timeouts, went=draft.went
            )
            status = found.status
            told = await found.read(self._limits.reply if 200 <= status < 300 else self._limits.error_reply, request.hold)
            outcome = "completed" if 200 <= status < 300 else "failed"
            if 200 <= status < 300:
                said = await self._apart.run(len(told), lambda: draft.redactor.content(told))
            else:
                refusal = await self._apart.run(len(told), lambda: refused(spot.dialect, draft.redactor, status, told, draft.id))
                said = refusal.body
                draft.fail(refusal.error)
        except AppError as error:
            status, outcome = error.status, _broken_off(error, "failed")
            raise draft.fail(error) from None
        except asyncio.CancelledError:
            status, outcome = 499, "cancelled"
            if (cut := tasks.why_cut()) is None:
                raise
            draft.fail(cut)
            status, outcome = cut.status, _broken_off(cut, "failed")
            raise cut from None
        finally:
            draft.closed = True
            if draft.reply is not None:
                draft.reply.abort()
            opened.recorder.closed(draft.closing(status, outcome, self._now_us()))
        if request.method == "DELETE" and 200 <= status < 300:
            await responses.forget(opened, stored)
        return Reply(status, said, self._headers(draft, found))

    def _models(self, spot: Place, draft: Draft, opened: Opened) -> Reply:
        if spot.model:
            draft.asked = spot.model
            entry = opened.accounts.model_entry(spot.model)
            if entry is None:
                message = f"Invalid model name passed in model={spot.model}."
                raise AppError("model_unknown", message, "GET /v1/models lists what there is.", param="model", status=404)
            body = spot.dialect.model(entry)
        else:
            body = spot.dialect.models(opened.accounts.model_entries())
        draft.closed = True
        opened.recorder.closed(draft.closing(200, "completed", self._now_us()))
        return Reply(200, body, _call_headers(draft.id))

    def _estimated(self, draft: Draft, opened: Opened, said: bytes) -> Reply:
        """A count of tokens that the provider cannot make: ours, from the bytes, and marked as an estimate. Nothing leaves."""
        draft.closed = True
        opened.recorder.closed(draft.closing(200, "completed", self._now_us()))
        return Reply(200, said, (*_call_headers(draft.id), count.HEADER))

    def _swallow(self, draft: Draft) -> Reply:
        """A tool's own event log: answered, so that the tool is content, and thrown away unread."""
        draft.closed = True
        return Reply(200, b"{}", _call_headers(draft.id))

    def _headers(self, draft: Draft, reply: AnyReply | None) -> Pairs:
        ours = _call_headers(draft.id)
        if draft.dropped:
            ours += (("x-gatehouse-dropped", ", ".join(draft.dropped)),)
        return ours if reply is None else ours + draft.passed_headers(reply)

    async def _opened(self) -> Opened:
        """What is open. A request that comes while Gatehouse starts waits for it rather than failing."""
        if self._status.opened is None and not self._settled.is_set():
            try:
                async with asyncio.timeout(self._limits.start_s):
                    await self._settled.wait()
            except TimeoutError:
                pass
        return self._status.need()

    def _health(self, request: Incoming) -> Reply:
        safety.check(request, self._hosts)
        if request.path == "/health/proof":
            nonce = request.query.removeprefix("nonce=")
            return Reply(200, self.proof(nonce).encode(), content_type="text/plain")
        if request.path == "/health/readiness":
            return readiness(self._status.unreadiness())
        if request.path in HEALTH:
            return Reply(200, b'{"status":"alive"}')
        raise AppError("not_found", "There is nothing at this address.")

    def proof(self, nonce: str) -> str:
        """What only the engine behind this control channel can answer. AppError body_invalid for a nonce that is none."""
        if not 32 <= len(nonce) <= 64 or not set(nonce) <= set("0123456789abcdef"):
            raise AppError("body_invalid", "The nonce is not 32 to 64 hexadecimal digits.")
        return hmac.digest(self._status.boot.proof_secret, nonce.encode(), "sha256").hex()

    async def test_request(self) -> EchoResult:
        """What the window's "Send test request" does: the built-in model, through the same steps as a client's request."""
        opened = self._status.need()
        request = EchoRequest()
        spot = place(request.path, anthropic=False)
        assert spot is not None
        draft = Draft(self._now_us(), spot.endpoint, spot.dialect.name)
        draft.client = "Gatehouse"
        reply = await self._exchange(request, spot, draft, opened, None)
        assert isinstance(reply, Reply)
        assert draft.last is not None
        return EchoResult(row=draft.last, text=echo.text_of(reply.body))


class EchoRequest:
    """The test request as if a client had sent it."""

    method: Final = "POST"
    path: Final = "/v1/chat/completions"
    query: Final = ""
    headers: Final[dict[str, str]] = {}

    def peer(self) -> None:
        return None

    def all(self, name: str) -> list[str]:
        return []

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return ()

    def belongs_to(self, client: str) -> None: ...

    def hold(self, size: int) -> None: ...

    async def body(self, limit: int, idle_s: float, least_rate: int) -> bytes:
        return b'{"model":"gatehouse/echo","messages":[{"role":"user","content":"The gate is open."}]}'

    async def stream(self, status: int, headers: Pairs, content_type: str) -> Stream:
        raise AppError("internal", "The test request is not streamed.")


def _hidden(
    body: bytes, call: Understood, choice: Choice, pseudonyms: Pseudonyms, client: str, spot: Place
) -> tuple[tuple[str, ...], bytes, Understood]:
    """What was hidden, and the request as it goes on."""
    hidden = hide(body, call.members, choice, pseudonyms, client)
    if not hidden.names:
        return (), body, call
    return hidden.names, hidden.body, understand(hidden.body, spot.endpoint, model=spot.model, stream=spot.stream)


def _abort_late(sent: asyncio.Task[AnyReply]) -> None:
    """The client left in the moment in which the provider answered."""
    if not sent.cancelled() and sent.exception() is None:
        sent.result().abort()


def _broken_off(error: AppError, otherwise: Outcome) -> Outcome:
    """What an exchange is that ended with `error`: interrupted when Gatehouse stopped, whoever noticed it first."""
    return "interrupted" if error.code == "draining" else otherwise


def _call_headers(identifier: str) -> Pairs:
    return (("x-gatehouse-call-id", identifier), ("x-litellm-call-id", identifier))


def error_body(error: AppError) -> bytes:
    """For what goes wrong before a dialect is known."""
    return DIALECTS["openai"].error_body(error, "")
