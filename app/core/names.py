"""Which names accounts and clients may have, and which may become part of a path."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from app.core.errors import AppError

RESERVED: Final = frozenset({"gatehouse"})
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}[A-Za-z0-9._-]|[A-Za-z0-9]")
# A segment `.` or `..` between slashes of either kind, with blanks or control characters that some reader drops, or with a parameter.
_CLIMBING: Final = re.compile(r"(?:^|[/\\])[\x00-\x20]*+\.[\x00-\x20]*+\.?[\x00-\x20]*+(?:[/\\;?#]|$)")
_MOST_ENCODINGS: Final = 4


def check_account_name(name: str) -> None:
    """AppError name_invalid. An account's name is the part before the slash in a model name, so it is short and plain."""
    if not _ACCOUNT.fullmatch(name):
        hint = "Use 1 to 32 letters, digits, dots, dashes or underscores, starting with a letter or digit."
        raise AppError("name_invalid", "This name cannot be used for a provider.", hint, param="name")
    if name.lower() in RESERVED:
        raise AppError("name_invalid", f"The name {name} is the built-in account's.", "Choose another name.", param="name")


def check_client_name(name: str) -> None:
    """AppError name_invalid."""
    if not _CLIENT.fullmatch(name):
        hint = "Use 1 to 64 letters, digits, blanks, dots, dashes or underscores, starting with a letter or digit."
        raise AppError("name_invalid", "This name cannot be used for a client.", hint, param="name")


def climbs(path: str) -> bool:
    """Whether a reader of this path of a URL could take a segment of it for `.` or `..`, and so end elsewhere: as it is written, or
    percent-encoded. What is encoded more often than anybody encodes counts as such."""
    for _ in range(_MOST_ENCODINGS):
        if _CLIMBING.search(path):
            return True
        if "%" not in path or (decoded := unquote(path, "latin-1")) == path:
            return False
        path = decoded
    return True
