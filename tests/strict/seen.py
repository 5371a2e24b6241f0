"""What a request says, the same for all dialects, and how one is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """message: in the provider's words. param, code: OpenAI's fields."""

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400


@dataclass(slots=True)
class Item:
    """One part of a turn. kind: text, image, document, call, result, thinking.

    text: of the text, thought or result. name: of the tool or file. id: of the call. media: type; digest: of the bytes, or the URL.
    value: arguments of a call. error: of a result. seal: a thought's or call's signature. parts: pictures and documents in a result.
    """

    kind: str
    text: str = ""
    name: str = ""
    id: str = ""
    media: str = ""
    digest: str = ""
    value: Any = None
    error: bool = False
    seal: str = ""
    parts: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """system: joined with a line break. turns: role (user, assistant) and items; neighbours of one role are one turn."""

    system: str = ""
    turns: list[tuple[str, list[Item]]] = field(default_factory=list)
    tools: dict[str, Any] = field(default_factory=dict)
    choice: str = ""
    parallel: bool = True
    schema: Any = None
    json_mode: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    stop: list[str] = field(default_factory=list)
    effort: str = ""
    budget: int | None = None

    def add(self, role: str, items: list[Item]) -> None:
        if not self.turns or self.turns[-1][0] != role:
            self.turns.append((role, []))
        self.turns[-1][1].extend(items)

    def items(self, kind: str, role: str = "") -> list[Item]:
        return [item for at, items in self.turns for item in items if item.kind == kind and role in ("", at)]

    @property
    def last_text(self) -> str:
        return "\n".join(item.text for item in self.turns[-1][1] if item.kind == "text")

    def results(self) -> list[tuple[Item, Item]]:
        """(call, result) of the last turn, in the order of the results."""
        if not self.turns or self.turns[-1][0] != "user":
            return []
        calls = {item.id: item for item in self.items("call")}
        return [(calls[item.id], item) for item in self.turns[-1][1] if item.kind == "result" and item.id in calls]


def digest(data: str) -> str:
    """The first 8 digits of the SHA-256 of base64 data."""
    return hashlib.sha256(base64.b64decode(data)).hexdigest()[:8]


def is_base64(data: object) -> bool:
    try:
        return isinstance(data, str) and bool(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return False


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL."""
    if not url.startswith("data:"):
        return None
    head, _, data = url[5:].partition(",")
    return (head.removesuffix(";base64"), data) if head.endswith(";base64") else ("", "")


def picture(url: str, kind: str = "image") -> Item:
    found = data_url(url)
    return Item(kind, media=found[0], digest=digest(found[1])) if found else Item(kind, digest=url)


def loads(text: str) -> Any:
    """The JSON of arguments; None when it is none."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return None


def closed(schema: Any, all_required: bool) -> str:
    """Where a schema leaves an object open (`additionalProperties` is not false), or with `all_required` a property optional; "" if not."""

    def look(at: Any, path: str) -> str:
        if isinstance(at, list):
            return next((found for index, item in enumerate(at) if (found := look(item, f"{path}[{index}]"))), "")
        if not isinstance(at, dict):
            return ""
        if at.get("type") == "object" or (isinstance(at.get("type"), list) and "object" in at["type"]):
            if at.get("additionalProperties") is not False:
                return f"{path}: 'additionalProperties' is required to be supplied and to be false."
            missing = set(at.get("properties", {})) - set(at.get("required", []))
            if all_required and missing:
                return f"{path}: 'required' must name every property; missing {min(missing)!r}."
        for name, item in at.items():
            if name in ("properties", "$defs", "definitions"):
                for inner, value in item.items():
                    if found := look(value, f"{path}.{name}.{inner}"):
                        return found
            elif name in ("items", "anyOf", "allOf", "oneOf", "not") and (found := look(item, f"{path}.{name}")):
                return found
        return ""

    return look(schema, "schema")
