"""What the local upstream says when it is asked for something, before any dialect: `tests/scripted_replies.py` lists what there is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from tests.provider_replies import JSON_TYPE, SSE_TYPE, Answer, Options, dumps
from tests.strict.seen import Seen

THOUGHT = "The person greets me. A short answer will do."
DECLINED = "I cannot help with that."
CITIES = ("Paris", "Oslo")
Stop = Literal["stop", "calls", "length", "filter", "refusal", "sequence"]


@dataclass(frozen=True, slots=True)
class Block:
    """One part of an answer. kind: text, thinking, redacted, refusal, call. arguments: JSON text, or "" for none at all."""

    kind: str
    pieces: tuple[str, ...] = ()
    name: str = ""
    arguments: str = ""
    number: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def seal(self) -> str:
        """Different for each thing sealed."""
        return hashlib.sha256(f"{self.kind} {self.text}{self.arguments}{self.number}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Script:
    o: Options
    blocks: tuple[Block, ...]
    stop: Stop
    sequence: str = ""


def script(o: Options, seen: Seen) -> Script:
    """What is answered to `seen`."""
    text = Block("text", o.pieces)
    thought = Block("thinking", tuple(re.findall(r"\S+ ?", THOUGHT)))
    tool = next(iter(seen.tools), "")
    if o.say in ("tools", "thinking-tools"):
        if results := seen.results():
            told = "; ".join(f"{call.value['city']}: {result.text}{' (error)' if result.error else ''}" for call, result in results)
            if o.say == "thinking-tools":
                told += "; sealed" if any(item.seal for item in (*seen.items("thinking"), *seen.items("call"))) else "; unsealed"
            return Script(o, (Block("text", tuple(told[i : i + 7] for i in range(0, len(told), 7))),), "stop")
        calls = [Block("call", name=tool, arguments=json.dumps({"city": city}), number=at) for at, city in enumerate(CITIES)]
        return Script(o, (*((thought,) if o.say == "thinking-tools" else ()), *calls), "calls")
    if o.say == "no-arguments":
        return Script(o, (Block("call", name=tool),), "calls")
    if o.say == "thinking":
        return Script(o, (thought, text), "stop")
    if o.say == "redacted":
        return Script(o, (Block("redacted"), text), "stop")
    if o.say == "schema":
        said = '{"city": "Paris", "degrees": 21}' if seen.schema else "No schema came."
        return Script(o, (Block("text", (said[:9], said[9:])),), "stop")
    if o.say == "refusal":
        return Script(o, (Block("refusal", (DECLINED[:9], DECLINED[9:])),), "refusal")
    if o.say == "sequence":
        return Script(o, (text,), "sequence", seen.stop[0] if seen.stop else "")
    if o.say in ("length", "filter"):
        return Script(o, (text,), o.say)  # type: ignore[arg-type]  # both are a Stop
    return Script(o, (text,), "stop")


def whole(body: object, headers: tuple[tuple[str, str], ...], o: Options) -> Answer:
    return Answer(200, JSON_TYPE, headers, (dumps(body),), every_s=o.every_s)


def streamed(events: list[bytes], headers: tuple[tuple[str, str], ...], o: Options) -> Answer:
    return Answer(200, SSE_TYPE, headers, tuple(events), stream=True, every_s=o.every_s)


def halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if text else []
