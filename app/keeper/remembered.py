"""Which destinations were declared when the keeper last ran, so that only real changes are announced, and none goes unannounced.

Kept as HMACs under a key of their own: the file shows neither accounts nor hosts, and nobody without the key can add to it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Final

from app.core.records import Destination
from app.system.files import read_own
from app.system.paths import write_private


class Remembered:
    """key: None remembers nothing (a session)."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        self._path: Final = path
        self._key: Final = key
        self._marks = self._read() if key is not None else set()

    def has(self, account: str, destination: Destination) -> bool:
        return self._mark(account, destination) in self._marks

    def add(self, account: str, destination: Destination) -> None:
        """AppError `data_folder` when it cannot be written."""
        self._marks.add(self._mark(account, destination))
        self._write()

    def remove(self, account: str, destination: Destination) -> None:
        """AppError `data_folder` when it cannot be written."""
        self._marks.discard(self._mark(account, destination))
        self._write()

    def _mark(self, account: str, destination: Destination) -> str:
        text = json.dumps([account, str(destination), destination.local]).encode()
        return hmac.digest(self._key or b"", text, hashlib.sha256).hex()

    def _read(self) -> set[str]:
        try:
            marks = json.loads(read_own(self._path))
        except (OSError, ValueError, RecursionError):
            return set()
        return {mark for mark in marks if isinstance(mark, str)} if isinstance(marks, list) else set()

    def _write(self) -> None:
        if self._key is not None:
            write_private(self._path, json.dumps(sorted(self._marks)).encode())
