"""The keeper's side of the keys: it holds the master key, derives what the engine needs, and asks the vault child for the rest.

The child is started when something is asked, and ended when nothing was asked for ten seconds. A question that may prompt the person
gets a child of its own, so that background work does not wait behind a dialog.

A keyring may lock and unlock while Gatehouse runs. A child of its own watches for that (`locks`), and any refusal of the keyring is a
reason to look, so `view` follows the keyring. The master key stays here meanwhile, unless it is told to be forgotten.

In a session nothing is kept: the master key and the secrets are in this process' memory, and no child is started.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.core.errors import AppError
from app.core.runs import SECRET_BYTES, Runs
from app.keeper.locks import Locks
from app.keeper.sealing import ENGINE_LABELS, KEY_BYTES, LOCKED_FILE, REMEMBERED_LABEL, SEALED_LABEL, derived, provider_item
from app.system.channel import Caller
from app.system.children import Child
from app.system.paths import Paths

Wanted = Literal["auto", "keyring", "passphrase", "session"]
Mode = Literal["keyring", "passphrase", "session"]
State = Literal["starting", "ready", "locked", "absent", "empty", "denied"]

SESSION_PLACE: Final = "memory, until Gatehouse quits"
_IDLE_S: Final = 10.0
_ASK_S: Final = 30.0
_PROMPT_S: Final = 120.0
_SAID_S: Final = 15.0  # how long the outcome of a person's own click is shown before it is again just a locked keyring
_RUNS: Final = "audit-run"
_REFUSALS: Final = ("vault_locked", "vault_absent", "vault_denied")


@dataclass(frozen=True, slots=True)
class View:
    """How the vault is, in words for a person."""

    mode: Mode
    state: State
    place: str
    message: str = ""

    @property
    def closed(self) -> bool:
        """A keyring that may open again by itself."""
        return self.mode == "keyring" and self.state in ("locked", "absent", "denied")

    def word(self) -> str:
        """For scripts, after `keys=`."""
        if self.state == "locked" and self.mode == "passphrase":
            return "passphrase-needed"
        return {"absent": "unavailable", "empty": "missing", "denied": "refused"}.get(self.state, self.state)

    def fields(self) -> dict[str, object]:
        return {"mode": self.mode, "state": self.state, "place": self.place, "message": self.message}


class Vault:
    """Safe from any thread; everything but `view`, `engine_keys` and the two closings blocks.

    start_child: starts a vault child. on_change: called after the view changed, on the thread that changed it. on_hint: called when the
    keyring may be another than `view` says, on a thread that must not wait; `look` is due then.
    """

    def __init__(
        self,
        paths: Paths,
        wanted: Wanted,
        *,
        start_child: Callable[[], Child],
        on_change: Callable[[], None],
        on_hint: Callable[[], None],
    ) -> None:
        self._boot: Final[dict[str, object]] = {"data_dir": os.fspath(paths.data_dir)}
        self._wanted: Final = wanted
        self._start_child: Final = start_child
        self._on_change: Final = on_change
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._asker: _Asker | None = None
        self._askers: set[_Asker] = set()
        self._secrets: dict[str, str] = {}
        self._closed = False
        self._stale = False
        self._clicked_s = 0.0
        self._refused: set[str] = set()  # items of the keyring, as `Strongbox.open` wants them
        self._locks: Final = Locks(start_child, on_hint)
        self.asked = wanted == "session"  # is `view` an answer, or only what is said before there is one?
        self._master: bytes | None = None
        self._runs: Runs | None = None  # kept in the vault before any engine has them
        if wanted == "session":
            self._master, self._runs = os.urandom(KEY_BYTES), Runs((os.urandom(SECRET_BYTES),))
            self.view = View("session", "ready", SESSION_PLACE)
        else:
            mode: Mode = "passphrase" if wanted == "passphrase" else "keyring"
            self.view = View(mode, "starting", "the system's keyring" if mode == "keyring" else LOCKED_FILE, "Gatehouse is still starting.")

    def engine_keys(self) -> dict[str, str] | None:
        """The keys the engine works with, or None while the master key is not here. One for each use, none for sealed secrets."""
        master = self._master
        return None if master is None else {label: derived(master, label).hex() for label in ENGINE_LABELS}

    def runs(self) -> dict[str, object] | None:
        """The secrets that entries of the audit log are tagged with, beside `engine_keys`."""
        runs = self._runs
        return None if self._master is None or runs is None else runs.fields()

    def runs_sealed(self) -> None:
        """What earlier runs left is signed: their secrets count no more. AppError vault_*."""
        runs, sealing = self._runs, self._sealing()
        if runs is None or runs == runs.sealed():
            return
        if self._wanted != "session":
            self._item("runs", runs.sealed().fields() | {"item": _RUNS, "sealing": sealing})
        self._runs = runs.sealed()

    def remembering_key(self) -> bytes | None:
        """The key under which the list of destinations is remembered; None while the master key is not here, and in a session."""
        master = self._master
        return None if master is None or self._wanted == "session" else derived(master, REMEMBERED_LABEL)

    def open(self, *, prompt: bool, passphrase: str | None = None) -> View:
        """Try to reach the master key. prompt: only when a person asked for it. AppError `vault_passphrase`, `vault_denied`, `data_folder`.

        Once it is here it stays: a keyring that locks later does not stop a running engine.
        """
        with self._opening:
            if self._master is None or (prompt and self.view.mode == "keyring"):
                self._reach(prompt=prompt, passphrase=passphrase)
        if self._stale:
            self.look()
        return self.view

    def look(self) -> None:
        """How the keyring is now. Never prompts. Returns at once while somebody else asks: whoever it is looks once more afterwards."""
        self._stale = self.asked and self.view.mode == "keyring"
        while self._stale and self._opening.acquire(blocking=False):
            try:
                self._stale = False
                self._reach(prompt=False, passphrase=None)
            except AppError:
                return  # the folder is at fault, not the keyring: whoever needs the vault is told
            finally:
                self._opening.release()

    def keep_watch(self) -> None:
        """See to it that a keyring that locks or opens is noticed, where the system tells of it. Blocks for a moment when `watch_due`."""
        if self._is_watched():
            self._locks.keep()
        else:
            self._locks.end()

    def watch_due(self) -> bool:
        return self._locks.due(wanted=self._is_watched())

    def _is_watched(self) -> bool:
        return self.asked and self.view.mode == "keyring"

    def forget(self) -> None:
        """Drop the master key, if the keyring that holds it is locked now. Nothing is read or kept until it opens."""
        with self._opening:
            if self.view.closed:
                self._master = None
        if self._stale:  # a hint that came meanwhile
            self.look()

    def _reach(self, *, prompt: bool, passphrase: str | None) -> None:
        """Ask the child, and show what it says. AppError as `open`."""
        refused = sorted(self._refused)
        run = os.urandom(SECRET_BYTES).hex() if self._runs is None else None
        fields: dict[str, object] = {"wanted": self._wanted, "prompt": prompt, "passphrase": passphrase, "refused": refused, "run": run}
        try:
            answer = self._ask("open", fields, apart=prompt)
        except AppError as error:
            if error.code in ("vault_passphrase", "vault_denied", "data_folder"):
                raise
            failure = _silent(self.view.place) if error.code == "engine_absent" else error
            self._show(View(self.view.mode, "absent", self.view.place, failure.sentence()))
            return
        view = View(answer["mode"], answer["state"], answer["place"], answer["message"])
        if answer["master"] is not None:
            master = bytes.fromhex(answer["master"])
            if self._master is not None and not hmac.compare_digest(self._master, master):
                message = f"{view.place} holds another master key than the one this run was started with."
                view = View(view.mode, "empty", view.place, message)
            else:
                self._runs = self._runs or Runs.of_fields(answer["runs"])
                self._master = master
        if view.state == "ready":
            self._refused.difference_update(refused)
        if prompt:
            self._clicked_s = time.monotonic()
        elif view.state == "locked" and self.view.state == "denied" and time.monotonic() - self._clicked_s < _SAID_S:
            return
        self._show(view)

    def secret_get(self, name: object) -> str:
        """AppError vault_locked, vault_absent, vault_denied, vault_empty, provider_key_missing."""
        name, sealing = _name(name), self._sealing()
        if self._wanted == "session":
            with self._lock:
                secret = self._secrets.get(name)
            if secret is None:
                raise AppError("provider_key_missing", f"There is no key for “{name}” in this session.", "Enter the key.")
            return secret
        return str(self._item("secret_get", {"name": name, "sealing": sealing})["secret"])

    def secret_put(self, name: object, secret: object) -> str:
        """The place it is kept at, in words."""
        name, sealing = _name(name), self._sealing()
        if not isinstance(secret, str) or not secret:
            raise AppError("key_required", "There is no key to keep.")
        if self._wanted == "session":
            with self._lock:
                self._secrets[name] = secret
            return SESSION_PLACE
        return str(self._item("secret_put", {"name": name, "secret": secret, "sealing": sealing})["place"])

    def secret_remove(self, name: object) -> None:
        name, _ = _name(name), self._sealing()
        if self._wanted == "session":
            with self._lock:
                self._secrets.pop(name, None)
        else:
            self._item("secret_remove", {"name": name})

    def audit_get(self, item: object) -> str | None:
        """The audit log's `audit-anchor` or `audit-key`, None when there is none yet."""
        item, sealing = _name(item), self._sealing()
        if self._wanted == "session":
            with self._lock:
                return self._secrets.get(f"\0{item}")  # no provider's name begins so
        found = self._item("audit_get", {"item": item, "sealing": sealing})["secret"]
        return None if found is None else str(found)

    def audit_put(self, item: object, text: object) -> str:
        """The place it is kept at, in words."""
        item, sealing = _name(item), self._sealing()
        if not isinstance(text, str) or not text:
            raise AppError("internal", "The audit log has nothing to keep.")
        if self._wanted == "session":
            with self._lock:
                self._secrets[f"\0{item}"] = text
            return SESSION_PLACE
        return str(self._item("audit_put", {"item": item, "secret": text, "sealing": sealing})["place"])

    def close_idle(self) -> None:
        """End the child when nobody asked it for a while."""
        with self._lock:
            asker = self._asker
            if asker is None or asker.busy or time.monotonic() - asker.used_s < _IDLE_S:
                return
            self._asker = None
        asker.end()

    def close(self) -> None:
        """End every child, also one that shows a dialog, and forget the keys."""
        with self._lock:
            self._closed = True
            askers, self._asker = list(self._askers), None
            self._secrets.clear()
        self._locks.end(for_good=True)
        for asker in askers:
            asker.end()
        self._master = None

    def children(self) -> list[Child]:
        with self._lock:
            return [asker.child for asker in self._askers] + self._locks.children()

    def _show(self, view: View) -> None:
        changed, self.view, self.asked = view != self.view or not self.asked, view, True
        if changed:
            self._on_change()

    def _sealing(self) -> str:
        """The key for sealed secrets. AppError as the view says when it is not here."""
        master, view = self._master, self.view
        if master is None:
            code = "vault_locked" if view.state == "starting" else f"vault_{view.state}"
            raise AppError(code, view.message or f"{view.place} is {view.state}.")
        return derived(master, SEALED_LABEL).hex()

    def _item(self, op: str, fields: dict[str, object]) -> dict[str, Any]:
        """The child's answer about one item. A refusal says that the keyring is closed, an answer that it is open: `view` follows."""
        try:
            answer = self._ask(op, fields)
        except AppError as error:
            if error.code == "vault_locked":
                self._refused.add(str(fields["item"]) if "item" in fields else provider_item(str(fields["name"])))
            if error.code in _REFUSALS and not self.view.closed:
                self.look()
            raise
        if self.view.closed:
            self.look()
        return answer

    def _ask(self, op: str, fields: dict[str, object], *, apart: bool = False) -> dict[str, Any]:
        """The child's answer. AppError of the child; `engine_absent` for `open`, `vault_absent` for others, when it is silent or dies."""
        for last in (apart, True):
            asker = self._apart() if apart else self._shared()
            started = time.monotonic()
            try:
                return asker.ask(op, fields, _PROMPT_S if apart else _ASK_S)
            except AppError as error:
                if error.code != "engine_absent":
                    raise
                asker.end()
                died = time.monotonic() - started < _ASK_S / 2
                if died and not last:
                    continue  # it may have been dead before it was asked: once more, with another one
                if op == "open":
                    raise
                if self.view.mode == "keyring":
                    self._show(View("keyring", "absent", self.view.place, _silent(self.view.place).sentence()))
                break
            finally:
                if apart:
                    asker.end()
        raise _silent(self.view.place)

    def _shared(self) -> _Asker:
        with self._lock:
            if self._asker is None or self._asker.ended:
                self._asker = self._new()
            self._asker.take()
            return self._asker

    def _apart(self) -> _Asker:
        with self._lock:
            asker = self._new()
            asker.take()
            return asker

    def _new(self) -> _Asker:
        if self._closed:
            raise AppError("draining", "Gatehouse is stopping.")
        try:
            asker = _Asker(self._start_child(), self._boot, self._forget)
        except OSError as error:
            raise AppError("vault_absent", f"The process that reads keys cannot be started ({error.strerror}).", "Try again.") from None
        self._askers.add(asker)
        return asker

    def _forget(self, asker: _Asker) -> None:
        with self._lock:
            self._askers.discard(asker)


class _Asker:
    """One vault child and the questions to it."""

    def __init__(self, child: Child, boot: dict[str, object], on_end: Callable[[_Asker], None]) -> None:
        self.child: Final = child
        self.busy = 0
        self.used_s = time.monotonic()
        self.ended = False
        self._on_end = on_end
        self._lock = threading.Lock()
        self._caller = Caller(child.channel, lambda message, sockets: None, self._eof, "vault")
        self._caller.send("boot", boot)
        self._caller.start()

    def take(self) -> None:
        """A question is coming: not idle until it was asked."""
        with self._lock:
            self.busy += 1

    def ask(self, op: str, fields: dict[str, object], timeout_s: float) -> dict[str, Any]:
        try:
            return self._caller.call(op, fields, timeout_s=timeout_s)[0]
        finally:
            with self._lock:
                self.used_s = time.monotonic()
                self.busy -= 1

    def end(self) -> None:
        """Close its channel, which ends it, and see to it that it does."""
        self.ended = True
        self.child.channel.close()
        self.child.end(1.0)
        self._on_end(self)

    def _eof(self) -> None:
        self.ended = True
        self._on_end(self)


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise AppError("name_invalid", "A secret needs a name.")
    return name


def _silent(place: str) -> AppError:
    return AppError("vault_absent", f"{place[:1].upper()}{place[1:]} does not answer.", "Start it or log in again, then click Unlock.")
