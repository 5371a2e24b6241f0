"""The secrets with which runs tag the entries of the audit log that no signature covers yet, as the vault keeps them.

One is made for each run of the keeper, by chance, and kept before the first entry is tagged with it; engines of the same run share it.
Those of earlier runs stay until what these runs left is signed. So whoever has the database's key alone can append nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SECRET_BYTES: Final = 32
MOST: Final = 1_000  # runs that died before anything was signed


@dataclass(frozen=True, slots=True, repr=False)
class Runs:
    """keys: oldest first; the last one is of this run. untagged: entries from before there were tags may still be unsigned."""

    keys: tuple[bytes, ...] = ()
    untagged: bool = False

    def begun(self, fresh: bytes) -> Runs:
        return Runs((*self.keys, fresh)[-MOST:], self.untagged)

    def sealed(self) -> Runs:
        """Once a signature covers everything that earlier runs left."""
        return Runs(self.keys[-1:])

    def fields(self) -> dict[str, object]:
        return {"untagged": self.untagged, "keys": [key.hex() for key in self.keys]}

    def text(self) -> str:
        return json.dumps({"v": 1} | self.fields(), separators=(",", ":"))

    @staticmethod
    def of_fields(fields: Mapping[str, object]) -> Runs:
        """ValueError when that is none."""
        keys, untagged = fields.get("keys"), fields.get("untagged")
        if not isinstance(keys, list) or type(untagged) is not bool:
            raise ValueError("no secrets of runs")
        found = tuple(bytes.fromhex(key) for key in keys if isinstance(key, str))
        if len(found) != len(keys) or any(len(key) != SECRET_BYTES for key in found):
            raise ValueError("no secrets of runs")
        return Runs(found, untagged)

    @staticmethod
    def of(text: str | None) -> Runs:
        """As kept. None: no run was ever kept here, so what lies unsigned is from before. What cannot be read counts as nothing."""
        if text is None:
            return Runs(untagged=True)
        try:
            fields = json.loads(text)
            return Runs.of_fields(fields) if isinstance(fields, dict) else Runs()
        except (ValueError, RecursionError):
            return Runs()

    def __repr__(self) -> str:
        return f"Runs({len(self.keys)} keys, untagged={self.untagged})"
