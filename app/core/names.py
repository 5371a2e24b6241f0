"""Which names accounts and clients may have."""

from __future__ import annotations

import re
from typing import Final

from app.core.errors import AppError

RESERVED: Final = frozenset({"gatehouse"})
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}[A-Za-z0-9._-]|[A-Za-z0-9]")


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
