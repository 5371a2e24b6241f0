"""`serve --json`: the keeper's lines on standard output, as JSON, so that every verb can be read by a program."""

from __future__ import annotations

import io
import json
from typing import TextIO


class JsonLines(io.TextIOBase):
    """Passes each line on as an object: `ready URL keys=STATE` as `{"ready": "URL", "keys": "STATE"}`, any other as `{"message": ...}`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._out.write(json.dumps(_said(line)) + "\n")
        return len(text)

    def flush(self) -> None:
        self._out.flush()


def _said(line: str) -> dict[str, str]:
    word, *rest = line.split(" ")
    if word != "ready" or not rest:
        return {"message": line}
    return {"ready": rest[0]} | dict(fact.split("=", 1) for fact in rest[1:] if "=" in fact)
