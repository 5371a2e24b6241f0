"""Who is asking: client keys as digests in memory.

A key is `sk-gh-` + 32 random bytes. What is stored is HMAC-SHA256 of it under a key of its own, so neither the database nor this
process can give a client's key back. Looking a digest up by equality of an HMAC tells a guesser nothing; it is compared in constant
time once more all the same.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from app.core.errors import AppError
from app.core.records import Client
from app.engine.web import Incoming
from app.wire.identifiers import Pseudonyms

PREFIX: Final = "sk-gh-"
HEADERS: Final = ("x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key")
_LONGEST: Final = 256


def fresh_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


class Clients:
    """All clients by digest and by name. Used on the event loop only."""

    def __init__(self, hmac_key: bytes, known: Iterable[tuple[Client, bytes]] = ()) -> None:
        # A key of its own, so that a pseudonym says nothing about a client's key.
        self.pseudonyms: Final = Pseudonyms(hmac.digest(hmac_key, b"gatehouse pseudonyms v1", "sha256"))
        self._keyed: Final = hmac.new(hmac_key, digestmod="sha256")
        self._by_digest: Final[dict[bytes, Client]] = {}
        self._digests: Final[dict[str, bytes]] = {}
        self.seen: Final[dict[str, int]] = {}
        for client, digest in known:
            self.put(client, digest)

    def digest(self, key: str) -> bytes:
        """HMAC-SHA256 of a key, from the state that already holds ours: half the time of starting anew."""
        keyed = self._keyed.copy()
        keyed.update(key.encode("utf-8", "surrogateescape"))
        return keyed.digest()

    def put(self, client: Client, digest: bytes) -> None:
        self._by_digest[digest] = client
        self._digests[client.name] = digest

    def remove(self, name: str) -> None:
        self._by_digest.pop(self._digests.pop(name, b""), None)
        self.seen.pop(name, None)

    def all(self) -> list[Client]:
        """Every client with its newest "last seen", oldest client first."""
        fresh = [replace(c, last_seen_us=self.seen[c.name]) if c.name in self.seen else c for c in self._by_digest.values()]
        return sorted(fresh, key=lambda client: client.created_us)

    def get(self, name: str) -> Client:
        """AppError unknown_name."""
        digest = self._digests.get(name)
        if digest is None:
            raise AppError("unknown_name", f"There is no client named {name[:64]!r}.", "See `gatehouse client list`.")
        return self._by_digest[digest]

    def digest_of(self, name: str) -> bytes:
        return self._digests[name]

    def identify(self, request: Incoming, now_us: int) -> Client:
        """The client whose key the request carries. AppError key_missing, key_malformed, key_unknown, key_blocked, key_in_url."""
        key = _key(request)
        digest = self.digest(key)
        client = self._by_digest.get(digest)
        if client is None or not hmac.compare_digest(self._digests[client.name], digest):
            raise AppError("key_unknown", "This key is not one of Gatehouse's client keys.", "Add a client in Gatehouse and use its key.")
        if client.blocked:
            raise KeyBlockedError(client)
        self.seen[client.name] = now_us
        return client


class KeyBlockedError(AppError):
    """A known key that was blocked: the only refusal that names a client."""

    def __init__(self, client: Client) -> None:
        super().__init__("key_blocked", "This client's key is blocked.", "Unblock the client in Gatehouse.")
        self.client: Final = client


def _key(request: Incoming) -> str:
    headers = request.headers
    if request.query and any(part.startswith("key=") for part in request.query.split("&")):
        raise AppError("key_in_url", "A key in the address ends up in logs and is refused.", "Send it in a header: Authorization: Bearer.")
    candidates = [headers[name] for name in HEADERS if name in headers]
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            candidates.insert(0, value.strip())
        elif not candidates:
            raise AppError("key_malformed", "The Authorization header is not a bearer token.", "Send Authorization: Bearer and the key.")
    if not candidates:
        raise AppError("key_missing", "No key came with the request.", "Send a Gatehouse client key: Authorization: Bearer sk-gh-...")
    for key in candidates:
        if key.startswith(PREFIX) and len(key) <= _LONGEST:
            return key
    raise AppError(
        "key_malformed", "This is not a Gatehouse client key (they start with sk-gh-).", "Use the key of a client, not a provider's."
    )
