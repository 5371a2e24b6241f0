"""How a provider may repeat a key: each spelling, and whether a reader of a text could make the key out of it again."""

from __future__ import annotations

import base64
import html
import random
import re
import string
from collections.abc import Callable
from functools import cache
from urllib.parse import quote, unquote


def _random(length: int, seed: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice(alphabet) for _ in range(length))


KEYS = {
    "openai": "sk-proj-" + _random(156, 11, string.ascii_letters + string.digits + "-_"),
    "anthropic": "sk-ant-api03-" + _random(93, 12, string.ascii_letters + string.digits + "-_") + "AA",
    "groq": "gsk_" + _random(52, 13),
    "google": "AIzaSy" + _random(33, 14, string.ascii_letters + string.digits + "-_"),
    "hexadecimal": _random(32, 15, "0123456789abcdef"),
    "of no known shape": _random(24, 16),
}

Spelling = Callable[[str], str]


def _each(form: str) -> Spelling:
    return lambda key: "".join(form.format(ord(character)) for character in key)


def _core(key: str) -> str:
    """Without what all keys of its kind begin with."""
    return re.sub(r"^(sk-proj-|sk-ant-api03-|gsk_|AIzaSy)", "", key)


SPELLINGS: dict[str, Spelling] = {
    "plain": lambda key: key,
    "JSON escapes": _each("\\u{:04x}"),
    "JSON escapes in capitals": _each("\\u{:04X}"),
    "JSON escapes, twice": _each("\\\\u{:04x}"),
    "JSON escapes, three times": _each("\\\\\\\\u{:04x}"),
    "JSON escapes of escapes": lambda key: "".join(f"\\u{ord(sign):04x}" for character in key for sign in f"\\u{ord(character):04x}"),
    "every other escaped": lambda key: "".join(character if at % 2 else f"\\u{ord(character):04x}" for at, character in enumerate(key)),
    "escaped slashes between": "\\/".join,
    "percent": _each("%{:02x}"),
    "percent, twice": _each("%25{:02X}"),
    "percent as a form does": lambda key: quote(key, safe="").replace("-", "%2D").replace("_", "%5F"),
    "hexadecimal escapes": _each("\\x{:02x}"),
    "octal escapes": _each("\\{:03o}"),
    "braced escapes": _each("\\u{{{:x}}}"),
    "HTML decimal": _each("&#{:d};"),
    "HTML hexadecimal": _each("&#x{:X};"),
    "HTML with zeros": _each("&#00000{:d};"),
    "HTML, twice": _each("&amp;#{:d};"),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 behind a user": lambda key: base64.b64encode(b"user:" + key.encode()).decode(),
    "base64 behind a longer one": lambda key: base64.b64encode(b"userer:" + key.encode()).decode(),
    "base64 with more behind": lambda key: base64.b64encode(key.encode() + b": refused").decode(),
    "base64 for addresses": lambda key: base64.urlsafe_b64encode(b"k=" + key.encode()).decode().rstrip("="),
    "base64 in lines": lambda key: "\n".join(re.findall(".{1,20}", base64.b64encode(key.encode()).decode())),
    "base64 of 16 bit": lambda key: base64.b64encode(key.encode("utf-16-le")).decode(),
    "hex": lambda key: key.encode().hex(),
    "hex in capitals": lambda key: key.encode().hex().upper(),
    "hex with colons": lambda key: key.encode().hex(":"),
    "reversed": lambda key: key[::-1],
    "capitals": str.upper,
    "small letters": str.lower,
    "spaced": " ".join,
    "dashed": "-".join,
    "in lines": "\n".join,
    "with NULs": "\0".join,
    "with zero widths": "\u200b".join,
    "with soft hyphens": "\u00ad".join,
    "in groups of four": lambda key: " ".join(re.findall(".{1,4}", key)),
    "first half": lambda key: key[: len(key) // 2],
    "second half": lambda key: key[len(key) // 2 :],
    "middle": lambda key: _core(key)[5:22],
    "without its beginning": _core,
    "quoted inside": lambda key: f'{{\\"key\\":\\"{key}\\"}}',
}


def finds(key: str, text: str) -> bool:
    """Whether somebody who undoes escapes, and looks at letters and digits alone, finds twelve characters of the key together; or in
    base64 or hex what stands for as many."""
    for _ in range(4):
        text = re.sub(r"\\+u\{?([0-9a-fA-F]{1,6})\}?", lambda found: chr(int(found[1], 16) % 0x110000), text)
        text = re.sub(r"\\+x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
        text = re.sub(r"\\+([0-3][0-7]{2})", lambda found: chr(int(found[1], 8)), text)
        text = html.unescape(unquote(text))
    seen = _letters(text)
    return any(window in seen for window in _wanted(_core(key)))


@cache
def _wanted(core: str) -> frozenset[str]:
    plain = _letters(core)
    wanted = _windows(plain, 12) | _windows(plain[::-1], 12) | _windows(core.encode().hex(), 24)
    for before in range(3):
        for coded, need in ((core.encode(), 16), (core.encode("utf-16-le"), 32)):
            form = base64.b64encode(bytes(before) + coded).decode().rstrip("=")
            wanted |= _windows(_letters(form[(0, 2, 3)[before] : -1]), need)
    return frozenset(wanted)


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isascii() and character.isalnum()).lower()


def _windows(text: str, size: int) -> set[str]:
    return {text[at : at + size] for at in range(len(text) - size + 1)}
