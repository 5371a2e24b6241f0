"""What persons wished for in earlier runs: which destinations were declared, and what the marked settings are.

    {"version": 2, "destinations": [MARK, ...], "settings": {MARK: VALUE} | null, "mac": HEX}

MARK is the HMAC of what it stands for, under a key of its own, so the file shows neither accounts nor hosts nor clients; `mac` covers all
of it, so that nobody without the key can add to it, take away from it, or mix two of them. A file that is not as it was written counts
for nothing: everything is asked again. One file, not two, because which settings were wished for must not be forgotten by removing a file
while the destinations stay.

Version 1 was the bare list of destinations. From it the settings are taken over as they are found (`settings` is null until then).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from app.core.errors import AppError
from app.core.records import Destination
from app.core.wishes import WISHES
from app.system.files import read_own
from app.system.paths import write_private

_SETTINGS_MAX: Final = 2_000


class Remembered:
    """path: None remembers for this run alone (a session). key: None while it is not here; then nothing is known yet.

    Safe from any thread. Whatever is written can fail with AppError `data_folder`: a destination then counts for this run all the same, a
    setting does not.
    """

    def __init__(self, path: Path | None, key: Callable[[], bytes | None], log: Callable[[str], None]) -> None:
        self._path: Final = path
        self._find_key: Final = key if path is not None else lambda: None
        self._key: bytes | None = None if path is not None else os.urandom(32)
        self._log: Final = log
        self._lock: Final = threading.RLock()
        self._places: set[str] = set()
        self._settings: dict[str, str] = {}
        self._adopting = False

    def has(self, account: str, destination: Destination) -> bool:
        with self._lock:
            return self._ready() and self._place(account, destination) in self._places

    def add(self, account: str, destination: Destination) -> None:
        with self._lock:
            if self._ready():
                self._places.add(self._place(account, destination))
                self._write()

    def remove(self, account: str, destination: Destination) -> None:
        with self._lock:
            if self._ready():
                self._places.discard(self._place(account, destination))
                self._write()

    @property
    def adopting(self) -> bool:
        """The file is of a version that knew no settings: they are taken over as they are."""
        with self._lock:
            return self._ready() and self._adopting

    def setting(self, what: str, subject: str, since: int) -> str | None:
        """What was wished for last; None when nothing was. since: when its client was made, so that another one of the same name has
        none of its wishes."""
        with self._lock:
            return self._settings.get(self._mark("setting", what, subject, since)) if self._ready() else None

    def choose(self, what: str, subject: str, since: int, value: str) -> None:
        self.choose_all([(what, subject, since, value)])

    def choose_all(self, chosen: list[tuple[str, str, int, str]]) -> None:
        """Also the end of taking over."""
        with self._lock:
            if not self._ready():
                raise AppError("vault_locked", "What was wished for cannot be remembered while the keys are locked.", "Unlock them first.")
            before, adopting = dict(self._settings), self._adopting
            for what, subject, since, value in chosen:
                mark = self._mark("setting", what, subject, since)
                self._settings.pop(mark, None)  # the newest last, so that the oldest goes when there are too many
                self._settings[mark] = value
            self._let_go()
            self._adopting = False
            try:
                self._write()
            except AppError:
                self._settings, self._adopting = before, adopting
                raise

    def _let_go(self) -> None:
        """Of too many the oldest ones of clients: what counts for all must not be forgotten for them."""
        of_all = {self._mark("setting", what, "", 0) for what, row in WISHES.items() if row.about == "nothing"}
        for mark in [mark for mark in self._settings if mark not in of_all][: max(0, len(self._settings) - _SETTINGS_MAX)]:
            del self._settings[mark]

    def _ready(self) -> bool:
        if self._key is None:
            self._key = self._find_key()
            if self._key is not None and self._path is not None:
                self._read(self._path)
        return self._key is not None

    def _place(self, account: str, destination: Destination) -> str:
        return self._mark(account, str(destination), destination.local)

    def _mark(self, *parts: object) -> str:
        return hmac.digest(self._key or b"", json.dumps(parts).encode(), hashlib.sha256).hex()

    def _read(self, path: Path) -> None:
        try:
            found = json.loads(read_own(path))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError):
            found = None
        match found:
            case list():  # version 1
                self._places, self._adopting = {mark for mark in found if isinstance(mark, str)}, True
            case {"version": 2, "destinations": list(places), "settings": dict() | None as settings, "mac": str(mac)} if (
                mac.isascii() and hmac.compare_digest(mac, self._mac(places, settings))
            ):
                self._places, self._settings, self._adopting = set(places), settings or {}, settings is None
            case _:
                self._log(f"{path.name} is not as it was written: no destination and no setting counts as confirmed before")

    def _mac(self, places: list[Any], settings: dict[str, Any] | None) -> str:
        return self._mark("all of it", 2, places, settings)

    def _write(self) -> None:
        if self._path is not None:
            places, settings = sorted(self._places), None if self._adopting else self._settings
            written = {"version": 2, "destinations": places, "settings": settings, "mac": self._mac(places, settings)}
            write_private(self._path, json.dumps(written).encode())
