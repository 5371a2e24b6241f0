"""Whether JSON has the shape of a request type (`TypedDict`) of an official package: no member too many, none missing, right types."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import typing_extensions
from pydantic import BaseModel

_MARKS = {typing.Required, typing.NotRequired, typing_extensions.Required, typing_extensions.NotRequired}
_WORDS: dict[type, str] = {str: "a string", bool: "a boolean", int: "an integer", float: "a number"}
_LITERALS = {typing.Literal, typing_extensions.Literal}


@dataclass(frozen=True, slots=True)
class Wrong:
    """The first thing wrong. kind: missing, unknown or type. path: keys and indices from the top."""

    kind: str
    path: tuple[str | int, ...]
    expected: str = ""

    def dotted(self) -> str:
        """As Anthropic writes it: messages.0.content."""
        return ".".join(str(part) for part in self.path)

    def bracketed(self) -> str:
        """As OpenAI writes it: messages[0].content."""
        out = ""
        for part in self.path:
            out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
        return out


def wrong(value: Any, shape: Any, path: tuple[str | int, ...] = (), extra: frozenset[str] = frozenset()) -> Wrong | None:
    """None when `value` has `shape`. extra: members beyond the shape that are allowed at the top."""
    if shape in (Any, object):
        return None
    if typing_extensions.is_typeddict(shape):
        return _table(value, shape, path, extra)
    origin, inside = typing.get_origin(shape), typing.get_args(shape)
    if origin in _MARKS or origin is typing.Annotated:
        return wrong(value, inside[0], path, extra)
    if origin in (typing.Union, types.UnionType):
        return _union(value, inside, path)
    if origin in _LITERALS:
        fits = any(value == one and type(value) is type(one) for one in inside)
        return None if fits else Wrong("type", path, "one of " + ", ".join(repr(one) for one in inside))
    if origin is dict:
        if not isinstance(value, dict):
            return Wrong("type", path, "an object")
        return next((found for key, item in value.items() if (found := wrong(item, inside[1], (*path, key)))), None)
    if origin is not None and isinstance(origin, type) and (issubclass(origin, Iterable) or origin.__name__ == "SequenceNotStr"):
        if not isinstance(value, list):
            return Wrong("type", path, "an array")
        return next((found for at, item in enumerate(value) if (found := wrong(item, inside[0], (*path, at)))), None)
    if shape in (None, type(None)):
        return None if value is None else Wrong("type", path, "null")
    if isinstance(shape, type):
        return _plain(value, shape, path)
    raise TypeError(f"no rule for {shape!r}")


def _plain(value: Any, shape: type, path: tuple[str | int, ...]) -> Wrong | None:
    if issubclass(shape, BaseModel):
        return Wrong("type", path, "a request, not a reply")
    if shape is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif shape is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif shape in (str, bool, list, dict):
        fits = isinstance(value, shape)
    else:
        fits = False  # open files and paths, which a package encodes before it sends
    return None if fits else Wrong("type", path, _WORDS.get(shape, shape.__name__))


@cache
def _members(shape: Any) -> tuple[dict[str, Any], frozenset[str], bool]:
    hints = typing_extensions.get_type_hints(shape, include_extras=True)
    config = getattr(shape, "__pydantic_config__", {})
    return hints, frozenset(_required(shape, hints)), config.get("extra") == "allow"


def _required(shape: Any, hints: dict[str, Any]) -> set[str]:
    """`from __future__ import annotations` hides the marks from the class itself; the resolved hints have them."""
    marked = {name for name, hint in hints.items() if typing.get_origin(hint) in (typing.Required, typing_extensions.Required)}
    if not getattr(shape, "__total__", True):
        return marked
    return marked | {name for name, hint in hints.items() if typing.get_origin(hint) not in _MARKS}


def _table(value: Any, shape: Any, path: tuple[str | int, ...], extra: frozenset[str]) -> Wrong | None:
    if not isinstance(value, dict):
        return Wrong("type", path, "an object")
    hints, required, is_open = _members(shape)
    for name in value:
        if name not in hints and name not in extra and not is_open:
            return Wrong("unknown", (*path, name))
    for name in sorted(required - set(value)):
        return Wrong("missing", (*path, name))
    return next((found for name, item in value.items() if name in hints and (found := wrong(item, hints[name], (*path, name)))), None)


def _union(value: Any, shapes: tuple[Any, ...], path: tuple[str | int, ...]) -> Wrong | None:
    """The choice whose `type` and `role` fit says what is wrong; where none fits, the deepest finding."""
    found: list[tuple[bool, int, Wrong]] = []
    for shape in shapes:
        finding = wrong(value, shape, path)
        if finding is None:
            return None
        found.append((_meant(value, shape), len(finding.path), finding))
    return max(found, key=lambda one: (one[0], one[1]))[2]


def _meant(value: Any, shape: Any) -> bool:
    if not isinstance(value, dict) or not typing_extensions.is_typeddict(shape):
        return False
    hints, required, _ = _members(shape)
    said = [name for name in ("type", "role") if name in hints and name in required]
    return all(wrong(value.get(name), hints[name]) is None for name in said)
