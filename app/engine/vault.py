"""What the keeper says of the vault, and what follows from it in the engine.

A change becomes an entry of the audit log, once there is a log. A keyring that locks while Gatehouse runs stops nothing that is in memory,
unless the person chose that keys are forgotten then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from app.control.contract import VaultPolicy, VaultView
from app.core import wishes
from app.core.events import SettingChanged, VaultChanged, VaultRefused, Who
from app.engine.lifeline import Lifeline
from app.engine.status import Status
from app.store import settings

_FORGETS: Final = "vault.forget_on_lock"
_WORDS: Final = {True: "on", False: "off"}


class Vault:
    """`changed()` is called when what a window shows of it is different. Used on the loop only."""

    def __init__(self, status: Status, lifeline: Lifeline, changed: Callable[[], None]) -> None:
        self._status: Final = status
        self._lifeline: Final = lifeline
        self._changed: Final = changed
        self._noted: VaultView | None = None  # as the audit log knows it

    def told(self, fields: dict[str, Any]) -> None:
        """The keeper's word, without keys."""
        status, now = self._status, msgspec.convert(fields, VaultView, strict=False)
        before = status.vault
        since_us = status.now_us() if now.state != before.state else before.since_us
        status.vault = msgspec.structs.replace(now, since_us=since_us, forgets=before.forgets)
        if self._noted is None:
            self._noted = status.vault
        self.follow()

    async def opened(self) -> None:
        """The store has been opened: what the person chose is read, and what could not be written down until now is."""
        opened = self._status.need()

        def read() -> bool:
            with opened.threads.store.read() as connection:
                return settings.get(connection, _FORGETS, wishes.default(_FORGETS)) == "on"

        self._show_policy(forgets=await opened.threads.read(read))
        self.follow()

    def follow(self) -> None:
        """What is due after a change, as far as it is possible now."""
        status = self._status
        if status.opened is None or status.draining:
            return
        self._note()
        if status.vault.state == "ready":
            status.opened.auditor.vault_opened()
        elif status.vault.forgets:
            status.opened.accounts.forget_keys()
            self._lifeline.tell("forget")

    async def choose(self, chosen: VaultPolicy, who: Who) -> VaultView:
        """AppError store_unavailable, confirmation_needed."""
        opened, before, after = self._status.need(), self._status.vault.forgets, chosen.forget_on_lock
        if after != before:
            await opened.marks.want(_FORGETS, _WORDS[after])
            event = SettingChanged(name=_FORGETS, before=_WORDS[before], after=_WORDS[after])

            def write() -> None:
                with opened.threads.store.change(event, who, self._status.now_us()) as connection:
                    settings.put(connection, _FORGETS, _WORDS[after])

            await opened.threads.write(write)
            self._show_policy(forgets=after)
            self.follow()
            self._changed()
        return self._status.vault

    def _show_policy(self, *, forgets: bool) -> None:
        self._status.vault = msgspec.structs.replace(self._status.vault, forgets=forgets)

    def _note(self) -> None:
        """By whoever asked for it, else by the keeper: a keyring locks and unlocks by itself too."""
        status, noted, now = self._status, self._noted, self._status.vault
        recorder = status.need().recorder
        if status.wrong_passphrases is not None:
            count, first_us, last_us = status.wrong_passphrases
            recorder.note(VaultRefused(count=count, first_us=first_us, last_us=last_us), status.unlocker or "keeper")
            status.wrong_passphrases = None
        if noted is None or noted.state == now.state:
            return
        self._noted = now
        who = status.unlocker
        if now.state == "ready":
            status.unlocker = None
        recorder.note(VaultChanged(state=now.state, place=now.place, before=noted.state), who if who and now.state == "ready" else "keeper")
