"""The keys that sign the audit log, as the vault keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from app.store.sealing import Signer


@dataclass(slots=True)
class Keys:
    """The item `audit-key`: the key in use, and during a turn the one that follows."""

    key: Signer
    following: Signer | None = None

    def text(self) -> str:
        following = None if self.following is None else self.following.private.hex()
        return json.dumps({"v": 1, "epoch": self.key.epoch, "key": self.key.private.hex(), "next": following}, separators=(",", ":"))

    @staticmethod
    def of(text: str | None) -> Keys | None:
        try:
            said = json.loads(text or "")
            epoch = int(said["epoch"])
            following = said["next"]
            return Keys(
                Signer(bytes.fromhex(said["key"]), epoch), None if following is None else Signer(bytes.fromhex(following), epoch + 1)
            )
        except (ValueError, TypeError, KeyError):
            return None
