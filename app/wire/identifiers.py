"""Who is asking, taken out of a request's body before it leaves: by default every identifier becomes a pseudonym, and nothing else changes.

Client programs put more into a body than the provider needs to answer: one sends `metadata.user_id` with a device id, an account id and a
session id in it, another `client_metadata` with an installation id. What is looked at, with its source:

    metadata.user_id      Messages API, "An external identifier for the user" (docs.claude.com, API reference, read 2025-11)
    user                  Chat Completions and others, "A stable identifier for your end-users" (platform.openai.com, API reference)
    safety_identifier     Responses API and Chat Completions, which replaces `user`
    client_metadata       sent by a coding agent with the Responses API; seen on the wire, all its texts
    prompt_cache_key      Responses API and Chat Completions: chooses the cache, so equal keys stay equal and different ones different

The first four become one pseudonym for each client, whatever they held: a provider can still tell one program of one person from another,
as it needs to against abuse, and learns no more. Both kinds are keyed with this gateway's own secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from app.core.unreadable import UNREADABLE
from app.wire.body import places, rewrite

# pseudonym: replaced. remove: taken out. pass: left as it is.
Choice = Literal["pseudonym", "remove", "pass"]

_WHOLE: Final = ("user", "safety_identifier")
_ALL: Final = frozenset({"metadata", "client_metadata", "prompt_cache_key", *_WHOLE})
_DEEPEST: Final = 20
_BLANKS: Final = b" \t\r\n"

_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_anything: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Hidden:
    """body: what may leave. names: what was replaced or removed, in the order of the list above."""

    body: bytes
    names: tuple[str, ...]


class Pseudonyms:
    """Of one gateway. The same client has the same one for as long as the gateway's data lives; another gateway's is another."""

    def __init__(self, key: bytes) -> None:
        self._key: Final = key

    def of_client(self, client: str) -> str:
        """client: its id (see `Client.id`), so that a new name keeps the pseudonym."""
        return self._made(b"client", client, "")

    def of_value(self, client: str, value: str) -> str:
        """Different values stay different, equal ones equal."""
        return self._made(b"value", client, value)

    def _made(self, what: bytes, client: str, value: str) -> str:
        text = what + b"\0" + client.encode("utf-8", "surrogatepass") + b"\0" + value.encode("utf-8", "surrogatepass")
        return "gh-" + hmac.digest(self._key, text, hashlib.sha256).hex()[:32]


def hide(body: bytes, members: Mapping[str, msgspec.Raw], choice: Choice, pseudonyms: Pseudonyms, client: str) -> Hidden:
    """`body` without what identifies; `members` are its top-level members. Every other byte stays as it is."""
    if choice == "pass" or _ALL.isdisjoint(members):
        return Hidden(body, ())
    once, once_members = _once(body, members, _ALL.intersection(members))
    found = _removed(once, once_members) if choice == "remove" else _replaced(once, once_members, pseudonyms, client)
    if found.names or once == body:
        return found
    return Hidden(found.body, tuple(name for name in (*_WHOLE, "metadata", "client_metadata", "prompt_cache_key") if name in members))


def _once(body: bytes, members: Mapping[str, msgspec.Raw], names: Iterable[str]) -> tuple[bytes, Mapping[str, msgspec.Raw]]:
    """`body` with each name once, the last value winning as in `members`: what a name held at first would leave unseen. In `metadata`
    likewise."""
    if places(body, members, dict.fromkeys(names, b"")) is None:
        body = _encode(members)
    inner = _inner(members)
    if inner is not None and places(bytes(members["metadata"]), inner, {"user_id": b""}) is None:
        body = rewrite(body, members, {"metadata": _encode(inner)})
        members = _object(body)
    return body, members


def _replaced(body: bytes, members: Mapping[str, msgspec.Raw], pseudonyms: Pseudonyms, client: str) -> Hidden:
    name = pseudonyms.of_client(client)
    values: dict[str, bytes] = {}
    names = []
    inner = _user_id(members)
    if inner is not None:
        values["metadata"] = rewrite(bytes(members["metadata"]), inner, {"user_id": _encode(name)})
        names.append("metadata.user_id")
    for member in _WHOLE:
        if _holds(members, member):
            values[member] = _encode(name)
            names.append(member)
    if _holds(members, "client_metadata"):
        values["client_metadata"] = _encode(_texts(_anything(members["client_metadata"]), name))
        names.append("client_metadata")
    if _holds(members, "prompt_cache_key"):
        told = _anything(members["prompt_cache_key"])
        text = told if isinstance(told, str) else bytes(members["prompt_cache_key"]).decode("utf-8", "replace")
        values["prompt_cache_key"] = _encode(pseudonyms.of_value(client, text))
        names.append("prompt_cache_key")
    return Hidden(rewrite(body, members, values), tuple(names))


def _removed(body: bytes, members: Mapping[str, msgspec.Raw]) -> Hidden:
    names = []
    values: dict[str, bytes] = {}
    inner = _user_id(members)
    if inner is not None:
        values["metadata"] = _without(bytes(members["metadata"]), inner, ("user_id",))
        names.append("metadata.user_id")
    gone = tuple(member for member in (*_WHOLE, "client_metadata", "prompt_cache_key") if _holds(members, member))
    body = rewrite(body, members, values)
    return Hidden(_without(body, _object(body), gone), (*names, *gone))


def _user_id(members: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw] | None:
    """The members of `metadata` when one of them is a `user_id` that says something."""
    inner = _inner(members)
    return inner if inner is not None and _holds(inner, "user_id") else None


def _inner(members: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw] | None:
    raw = members.get("metadata")
    if raw is None:
        return None
    try:
        return _object(raw)
    except UNREADABLE:
        return None


def _holds(members: Mapping[str, msgspec.Raw], name: str) -> bool:
    raw = members.get(name)
    return raw is not None and bytes(raw) not in (b"null", b'""', b"{}", b"[]")


def _texts(value: Any, name: str, depth: int = 0) -> Any:
    """`value` with the pseudonym for every text in it, and for what is too deep to look into; numbers go, too: they can be a device's."""
    if isinstance(value, dict) and depth < _DEEPEST:
        return {key: _texts(each, name, depth + 1) for key, each in value.items()}
    if isinstance(value, list) and depth < _DEEPEST:
        return [_texts(each, name, depth + 1) for each in value]
    return value if value is None or isinstance(value, bool) else name


def _without(body: bytes, members: Mapping[str, msgspec.Raw], names: tuple[str, ...]) -> bytes:
    """`body` without these members; written anew, value by value, where a name occurs twice."""
    if not names:
        return body
    found = places(body, members, dict.fromkeys(names, b""))
    if found is None or set(found) != set(names):
        return _encode({name: raw for name, raw in members.items() if name not in names})
    for start, end in sorted(found.values(), reverse=True):
        body = _cut(body, start, end)
    return body


def _cut(body: bytes, start: int, end: int) -> bytes:
    """Without the member whose value is `body[start:end]`, and one of the commas beside it."""
    at = len(body[:start].rstrip(_BLANKS)) - 1  # the colon
    at = len(body[:at].rstrip(_BLANKS)) - 1  # the closing quote of the name, which has no escapes
    at = body.rindex(b'"', 0, at)
    before = body[:at].rstrip(_BLANKS)
    if before.endswith(b","):
        return before[:-1] + body[end:]
    rest = body[end:].lstrip(_BLANKS)
    return body[:at] + (rest[1:].lstrip(_BLANKS) if rest.startswith(b",") else rest)
