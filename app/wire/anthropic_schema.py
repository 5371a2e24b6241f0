"""JSON schemas as Anthropic's structured outputs take them.

The API refuses a schema that uses more than it can enforce. Its package (2.12: lib/_parse/_transform) closes every object and moves what
is not enforced into the description, where the model reads it; so does this.
"""

from __future__ import annotations

from typing import Any, Final

from app.wire import shape
from app.wire.shape import Table

_FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf")
_KEPT: Final = frozenset({"type", "enum", "const", "description", "title", "required", "$ref", "default"})


def fitted(schema: Table) -> Table:
    """What it lets through is valid against the original but for what its descriptions say."""
    out: Table = {}
    said: Table = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            out[name] = {key: fitted(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}
        elif name in _LISTS and isinstance(value, list):
            out[name] = [fitted(inner) if isinstance(inner, dict) else inner for inner in value]
        elif name == "oneOf" and isinstance(value, list) and "anyOf" not in schema:
            out["anyOf"] = [fitted(inner) if isinstance(inner, dict) else inner for inner in value]
        elif name == "items" and isinstance(value, dict):
            out[name] = fitted(value)
        elif (
            name in _KEPT or (name == "format" and isinstance(value, str) and value in _FORMATS) or (name == "minItems" and value in (0, 1))
        ):
            out[name] = value
        elif name not in ("additionalProperties", "$schema", "$id"):
            said[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") not in (None, False):
            said["additionalProperties"] = schema["additionalProperties"]
        out["additionalProperties"] = False
    if said:
        words = ", ".join(f"{name}: {shape.as_json(value)}" for name, value in said.items())
        out["description"] = f"{out['description']}\n\n{{{words}}}" if out.get("description") else f"{{{words}}}"
    return out


def lost(schema: Any, within: Any) -> bool:
    """Whether `within`, the fitted `schema`, says something in words alone."""
    if isinstance(schema, list) and isinstance(within, list):
        return any(lost(*pair) for pair in zip(schema, within, strict=True))
    if not isinstance(schema, dict) or not isinstance(within, dict):
        return False
    if within.get("description") != schema.get("description"):
        return True
    inner = [(schema[name], within[name]) for name in ("items", *_LISTS) if name in schema and name in within]
    inner += [(schema["oneOf"], within["anyOf"])] if "oneOf" in schema and "anyOf" not in schema else []
    inner += [(value, within[name][key]) for name in _MAPS if isinstance(schema.get(name), dict) for key, value in schema[name].items()]
    return any(lost(*pair) for pair in inner)
