"""Recorded traffic as test cases: one folder each under `tests/recordings/<dialect>/`.

request.json   what a client sent                reply.json or stream.txt   what the provider answered
expected.json  endpoint, model (the target's), sent (the body the provider must get), tokens, complete, started, error, status of the
               answer; dropped: events the client must not get; replaced: pairs of texts, where a key was taken out; ask_usage
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.core.records import Tokens
from app.wire.body import Understood, understand
from app.wire.bridge import Relay
from app.wire.dialects import DIALECTS

ROOT = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True)
class Case:
    dialect: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.dialect}/{self.folder.name}"

    @cached_property
    def request(self) -> bytes:
        return (self.folder / "request.json").read_bytes()

    @cached_property
    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))
        return {"started": True, "status": 200, "ask_usage": True, "replaced": [], "dropped": [], **found}

    @cached_property
    def answer(self) -> bytes:
        return (self.folder / ("stream.txt" if self.streams else "reply.json")).read_bytes()

    @cached_property
    def streams(self) -> bool:
        return (self.folder / "stream.txt").exists()

    @property
    def tokens(self) -> Tokens:
        return Tokens(**self.expected["tokens"])

    @property
    def call(self) -> Understood:
        gemini = self.dialect == "gemini"  # whose model is in the path
        return understand(
            self.request,
            self.expected["endpoint"],
            model=f"work/{self.expected['model']}" if gemini else "",
            stream=self.streams if gemini else None,
        )

    def relay(self) -> Relay:
        expected = self.expected
        call = self.call
        return Relay(
            DIALECTS[self.dialect],  # type: ignore[index]  # the folder's name
            expected["endpoint"],
            self.request,
            call,
            expected["model"],
            ask_usage=expected["ask_usage"],
        )

    def passed_on(self) -> bytes:
        """What the client must get."""
        out = self.answer
        for event in self.expected["dropped"]:
            assert event.encode() in out
            out = out.replace(event.encode(), b"")
        for old, new in self.expected["replaced"]:
            assert old.encode() in out
            out = out.replace(old.encode(), new.encode())
        return out


CASES = [Case(folder.parent.name, folder) for folder in sorted(ROOT.glob("*/*")) if folder.is_dir()]
STREAMS = [case for case in CASES if case.streams]
REPLIES = [case for case in CASES if not case.streams]
