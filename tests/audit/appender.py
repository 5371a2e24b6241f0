"""A process that appends, signs and remembers until it is killed: `python -m tests.audit.appender FOLDER`.

The vault is a file that is put in place in one step. Each line on stdout is an acknowledgement: the number of the newest entry.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from app.core.events import ClientAdded
from app.store import audit, sealing
from app.store.database import Store
from app.store.sealing import Signer
from app.verifier import Anchor
from tests.store.rows import KEY, NOW_US, row


class FileVault:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "vault"

    def read(self) -> dict[str, str]:
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}

    def put(self, **changed: str) -> None:
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.read() | changed))
        part.replace(self.path)

    def anchor(self) -> Anchor | None:
        text = self.read().get("anchor")
        return None if text is None else Anchor.of(text)


def start(store: Store, vault: FileVault) -> Signer:
    """As the engine does: the key turns."""
    said = vault.read()
    with store.read() as connection:
        current = sealing.current_key(connection)
    if current is None:
        signer = Signer(bytes.fromhex(said["key"]), 0) if "key" in said else Signer.fresh(0)
        vault.put(key=signer.private.hex(), epoch="0")
        with store.write() as connection:
            sealing.genesis(connection, signer, NOW_US)
        return signer
    epoch = int(said["epoch"])
    keys = [Signer(bytes.fromhex(said["key"]), epoch)]
    if "next" in said:
        keys.append(Signer(bytes.fromhex(said["next"]), epoch + 1))
    (signer,) = [key for key in keys if (key.public, key.epoch) == current]
    following = Signer.fresh(signer.epoch + 1)
    vault.put(key=signer.private.hex(), epoch=str(signer.epoch), next=following.private.hex())
    with store.write() as connection:
        sealing.turn(connection, signer, following, NOW_US)
    vault.put(key=following.private.hex(), epoch=str(following.epoch), next=Signer.fresh(following.epoch + 1).private.hex())
    return following


def main(folder: Path) -> None:
    from app.store import ledger

    store, vault = Store.open(folder / "g.db", KEY), FileVault(folder)
    signer = start(store, vault)
    with store.read() as connection:
        number = audit.newest(connection)
    while True:
        number += 1
        with store.write() as connection:
            audit.append(connection, ClientAdded(name=f"client-{number}", key_hint=""), "person", NOW_US + number)
            if number % 3 == 0:
                ledger.record(connection, [row(number)])
            newest = audit.newest(connection)
        os.write(1, f"{newest}\n".encode())
        if number % 5 == 0:
            with store.write() as connection:
                sealing.checkpoint(connection, signer, NOW_US + number)
            with store.read() as connection:
                anchor = sealing.anchor_of(connection)
            assert anchor is not None
            vault.put(anchor=anchor.text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
