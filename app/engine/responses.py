"""Answers of the Responses API that outlive their exchange: who made them, where they are, and continuing from them.

A provider that speaks Responses keeps its answers itself; what is noted here is only whose they are, so that no client reads, continues
or deletes another's. An answer that was translated exists nowhere else: it is kept in the encrypted store if the person allowed that for
the client, and a request that needs one that is not kept gets a clear 400.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from app.core.errors import AppError
from app.core.records import Client
from app.core.unreadable import UNREADABLE
from app.engine.apart import Apart
from app.engine.entry import Entry
from app.engine.status import Opened
from app.engine.web import Reply
from app.store import responses
from app.store.responses import Stored
from app.wire import shape
from app.wire.body import Understood, understand
from app.wire.dialect import Dialect

ENDPOINT: Final = "responses"
_ID: Final = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,200})"')
_ENDED: Final = re.compile(rb"event: response\.(?:completed|incomplete)\r?\ndata: (.+)")
_MOST_ITEMS: Final = 100
_LONGEST_ID: Final = 256

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_text: Final = msgspec.json.Decoder(str | None).decode


class Keeping:
    """What becomes of one answer. body, call: the request as it goes on, with what it continues from in its place.

    Feed it what the client gets with `hear`; `keep` writes down what there is to keep, and must have returned before the client's last
    byte, because the client's next request may name this answer.
    """

    def __init__(self, opened: Opened, client: Client, entry: Entry, body: bytes, call: Understood, *, relayed: bool, wanted: bool) -> None:
        self.body: Final = body
        self.call: Final = call
        self._opened: Final = opened
        self._client: Final = client
        self._account: Final = entry.account.name
        self._relayed: Final = relayed
        self._wanted = wanted
        self._id = b""
        self._answer = b""

    def hear(self, data: bytes) -> None:
        """Part of a stream, whole events."""
        if not self._wanted:
            return
        if not self._id and (found := _ID.search(data)) is not None:
            self._id = found[1]
        if not self._relayed and (ended := _ENDED.search(data)) is not None:
            event = _decode(ended[1])
            self._answer = _encode(event.get("response"))

    def whole(self, body: bytes) -> None:
        if self._wanted and (found := _ID.search(body)) is not None:
            self._id = found[1]
            self._answer = b"" if self._relayed else body

    async def keep(self, now_us: int) -> None:
        """Once. AppError store_unavailable: then the answer must not be given out as kept."""
        if not self._wanted or not self._id or not (self._relayed or self._answer):
            return
        self._wanted = False
        threads = self._opened.threads

        def write() -> None:
            stored = Stored(
                id=self._id.decode(),
                client=self._client.name,
                created_us=now_us,
                account=self._account,
                input=b"" if self._relayed else _encode(_items(_decode(self.body).get("input"))),
                body=self._answer,
            )
            with threads.store.write() as connection:
                responses.put(connection, stored)

        await threads.write(write)


async def begin(opened: Opened, client: Client, entry: Entry, provider: Dialect, body: bytes, call: Understood, apart: Apart) -> Keeping:
    """Before a Responses request goes out; apart: for what takes long. AppError content_not_kept or response_unknown when it needs an
    answer that is not there."""
    relayed = provider.name == ENDPOINT
    store = _flag(call.members.get("store"))
    named = call.members.get("previous_response_id")
    previous = _named_by(named)
    earlier: Stored | None = None
    if previous is not None:
        earlier = await find(opened, client, previous, here=not relayed)
        if earlier.elsewhere and (not relayed or earlier.account != entry.account.name):
            raise AppError(
                "content_not_kept",
                f"The answer {earlier.id[:80]} is kept by {earlier.account}, so only a model of {earlier.account} can continue from it.",
                "Ask a model of that account, or send the whole conversation.",
                param="previous_response_id",
            )
    if not relayed and store and not client.keeps_content:
        raise _not_allowed(client, "store")
    here = earlier if earlier is not None and not earlier.elsewhere else None
    forgets = not relayed and not client.keeps_content
    if here is not None or forgets:
        size = len(body) + (len(here.input) + len(here.body) if here is not None else 0)
        body, call = await apart.run(size, lambda: _prepared(body, call.model, here, forgets=forgets))
    return Keeping(opened, client, entry, body, call, relayed=relayed, wanted=store is not False and (relayed or client.keeps_content))


def _prepared(body: bytes, model: str, earlier: Stored | None, *, forgets: bool) -> tuple[bytes, Understood]:
    """The request with what it continues from, and without asking for what is not allowed."""
    if earlier is not None:
        body = _continued(body, earlier)
    if forgets:
        body = _with(body, store=False)
    return body, understand(body, ENDPOINT, model=model)


async def find(opened: Opened, client: Client, identifier: str, *, here: bool = False) -> Stored:
    """What is known of an answer that this client made. AppError response_unknown; content_not_kept when it would have to be `here`."""
    threads = opened.threads

    def read() -> Stored | None:
        with threads.store.read() as connection:
            return responses.get(connection, identifier[:_LONGEST_ID], client.name)

    stored = await threads.read(read)
    if stored is not None:
        return stored
    if here and not client.keeps_content:
        raise _not_allowed(client, "previous_response_id")
    raise AppError(
        "response_unknown",
        f"Response with id '{identifier[:80]}' not found.",
        f"It may be older than {responses.KEPT_DAYS} days, deleted, or another client's.",
        param="previous_response_id" if here else None,
    )


async def local(opened: Opened, stored: Stored, endpoint: str, method: str, query: str) -> Reply:
    """The answer to a question about an answer that is kept here. AppError body_invalid."""
    if endpoint == "responses/item" and method == "DELETE":
        threads = opened.threads

        def write() -> bool:
            with threads.store.write() as connection:
                return responses.remove(connection, stored.id, stored.client)

        await threads.write(write)
        return Reply(200, _encode({"id": stored.id, "object": "response", "deleted": True}))
    if endpoint == "responses/item":
        if parse_qs(query).get("stream") == ["true"]:
            raise AppError("body_invalid", "An answer that was kept is not streamed again.", "Ask for it without stream.", param="stream")
        return Reply(200, stored.body)
    if endpoint == "responses/input_items":
        return Reply(200, _encode(_listed(stored, parse_qs(query))))
    raise AppError("body_invalid", "Only an answer that runs in the background can be cancelled.")


async def forget(opened: Opened, stored: Stored) -> None:
    """A provider deleted it: so is the note of whose it was."""
    threads = opened.threads

    def write() -> None:
        with threads.store.write() as connection:
            responses.remove(connection, stored.id, stored.client)

    await threads.write(write)


def _not_allowed(client: Client, param: str) -> AppError:
    return AppError(
        "content_not_kept",
        f"Gatehouse keeps no answers for {client.name}.",
        f"Allow it with `gatehouse client content '{client.name}' on`, or send the whole conversation with store set to false.",
        param=param,
    )


def _named_by(raw: msgspec.Raw | None) -> str | None:
    """`previous_response_id`, which is a text: read as anything, a large one would be large work. AppError body_invalid."""
    try:
        return _text(raw) if raw is not None else None
    except UNREADABLE:
        raise shape.wrong("previous_response_id", "a text") from None


def _flag(raw: msgspec.Raw | None) -> bool | None:
    if raw is None:
        return None
    text = bytes(raw).strip()
    return True if text == b"true" else False if text == b"false" else None


def _items(given: object) -> list[Any]:
    """`input` as a list of items: a plain text is one message of the user."""
    if isinstance(given, list):
        return given
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": str(given or "")}]}]


def _continued(body: bytes, stored: Stored) -> bytes:
    """The request with the conversation so far before its own input. Instructions are not taken over, as the API says."""
    asked = shape.body(body)
    answered = _decode(stored.body)
    asked["input"] = [*_decode(stored.input), *answered.get("output", []), *_items(asked.get("input"))]
    del asked["previous_response_id"]
    return _encode(asked)


def _with(body: bytes, **members: object) -> bytes:
    return _encode(shape.body(body) | members)


def _listed(stored: Stored, query: Mapping[str, list[str]]) -> dict[str, Any]:
    items = [_named(item, stored.id, number) for number, item in enumerate(_decode(stored.input))]
    if query.get("order") != ["asc"]:
        items.reverse()
    if after := query.get("after"):
        places = [place for place, item in enumerate(items) if item["id"] == after[0]]
        items = items[places[0] + 1 :] if places else []
    wanted = query.get("limit", ["20"])[0]
    limit = min(_MOST_ITEMS, int(wanted)) if wanted.isdecimal() and wanted != "0" else 20
    shown = items[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(items) > limit,
    }


def _named(item: dict[str, Any], response: str, number: int) -> dict[str, Any]:
    return item if "id" in item else {"id": f"item_{response.removeprefix('resp_')[:40]}_{number}"} | item
