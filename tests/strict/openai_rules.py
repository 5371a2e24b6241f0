"""What both of OpenAI's APIs refuse: names, schemas, pictures."""

from __future__ import annotations

import re
from typing import Any

from tests.strict.seen import Refusal, closed, data_url, is_base64
from tests.strict.shapes import Wrong

NAME = re.compile(r"[a-zA-Z0-9_-]+")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def said(finding: Wrong) -> Refusal:
    where = finding.bracketed()
    if finding.kind == "missing":
        return Refusal(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
    if finding.kind == "unknown":
        return Refusal(f"Unknown parameter: '{where}'.", where, "unknown_parameter")
    return Refusal(f"Invalid type for '{where}': expected {finding.expected}.", where, "invalid_type")


def name(value: str, where: str) -> Refusal | None:
    if len(value) > 64:
        return too_long(where, 64, len(value))
    if not NAME.fullmatch(value):
        words = f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        return Refusal(words, where, "invalid_value")
    return None


def too_long(where: str, longest: int, length: int) -> Refusal:
    words = f"Invalid '{where}': string too long. Expected a string with maximum length {longest}, but got a string with length {length}."
    return Refusal(words, where, "string_above_max_length")


def schema(value: Any, title: str, where: str, strict: bool) -> Refusal | None:
    """A schema is an object at its top; a strict one closes every object and requires every property."""
    if not isinstance(value, dict) or value.get("type") != "object":
        kind = value.get("type") if isinstance(value, dict) else None
        words = f"Invalid schema for {title}: schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        return Refusal(words, where, "invalid_function_parameters")
    if strict and (found := closed(value, all_required=True)):
        return Refusal(f"Invalid schema for {title}: In {found}", where, "invalid_json_schema")
    return None


def image(url: str, where: str) -> Refusal | None:
    found = data_url(url)
    if found is None:
        if url.startswith(("https://", "http://")):
            return None
        words = "Invalid image URL: it must be a http(s) or data URL."
        return Refusal(words, where, "invalid_image_url")
    if found[0] not in _IMAGES or not is_base64(found[1]):
        return Refusal("You uploaded an unsupported image. Please make sure your image is valid.", where, "invalid_image_format")
    return None


def document(data: str, filename: str | None, where: str) -> Refusal | None:
    found = data_url(data)
    if found is None or not is_base64(found[1]):
        return Refusal(f"Invalid '{where}.file_data': expected a base64-encoded data URL.", where, "invalid_value")
    if not filename:
        return Refusal(f"Missing required parameter: '{where}.filename'.", where, "missing_required_parameter")
    return None


def sampling(body: dict[str, Any]) -> Refusal | None:
    for field, low, high in (("temperature", 0, 2), ("top_p", 0, 1)):
        value = body.get(field)
        if value is not None and not low <= value <= high:
            return Refusal(f"Invalid '{field}': decimal outside of range {low} to {high}.", field, "decimal_above_max_value")
    metadata = body.get("metadata") or {}
    if len(metadata) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
        return Refusal("Invalid 'metadata': at most 16 pairs, keys of 64 and values of 512 characters.", "metadata", "invalid_value")
    return None
