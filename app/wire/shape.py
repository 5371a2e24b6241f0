"""Reading other people's JSON: each function gives the value in the shape asked for, or an AppError body_invalid that names the place.

For requests. What a provider answers is read with `got`, which never raises: what has the wrong shape is absent.
"""

from __future__ import annotations

import base64
from typing import Any, Final, TypeVar

import msgspec

from app.core.errors import AppError
from app.core.unreadable import UNREADABLE
from app.wire.outline import outline

Table = dict[str, Any]
T = TypeVar("T")

MOST_ANSWERED: Final = 4_000_000  # values in an answer; twenty probabilities for each of ten thousand tokens are three million
_decode: Final = msgspec.json.Decoder().decode


def wrong(where: str, must: str) -> AppError:
    return AppError("body_invalid", f"`{where}` must be {must}.", param=where)


def body(raw: bytes) -> Table:
    """The request as an object. AppError body_not_json, body_too_deep, body_invalid."""
    try:
        value = _decode(raw)
    except RecursionError:
        raise AppError("body_too_deep", "The request body is nested too deeply.") from None
    except UNREADABLE:
        raise AppError("body_not_json", "The request body is not valid JSON.", "Send one JSON object, encoded as UTF-8.") from None
    if not isinstance(value, dict):
        raise AppError("body_invalid", "The request body must be a JSON object.")
    return value


def table(value: object, where: str) -> Table:
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return value


def rows(value: object, where: str) -> list[Table]:
    """A list of objects."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong(where, "a list of objects")
    return value


def texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(where, "a list of texts")
    return value


def text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise wrong(where, "a text")
    return value


def text_or_none(value: object, where: str) -> str:
    """ "" for null."""
    return "" if value is None else text(value, where)


def whole(value: object, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(where, "a whole number")
    return value


def number(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(where, "a number")
    return value


def flag(value: object, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise wrong(where, "true or false")


def got(value: object, kind: type[T], otherwise: T) -> T:
    """`value` if it is one of `kind`, else `otherwise`."""
    return value if isinstance(value, kind) else otherwise


def decoded(raw: bytes) -> Table | None:
    """A provider's JSON object; None when it is none."""
    try:
        value = _decode(raw)
    except UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def swollen(raw: bytes) -> bool:
    """Whether a provider's JSON would fill the memory once it is decoded: a list of two bytes takes sixty."""
    return len(raw) > 2 * MOST_ANSWERED and outline(raw, MOST_ANSWERED).values > MOST_ANSWERED


def arguments(raw: str) -> Table | None:
    """The object in the arguments of a tool call; None when it is none. Empty arguments are no arguments."""
    if not raw.strip():
        return {}
    return decoded(raw.encode("utf-8", "replace"))


def pictured(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL; None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    kind, *words = head.split(";")
    if not comma or "base64" not in words:
        return None
    return picture_type(kind) or "text/plain", data


def picture_type(media_type: str) -> str:
    """JPEG by its registered name: many programs say image/jpg, which providers refuse."""
    return "image/jpeg" if media_type.lower() == "image/jpg" else media_type


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def unpacked(data: str, where: str) -> str:
    """The text in base64."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        raise wrong(where, "text in base64") from None


def without(value: Table, *names: str) -> Table:
    """What of `value` is not in `names`."""
    return {name: item for name, item in value.items() if name not in names}
