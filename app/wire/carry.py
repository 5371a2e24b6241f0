"""What a provider needs back although the client's dialect has no place for it: seals of thoughts, carried through fields that every
client returns untouched.

A thought's seal travels in the other dialect's own seal field (`gh1.<origin>.<kind>.<seal>`); a tool call's in its id
(`<id>__gh1_<base64url>`), because ids are the one thing that all clients keep. Whoever reads a request takes them off again, so no
provider ever sees a mark. Ids are also made fit for targets here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

SEAL: Final = "gh1."
MARK: Final = "__gh1_"
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")
_NO_SEAL: Final = re.compile(rb'"signature"\s*:\s*""')
_FIT: Final = re.compile(r"[a-zA-Z0-9_-]+")


def carried(body: bytes) -> bool:
    """Whether a request may hold a mark of ours, or a thought that nobody sealed, which a translation made too."""
    if b"__gh1_" in body or b'"gh1.' in body or b'"Z2gxL' in body:
        return True
    return b'"thinking"' in body and _NO_SEAL.search(body) is not None


def seal(origin: str, signature: str, *, redacted: bool = False) -> str:
    return f"{SEAL}{origin}.{'r' if redacted else 't'}.{signature}" if signature else ""


def unseal(signature: str, otherwise: str) -> tuple[str, str, bool]:
    """Origin, signature, redacted. A seal without our mark is of the dialect `otherwise`."""
    if signature.startswith(SEAL):
        parts = signature.removeprefix(SEAL).split(".", 2)
        if len(parts) == 3:
            return parts[0], parts[2], parts[1] == "r"
    return otherwise, signature, False


def unpacked(signature: str, otherwise: str) -> tuple[str, str, bool]:
    """As `unseal`, for a seal that may have been packed into base64 (of either alphabet)."""
    if signature.startswith("Z2gxL"):
        try:
            packed = signature.replace("-", "+").replace("_", "/")
            return unseal(base64.b64decode(packed + "=" * (-len(packed) % 4)).decode(), otherwise)
        except ValueError:
            return otherwise, signature, False
    return unseal(signature, otherwise)


def mark(identifier: str, signature: str, origin: str) -> str:
    if not signature:
        return identifier
    packed = base64.urlsafe_b64encode(f"{origin}.{signature}".encode()).decode().rstrip("=")
    return identifier + MARK + packed


def unmark(identifier: str) -> tuple[str, str, str]:
    """Id, signature, origin."""
    plain, found, packed = identifier.partition(MARK)
    if not found:
        return identifier, "", ""
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return identifier, "", ""
    origin, _, signature = text.partition(".")
    return plain, signature, origin


def fit_id(identifier: str, longest: int = 64) -> str:
    """`identifier` in the letters that every provider takes; different ids stay different."""
    if len(identifier) <= longest and _FIT.fullmatch(identifier):
        return identifier
    digest = hashlib.sha256(identifier.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{_UNFIT.sub('_', identifier)[: longest - 13]}_{digest}"


def short_name(name: str, longest: int = 64) -> str:
    """A tool's name that fits the target; the same name always becomes the same one."""
    if len(name) <= longest and _FIT.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_UNFIT.sub('_', name)[: longest - 9]}_{digest}"
