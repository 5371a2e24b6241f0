"""Reading a key or a passphrase: from standard input, or typed without being shown. Never from the command line or the environment."""

from __future__ import annotations

import sys

from app.core.errors import AppError
from app.core.secret import Secret

_LONGEST = 65_536


def secret(what: str, *, from_stdin: bool, option: str, blanks: bool = False) -> Secret:
    """`what`, e.g. "key for work". blanks: those around it belong to it.

    AppError `key_required` when there is none, or nobody who could type it.
    """
    if from_stdin:
        text = _standard_input(what)
    elif sys.stdin is not None and sys.stdin.isatty():
        import getpass  # noqa: PLC0415  only a person at a terminal needs it

        text = getpass.getpass(f"{what[0].upper()}{what[1:]}: ", stream=sys.stderr)
    else:
        raise AppError("key_required", f"Nobody is here to type the {what}.", f"Give it on standard input, with {option}.")
    text = text.strip("\r\n") if blanks else text.strip()
    if not text:
        raise AppError("key_required", f"The {what} is empty.")
    return Secret(text)


def _standard_input(what: str) -> str:
    if sys.stdin is None:
        raise AppError("key_required", f"There is no standard input to read the {what} from.")
    raw = sys.stdin.buffer.read(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise AppError("key_required", f"The {what} is longer than any key.", "Check what was given on standard input.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:  # not chained: it holds the bytes
        raise AppError("key_required", f"The {what} is not readable text.", "Check what was given on standard input.") from None
