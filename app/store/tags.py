"""Tags beside the links of the audit log: `HMAC-SHA256(secret of the run, "gatehouse-audit-tag-v1" 00 | hash of the entry)`.

The chain and its signatures can be checked by anybody; a tag says to us alone that a run of this gateway wrote the entry. It counts as long
as no signature covers the entry: nothing is signed over what bears no tag of a run whose secret the vault holds (`core.runs`).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from app.core import chain
from app.core.runs import Runs

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_DOMAIN: Final = b"gatehouse-audit-tag-v1\0"
_OPTION: Final = "tags"
_TAIL: Final = "SELECT seq, body, hash, tag FROM audit WHERE seq >= ? ORDER BY seq"
_AT_ONCE: Final = 1_000


class Tags:
    """Makes tags of this run, and knows those of the runs whose entries are not all signed yet."""

    def __init__(self, runs: Runs) -> None:
        """ValueError without any secret."""
        if not runs.keys:
            raise ValueError("a run without a secret")
        self._keys: Final = tuple(reversed(runs.keys))
        self._untagged: Final = runs.untagged

    def of(self, digest: bytes) -> bytes:
        """The tag of the entry with that hash."""
        return hmac.digest(self._keys[0], _DOMAIN + digest, "sha256")

    def knows(self, digest: bytes, tag: bytes) -> bool:
        return any(hmac.compare_digest(hmac.digest(key, _DOMAIN + digest, "sha256"), tag) for key in self._keys)

    def strange(self, connection: Connection, after: int) -> int | None:
        """The number of the first entry after that one that no run of this gateway wrote so; None when there is none.

        Where the vault never held a secret before this run, what lies untagged before the first tag is from an older version.
        """
        untagged, before = self._untagged, b""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(_TAIL, (after,))
            while rows := cursor.fetchmany(_AT_ONCE):
                for seq, body, digest, tag in rows:
                    if seq == after:
                        before = digest
                        continue
                    if not _follows(before, seq, body, digest) or not ((untagged and tag == b"") or self._bears(digest, tag)):
                        return int(seq) if type(seq) is int else after + 1
                    untagged, before = untagged and tag == b"", digest
        finally:
            cursor.close()
        return None

    def _bears(self, digest: bytes, tag: object) -> bool:
        return type(tag) is bytes and self.knows(digest, tag)

    def __repr__(self) -> str:
        return f"Tags({len(self._keys)} runs)"


def _follows(before: object, seq: object, body: object, digest: object) -> bool:
    """Whether the hash of an entry is that of what it says; before: the hash of the one before it, b"" where that is not there."""
    if type(body) is not bytes or type(digest) is not bytes or type(seq) is not int or type(before) is not bytes:
        return False
    return not before or chain.link(before, seq, body) == digest


def of(connection: Connection) -> Tags | None:
    """Those of the store that the connection belongs to; None for one that was opened without a vault."""
    found: Tags | None = connection.get_execution_options().get(_OPTION)
    return found


def options(tags: Tags | None) -> dict[str, object]:
    """What a store's connections carry."""
    return {_OPTION: tags}


def sentence(seq: int) -> str:
    return f"Entry {seq} bears no tag of a run of this gateway: it, and what follows it, was put in while the gateway was not running."
