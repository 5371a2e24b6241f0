"""Keys taken out of what providers say. Some echo a part of the key that was refused, or another one they know.

Used on error messages and error events only: the model's own words are the person's data and pass untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from app.core.secret import Secret

MASK: Final = b"[key removed]"

# Known shapes, with the filler characters (asterisks, bullets, ellipses) in which providers hide the middle of a key.
_FILL: Final = rb"(?:[A-Za-z0-9_\-.*]|\xe2\x80[\xa2\xa6])"
_PREFIXES: Final = rb"gsk_|xai-|hf_|pplx-|fw_|csk-|tgp_v1_|nvapi-|r8_|ghp_|gho_|ghs_|github_pat_|AIza|AKIA|ya29\."
_SHAPES: Final = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"sk-" + _FILL + rb"{6,}"  # OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek, Moonshot, our own (sk-gh-)
    rb"|(?:" + _PREFIXES + rb")" + _FILL + rb"{6,}"
    rb"|eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-.*]{6,}"  # JSON web tokens
    rb"|(?i:bearer)\s+" + _FILL + rb"{8,})"
)
_BULLETS: Final = "••••".encode()
_STARRED: Final = re.compile(rb"[A-Za-z0-9_\-]{0,16}(?:\*{4,}|(?:\xe2\x80\xa2){4,})[A-Za-z0-9_\-]{0,8}")


def redact(data: bytes, secrets: Iterable[Secret] = ()) -> bytes:
    """`data` without the given secrets, without what begins like one of them, and without anything that looks like a known key."""
    for secret in secrets:
        text = secret.reveal()
        if not text:
            continue
        data = data.replace(text.encode(), MASK)
        if len(text) >= 16:
            data = re.sub(re.escape(text[:8].encode()) + _FILL + b"*", MASK, data)
    data = _SHAPES.sub(MASK, data)
    return _STARRED.sub(MASK, data) if b"****" in data or _BULLETS in data else data
