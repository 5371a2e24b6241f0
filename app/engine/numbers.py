"""The whole numbers of the control API's paths and queries, and their bounds. Those of bodies have theirs in the contract."""

from __future__ import annotations

from typing import Final

from app.core.errors import AppError

MOST_DAYS: Final = 36_500
MOST: Final = 10**18 - 1  # fits where it is looked up, which is 64 bits


def number(text: str, name: str, most: int = MOST) -> int:
    """`text` as a number from 0 to `most`. AppError body_invalid, which names `name`."""
    if not text.isascii() or not text.isdecimal():
        raise AppError("body_invalid", f"{name} is not a number.", param=name)
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or int(digits) > most:  # the text of a number can be longer than Python turns into one
        raise AppError("body_invalid", f"{name} is larger than {most}.", param=name)
    return int(digits)
