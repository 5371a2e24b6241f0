"""`serve --json`: the keeper's lines on standard output, as JSON, so that every verb can be read by a program."""

from __future__ import annotations

import io
import json
from typing import TextIO


class JsonLines(io.TextIOBase):
    """Passes each line on as an object: `ready URL` as `{"ready": "URL"}`, anything else as `{"message": ...}`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            word, _, url = line.partition(" ")
            self._out.write(json.dumps({"ready": url} if word == "ready" else {"message": line}) + "\n")
        return len(text)

    def flush(self) -> None:
        self._out.flush()
