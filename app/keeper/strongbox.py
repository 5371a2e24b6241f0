"""vault.json, the keyring's items, and the one master key: where it is, how it is made, and when it must not be made.

    {"version": 1, "mode": "keyring" | "passphrase", "service": "Gatehouse", "sealed": {NAME: TEXT},
     "kdf": {...}, "check": HEX}                                                        the last two for a passphrase only

Keyring items: `master-key`, `provider/NAME`, `audit-anchor`, `audit-key` and `audit-run` under the service. A secret that the keyring
cannot hold is sealed here, and its item says `sealed:1`. With a passphrase everything is sealed here, the master key too; the keyring is
not touched.

A master key that is missing beside existing data is never replaced by a new one: that would lock the data away for good.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.core.errors import AppError
from app.core.runs import Runs
from app.core.secret import Secret
from app.keeper.sealing import KEY_BYTES, LOCKED_FILE, NotOpenedError, Stretching, derived, provider_item, seal, unseal
from app.system.keyrings import Keyring
from app.system.paths import Paths, write_private

Mode = Literal["keyring", "passphrase"]
Wanted = Literal["auto", "keyring", "passphrase"]
State = Literal["ready", "locked", "absent", "empty", "denied"]

SERVICE: Final = "Gatehouse"
_MASTER: Final = "master-key"
_SEALED: Final = "sealed:1"
# What the audit log keeps outside of the database: how far it had come, and the key that signs its checkpoints.
AUDIT_ITEMS: Final = ("audit-anchor", "audit-key")
# The secrets that the runs tag their entries with, as long as no signature covers these (`core.runs`).
_RUN_ITEM: Final = "audit-run"
_PASSPHRASE_MIN: Final = 8
_PROBE_CHARACTERS: Final = 200  # about the size of a provider's key

_CHOICE: Final = (
    "Nothing was written. Choose: start a keyring service; or --vault passphrase (keys in a file locked by a passphrase); "
    "or --vault session (nothing is kept); or stop."
)
_MISSING: Final = (
    "Its data is unchanged, but cannot be read without that key. Restore the key, e.g. from a backup of the keyring, or name another "
    "folder with --data-dir. Gatehouse does not make a new one, because that would lock the data away for good."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a person is told, and the master key if it was reached."""

    mode: Mode
    state: State
    place: str
    message: str = ""
    service: str = ""
    master: bytes | None = None


class Strongbox:
    """The vault of one data folder. Blocks; lives in the vault child.

    default_folder: this is the folder used when none is named, whose service name is fixed, so that it can be found again.
    """

    def __init__(self, paths: Paths, keyring: Keyring, *, default_folder: bool) -> None:
        self._paths: Final = paths
        self._keyring: Final = keyring
        self._default: Final = default_folder

    def open(self, wanted: Wanted, *, prompt: bool, passphrase: Secret | None, refused: Sequence[str] = ()) -> Opened:
        """Reach the master key, making it only for a folder without data.

        prompt: the keyring may ask the person. refused: items that the keyring refused lately; some ask the person for each item, so it
        is open only when these can be read as well. AppError `vault_passphrase` for a wrong or too short one, `vault_denied` when the
        folder's keys are elsewhere than wanted, `data_folder` when vault.json cannot be written.
        """
        try:
            file = self._read()
        except ValueError:
            return Opened("keyring", "empty", self._keyring.place, f"vault.json, which says where the keys are, is damaged. {_MISSING}")
        if file is not None:
            mode: Mode = file["mode"]
            if wanted not in ("auto", mode):
                place = LOCKED_FILE if mode == "passphrase" else "the system's keyring"
                raise AppError(
                    "vault_denied", f"The keys of this data folder are in {place}.", f"Start with --vault {mode}, or without --vault."
                )
            if mode == "passphrase":
                return self._open_passphrase(file, passphrase)
            return self._with(refused, file["service"], self._open_keyring(file, prompt=prompt))
        if self._has_data() and not (self._default and wanted != "passphrase"):
            return Opened(
                "keyring",
                "empty",
                self._keyring.place,
                f"This folder has data, but vault.json, which says where its key is, is missing. {_MISSING}",
            )
        if wanted == "passphrase":
            return self._new_passphrase(passphrase)
        opened = self._open_keyring(None, prompt=prompt)
        if opened.state == "absent" and wanted == "auto" and not self._has_data():
            if passphrase is not None:
                return self._new_passphrase(passphrase)  # the person chose it where the choice was explained
            return Opened("keyring", "absent", opened.place, f"{opened.message} {_CHOICE}")
        return opened

    def get(self, name: str, sealing: bytes) -> Secret:
        """The secret of a provider account. AppError vault_* or `provider_key_missing`."""
        try:
            found = self._item(_item(name), sealing)
        except (NotOpenedError, UnicodeDecodeError):
            raise AppError("provider_key_missing", f"The sealed key for “{name}” was changed or damaged.", "Enter the key again.") from None
        if found is None:
            raise AppError("provider_key_missing", f"{self._place()} has no key for “{name}”.", "Enter the key again.")
        return found

    def put(self, name: str, secret: Secret, sealing: bytes) -> str:
        """Keep a secret; the place it went to, in words."""
        return self._put(_item(name), secret, sealing)

    def audit_get(self, item: str, sealing: bytes) -> Secret | None:
        """One of `AUDIT_ITEMS`, None when there is none. AppError vault_*; vault_denied when what was sealed is changed or damaged."""
        try:
            return self._item(_audit_item(item), sealing)
        except (NotOpenedError, UnicodeDecodeError):
            raise AppError("vault_denied", f"The sealed item “{item}” of vault.json was changed or damaged.") from None

    def audit_put(self, item: str, secret: Secret, sealing: bytes) -> str:
        return self._put(_audit_item(item), secret, sealing)

    def begin_run(self, opened: Opened, fresh: bytes, sealing: bytes) -> tuple[Opened, Runs | None]:
        """Have the secret of a new run kept, before anything is tagged with it: with those of earlier runs that still count.

        A vault that does not keep it is as good as closed. What was kept and cannot be read any more counts as nothing: what those runs
        left unsigned is then a finding. AppError data_folder.
        """
        try:
            try:
                kept = self._item(_RUN_ITEM, sealing)
                runs = Runs.of(None if kept is None else kept.reveal()).begun(fresh)
            except (NotOpenedError, UnicodeDecodeError):
                runs = Runs().begun(fresh)
            self._put(_RUN_ITEM, Secret(runs.text()), sealing)
        except AppError as error:
            return replace(opened, state=_state(error), message=error.sentence(), master=None), None
        return opened, runs

    def keep_runs(self, runs: Runs, sealing: bytes) -> None:
        """AppError vault_*."""
        self._put(_RUN_ITEM, Secret(runs.text()), sealing)

    def _place(self) -> str:
        file = self._need()
        return self._keyring.place if file["mode"] == "keyring" else LOCKED_FILE[:1].upper() + LOCKED_FILE[1:]

    def _item(self, item: str, sealing: bytes) -> Secret | None:
        """NotOpenedError, UnicodeDecodeError when what was sealed was changed."""
        file = self._need()
        if file["mode"] == "keyring":
            found = self._keyring.get(file["service"], item)
            if found is None or found.reveal() != _SEALED:
                return found
        if item not in file["sealed"]:
            return None
        return Secret(unseal(sealing, _context(file["service"], item), file["sealed"][item]).decode("utf-8"))

    def _put(self, item: str, secret: Secret, sealing: bytes) -> str:
        file = self._need()
        in_keyring = file["mode"] == "keyring"
        fits = in_keyring and self._keyring.holds(secret) and not secret.reveal().startswith("sealed:")
        if fits:
            self._keyring.put(file["service"], item, secret)
            self._forget(file, item)
            return self._keyring.place
        # Sealed first, the reference after: whatever dies in between, the item never points to nothing.
        file["sealed"][item] = seal(sealing, _context(file["service"], item), secret.reveal().encode("utf-8"))
        self._write(file)
        if in_keyring:
            self._keyring.put(file["service"], item, Secret(_SEALED))
            return f"{self._keyring.place} (sealed, because it is too large for an item)"
        return LOCKED_FILE

    def remove(self, name: str) -> None:
        file = self._need()
        if file["mode"] == "keyring":
            self._keyring.remove(file["service"], _item(name))
        self._forget(file, _item(name))

    # the keyring

    def _open_keyring(self, file: dict[str, Any] | None, *, prompt: bool) -> Opened:
        standing = self._keyring.standing(prompt=prompt)
        if standing.state != "ready":
            return Opened("keyring", standing.state, standing.place, standing.message)
        service = file["service"] if file is not None else SERVICE if self._default else f"{SERVICE}-{os.urandom(3).hex()}"
        try:
            stored = self._keyring.get(service, _MASTER)
            if stored is None and not self._has_data():
                stored = self._new_master(service)
        except AppError as error:
            return Opened("keyring", _state(error), standing.place, error.sentence())
        if stored is None:
            message = f"{standing.place} has no item “{_MASTER}” for the service “{service}”, which this data folder needs. {_MISSING}"
            return Opened("keyring", "empty", standing.place, message)
        master = _key(stored.reveal())
        if master is None:
            message = f"The item “{_MASTER}” for the service “{service}” in {standing.place} is not a key. {_MISSING}"
            return Opened("keyring", "empty", standing.place, message)
        if file is None:
            self._write({"version": 1, "mode": "keyring", "service": service, "sealed": {}})
        return Opened("keyring", "ready", standing.place, "", service, master)

    def _with(self, refused: Sequence[str], service: str, opened: Opened) -> Opened:
        try:
            for item in refused if opened.state == "ready" else ():
                self._keyring.get(service, item)
        except AppError as error:
            return replace(opened, state=_state(error), message=error.sentence())
        return opened

    def _new_master(self, service: str) -> Secret:
        """Prove that the keyring keeps what it is given, then give it a new master key and read it back. AppError vault_*."""
        for name, value in (("probe", os.urandom(_PROBE_CHARACTERS // 2).hex()), (_MASTER, os.urandom(KEY_BYTES).hex())):
            self._keyring.put(service, name, Secret(value))
            back = self._keyring.get(service, name)
            if back is None or not hmac.compare_digest(back.reveal(), value):
                raise AppError("vault_denied", f"{self._keyring.place} did not keep what it was given.", "Look into its settings.")
        self._keyring.remove(service, "probe")
        return Secret(value)

    # the passphrase

    def _open_passphrase(self, file: dict[str, Any], passphrase: Secret | None) -> Opened:
        if passphrase is None:
            return Opened("passphrase", "locked", LOCKED_FILE, "Give the passphrase of this data folder.")
        try:
            key = Stretching.of(file["kdf"]).key(passphrase.reveal())
            if not hmac.compare_digest(derived(key, "check").hex(), str(file["check"])):
                raise AppError("vault_passphrase", "This is not the passphrase of this data folder.", "Try again.")
            master = unseal(key, _context(file["service"], _MASTER), file["sealed"][_MASTER])
        except (KeyError, ValueError, NotOpenedError):
            return Opened("passphrase", "empty", LOCKED_FILE, f"vault.json, which holds the locked key, is damaged. {_MISSING}")
        return Opened("passphrase", "ready", LOCKED_FILE, "", file["service"], master)

    def _new_passphrase(self, passphrase: Secret | None) -> Opened:
        if passphrase is None:
            return Opened("passphrase", "locked", LOCKED_FILE, "Choose a passphrase for this data folder. Nobody can recover it.")
        if len(passphrase.reveal()) < _PASSPHRASE_MIN:
            raise AppError("vault_passphrase", f"A passphrase has at least {_PASSPHRASE_MIN} characters.", "Choose a longer one.")
        service, stretching, master = f"{SERVICE}-{os.urandom(3).hex()}", Stretching.fresh(), os.urandom(KEY_BYTES)
        key = stretching.key(passphrase.reveal())
        sealed = {_MASTER: seal(key, _context(service, _MASTER), master)}
        file = {"version": 1, "mode": "passphrase", "service": service, "kdf": stretching.fields(), "check": derived(key, "check").hex()}
        self._write(file | {"sealed": sealed})
        return Opened("passphrase", "ready", LOCKED_FILE, "", service, master)

    # the file

    def _has_data(self) -> bool:
        """Is there anything that only the old master key opens?"""
        journal = self._paths.journal
        return self._paths.database.exists() or (journal.is_dir() and any(journal.iterdir())) or self._has_sealed()

    def _has_sealed(self) -> bool:
        try:
            file = self._read()
        except ValueError:
            return True
        return file is not None and bool(file["sealed"])

    def _need(self) -> dict[str, Any]:
        try:
            file = self._read()
        except ValueError:
            file = None
        if file is None:
            raise AppError("vault_empty", "vault.json, which says where the keys are, is missing or damaged.", "Restore it from a backup.")
        return file

    def _read(self) -> dict[str, Any] | None:
        """vault.json, or None if there is none. ValueError when it is not what we write."""
        try:
            file = json.loads(self._paths.vault.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, RecursionError):
            raise ValueError("unreadable") from None
        if (
            not isinstance(file, dict)
            or file.get("version") != 1
            or file.get("mode") not in ("keyring", "passphrase")
            or not isinstance(file.get("service"), str)
            or not isinstance(file.get("sealed"), dict)
            or not all(isinstance(sealed, str) for sealed in file["sealed"].values())
        ):
            raise ValueError("not a vault file")
        return file

    def _write(self, file: dict[str, Any]) -> None:
        write_private(self._paths.vault, json.dumps(file, indent=1).encode() + b"\n")

    def _forget(self, file: dict[str, Any], item: str) -> None:
        if file["sealed"].pop(item, None) is not None:
            self._write(file)


def _state(error: AppError) -> State:
    """What a refusal of the keyring says about it. Any other error is raised again."""
    states: dict[str, State] = {"vault_locked": "locked", "vault_absent": "absent", "vault_denied": "denied"}
    if error.code not in states:
        raise error
    return states[error.code]


def _item(name: str) -> str:
    if not name or len(name) > 200 or not name.isprintable():
        raise AppError("name_invalid", "A secret needs a name that can be printed.")
    return provider_item(name)


def _audit_item(item: str) -> str:
    if item not in AUDIT_ITEMS:
        raise AppError("name_invalid", "There is no such item of the audit log.")
    return item


def _context(service: str, item: str) -> str:
    return f"vault.json|{service}|{item}|1"


def _key(text: str) -> bytes | None:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None
