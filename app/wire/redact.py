"""Keys taken out of what providers say. Some repeat the key that was refused, or a part of it, or another one they know.

Two searches. Shapes: what looks like a key of a known provider. The key itself: any twelve characters of the account's own key that stand
together, whatever separates or escapes them, and its base64, its hex and its reverse. What is searched how:

    errors                 `text`, `body`: both searches, in what a reader makes of the text. At most `LONGEST` bytes; more is cut.
    headers                `headers`: both.
    answers of a model     `content`: the key as it is written, also with JSON escapes. They are the person's data; nothing else is touched.
    names in the ledger    `name`: the key, and what has the shape and the length of one.

A key of fewer than eight letters and digits is looked for as it is written alone, one of fewer than four characters not at all. Not found:
a key that a provider encrypts, compresses or encodes in any other way, which no client's package would undo either.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from app.core.errors import AppError
from app.core.secret import Secret
from app.core.unreadable import UNREADABLE
from app.wire.unescape import bare, bare_view, unescaped, view

MASK: Final = b"[key removed]"
LONGEST: Final = 16_384
CUT: Final = "… (cut)"
ESCAPED: Final = b"\\u00"  # how the escape of every character of a key begins
_MASK_TEXT: Final = MASK.decode()
_NOWHERE: Final = b"\xff\xfe no text in UTF-8 holds this \xff\xfe"

# Known shapes, with the filler characters (asterisks, bullets, ellipses) in which providers hide the middle of a key.
_FILL: Final = rb"(?:[A-Za-z0-9_\-.*]|\xe2\x80[\xa2\xa6])"
_PREFIXES: Final = rb"gsk_|xai-|hf_|pplx-|fw_|csk-|tgp_v1_|nvapi-|r8_|ghp_|gho_|ghs_|github_pat_|AIza|AKIA|ya29\."
_SHAPES: Final = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"sk-" + _FILL + rb"{6,}+"  # OpenAI, Anthropic (sk-ant-), OpenRouter (sk-or-), DeepSeek, Moonshot, our own (sk-gh-)
    rb"|(?:" + _PREFIXES + rb")" + _FILL + rb"{6,}+"
    rb"|(?i:bearer)\s++" + _FILL + rb"{8,}+)"
)
# JSON web tokens. A run without a dot is taken with the match, or it would be searched from each `eyJ` in it.
_TOKENS: Final = re.compile(rb"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{10,}+(\.[A-Za-z0-9_\-.*]{6,}+)?")
# What a page of help says of keys.
_NO_KEY: Final = re.compile(rb"(?:sk-(?:[a-z]{2,8}-)?(?:[a-z]{0,8}[0-9]{1,2}-)?|github_pat_|tgp_v1_)[.*]{0,8}")
_MODEL: Final = re.compile(rb"(?:pplx-|xai-|hf_|fw_|r8_)(?:[A-Za-z0-9_\-]|\.(?!\.))*+\.?")
_BULLETS: Final = "••••".encode()
_STARRED: Final = re.compile(rb"(?:\*{4,}+|(?:\xe2\x80\xa2){4,}+)[A-Za-z0-9_\-]{0,8}")
_BEFORE_STARS: Final = re.compile(rb"[A-Za-z0-9_\-]{0,16}\Z")

# What all keys of a kind have in common, which is no secret. Of a JSON web token it is the part before the first dot.
_PUBLIC: Final = re.compile(
    r"sk-(?:[a-z]{2,8}-)?(?:[a-z]{0,8}[0-9]{1,2}-)?|gsk_|xai-|hf_|pplx-|fw_|csk-|tgp_v1_|nvapi-|r8_|gh[a-z]_|github_pat_|AIza(?:Sy)?|AKIA|ya29\."
    r"|eyJ[A-Za-z0-9_\-]{0,2000}+\."
)
# Letters and digits that were escaped although nothing asks for it. No usual encoder does.
_NEEDLESS: Final = re.compile(rb"\\u00(?:3[0-9]|[46][1-9a-fA-F]|[57][0-9aA])")
_GRAM: Final = 7
_WINDOW: Final = 12  # characters of the key that stand together: a part that is worth hiding
_SHORT: Final = 8
_MOST_NAMES: Final = 500
_NAME: Final = 20

_DIGITS: Final = tuple(b"%d" % digit for digit in range(10))
_UNBROKEN: Final = re.compile(rb"[A-Za-z0-9]{16}")

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode
Span = tuple[int, int]


class Redactor:
    """Of one account's key, or of none: then shapes alone are looked for. Made once for each key, as it works out what to look for.

    Whatever it is given, its work grows with the length of the text alone.
    """

    def __init__(self, secret: Secret | None = None) -> None:
        key = secret.reveal() if secret is not None else ""
        self._exact: Final = key.encode() if len(key) >= 4 else b""
        self._core: Final = key[len(found[0]) if (found := _PUBLIC.match(key)) is not None and len(found[0]) < len(key) else 0 :]
        self._head: Final = (
            re.compile(re.escape(key[: max(8, len(key) - len(self._core) + 8)].encode()) + _FILL + b"*+") if len(key) >= 16 else None
        )
        self._names: Final[dict[str, str]] = {}
        self._clean: Final[set[tuple[str, str]]] = set()
        # A key without a digit is a word that somebody put there because a server wants one; answers may hold such words.
        random = len(bare(self._core.encode())) >= 16 and any(character.isdecimal() for character in self._core)
        core = self._core.encode()
        self._tiles: Final = tuple(core[at : at + _WINDOW] for at in range(0, len(core) - _WINDOW + 1, _WINDOW)) if random else ()
        # What a whole key always holds, and nothing else does: whoever relays a stream looks for it in every piece before he calls us.
        self.needle: Final = self._tiles[len(self._tiles) // 2] if random else _NOWHERE

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, given: str) -> str:
        """Words for a person or a program, as they read after decoding. At most `LONGEST` bytes of them."""
        data = given.encode("utf-8", "replace")
        out = self.raw(data)
        return given if out is data else out.decode("utf-8", "ignore")

    def raw(self, data: bytes) -> bytes:
        """As `text`, in UTF-8 or in any other bytes."""
        if len(data) > LONGEST:
            data = data[:LONGEST] + CUT.encode()
        return self._masked(data) if self._holds(data) else data

    def body(self, data: bytes) -> bytes | None:
        """An error as a provider put it, in JSON, without keys; None when it cannot be shown as it is: no JSON, larger than `LONGEST`,
        or with a key in it that is spread over several texts."""
        if len(data) > LONGEST:
            return None
        if not self._holds(data):
            return data
        out = self._rewritten(data, self.text)
        if out is None or self._holds_key(out, unescaped(out)):
            return None
        in_place = self._masked(data)  # which keeps blanks, and numbers as they are written
        try:
            return in_place if _decode(in_place) == _decode(out) else out
        except (*UNREADABLE, ValueError):
            return out

    def content(self, data: bytes) -> bytes:
        """A model's answer, or a part of it that ends where an event ends: without the key as it is written."""
        if self.needle in data:
            data = data.replace(self._exact, MASK)
            for tile in self._tiles:
                data = data.replace(tile, MASK)
        return data

    def hides_in(self, data: bytes) -> bool:
        """Whether a model's answer, or a part of it, spells the key with needless escapes. Not looked at beyond four times `LONGEST`."""
        if not self._tiles or ESCAPED not in data or len(data) > 4 * LONGEST or _NEEDLESS.search(data) is None:
            return False
        return self.needle in unescaped(data)

    def rewritten_content(self, data: bytes) -> bytes | None:
        """JSON that `hides_in` found, without the key; None when it is no JSON."""
        return self._rewritten(data, lambda text: self.content(text.encode("utf-8", "replace")).decode("utf-8", "replace"))

    def headers(self, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """A name that holds a key goes, and all go when a key is spread over several. Most providers send the same ones each time, so
        what was without a key once is not looked at again."""
        fresh = [pair for pair in pairs if pair not in self._clean]
        if not fresh or not self._spread(fresh):
            self._remember(fresh)
            return tuple(pairs)
        kept = tuple((name, self.text(value)) for name, value in pairs if self.text(name) == name)
        return () if self._spread(kept) else kept

    def header(self, name: str, value: str) -> str:
        """One header's value, as `text`."""
        if (name, value) not in self._clean:
            value = self.text(value)
            self._remember([(name, value)])
        return value

    def _remember(self, clean: Sequence[tuple[str, str]]) -> None:
        if len(self._clean) < _MOST_NAMES:
            self._clean.update(clean)

    def error(self, error: AppError) -> AppError:
        """The same, in words without keys."""
        message, hint = self.text(error.message), self.text(error.hint)
        if message == error.message and hint == error.hint:
            return error
        return AppError(error.code, message, hint, param=error.param, status=error.status, retry_after_s=error.retry_after_s)

    def name(self, given: str) -> str:
        """What somebody calls a model. Shorter names that begin like a key are names."""
        if len(given) < _SHORT:
            return given
        clean = self._names.get(given)
        if clean is None:
            clean = self._named(given)
            if len(self._names) < _MOST_NAMES:
                self._names[given] = clean
        return clean

    def _named(self, given: str) -> str:
        data = given.encode("utf-8", "replace")
        spans = [(start, end) for start, end in _shapes(data) if _random(data[start:end])]
        spans += self._known(data)
        return _cut_out(data, spans).decode("utf-8", "replace") if spans else given

    def crossing(self, before: str, given: str) -> int:
        """How many bytes of `given` belong to a key that began in `before`."""
        start = before.encode("utf-8", "replace")
        ends = [end - len(start) for begin, end in self._known(start + given.encode("utf-8", "replace")) if begin < len(start) < end]
        return max(ends, default=0)

    # What is looked for.

    @cached_property
    def _groups(self) -> list[tuple[frozenset[bytes], int]]:
        """Pieces of `_GRAM` characters of what is looked for, and how many characters together are a find."""
        core = self._core.encode()
        plain = bare(core)
        if len(plain) < _SHORT:
            return []
        groups = (
            ([plain, plain[::-1]], _WINDOW),
            (_base64(core), _WINDOW * 4 // 3),
            (_base64(core.decode().encode("utf-16-le")), _WINDOW * 8 // 3),
            ([core.hex().encode()], _WINDOW * 2),
        )
        long = [([form for form in forms if len(form) >= _SHORT], need) for forms, need in groups]
        return [(_grams(forms), min([need, *map(len, forms)])) for forms, need in long if forms]

    @cached_property
    def _any(self) -> frozenset[bytes]:
        return frozenset[bytes]().union(*(grams for grams, _ in self._groups))

    @cached_property
    def _step(self) -> int:
        return min((need for _, need in self._groups), default=_WINDOW) - _GRAM + 1

    def _holds(self, data: bytes) -> bool:
        """Whether there is something to hide."""
        seen = unescaped(data)
        return self._holds_key(data, seen) or bool(_shapes(seen))

    def _holds_key(self, data: bytes, seen: bytes) -> bool:
        """seen: `data` without its escapes. Its bytes may hold what is none: a backslash, and then a key that begins with an n."""
        if self._exact and (self._exact in data or self._exact in seen):
            return True
        if self._head is not None and self._head.search(seen) is not None:
            return True
        if not self._any:
            return False
        text = bare(seen)
        pieces = [text[at : at + _GRAM] for at in range(0, len(text), self._step)]
        return not self._any.isdisjoint(pieces) and any(_runs(text, *group) for group in self._groups)

    def _known(self, data: bytes) -> list[Span]:
        """Where the key stands in `data`."""
        if not self._holds_key(data, unescaped(data)):
            return []
        seen = view(data)
        spans = list(_places(seen.text, self._exact))
        if self._head is not None:
            spans += [found.span() for found in self._head.finditer(seen.text)]
        out = [*_places(data, self._exact), *((seen.starts[start], seen.ends[end - 1]) for start, end in spans)]
        text = bare_view(seen)
        for group in self._groups:
            out += [(text.starts[start], text.ends[end - 1]) for start, end in _runs(text.text, *group)]
        return out

    def _masked(self, data: bytes) -> bytes:
        seen = view(data)
        shapes = [(seen.starts[start], seen.ends[end - 1]) for start, end in _shapes(seen.text)]
        return _cut_out(data, [*self._known(data), *shapes])

    @staticmethod
    def _rewritten(data: bytes, each: Callable[[str], str]) -> bytes | None:
        try:
            value = _decode(data)
            if not isinstance(value, dict | list):
                return None
            return _encode(_walked(value, each))
        except (*UNREADABLE, ValueError):
            return None

    def _spread(self, pairs: Sequence[tuple[str, str]]) -> bool:
        lines = [*(value for _, value in pairs), *(name for name, _ in pairs)]
        return self._holds("\n".join(lines).encode("utf-8", "replace")[: 8 * LONGEST])


class Carried:
    """The errors of one stream, one after the other: a key whose pieces come in several of them is found where it goes on."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor: Final = redactor
        self._before = ""
        self.crossed = False

    def text(self, given: str) -> str:
        """`given` without keys. crossed: what it begins with belongs to a key that began in an earlier one."""
        over = self._redactor.crossing(self._before, given) if self._before else 0
        self.crossed = over > 0
        self._before = (self._before + given)[-1024:]
        if not over:
            return self._redactor.text(given)
        rest = given.encode("utf-8", "replace")[over:].decode("utf-8", "replace")
        return _MASK_TEXT + self._redactor.text(rest)


SHAPES_ALONE: Final = Redactor()


def _shapes(data: bytes) -> list[Span]:
    spans = [found.span() for found in _SHAPES.finditer(data) if not _is_name(found[0])]
    if b"eyJ" in data:
        spans += [found.span() for found in _TOKENS.finditer(data) if found[1] is not None]
    if b"****" in data or _BULLETS in data:
        for found in _STARRED.finditer(data):
            before = _BEFORE_STARS.search(data, max(0, found.start() - 16), found.start())
            spans.append((before.start() if before is not None else found.start(), found.end()))
    return spans


def _is_name(word: bytes) -> bool:
    """Whether it is what a page of help says of keys, or a model of somebody whose keys begin like his models."""
    if _MODEL.fullmatch(word) is not None:
        return not _random(word)
    return len(word) <= 32 and _NO_KEY.fullmatch(word) is not None


def _random(word: bytes) -> bool:
    """Whether what begins like a key is none of the names that people give to models."""
    mixed = not word.islower() and not word.isupper()
    return len(word) >= _NAME and any(digit in word for digit in _DIGITS) and (mixed or _UNBROKEN.search(word) is not None)


def _places(data: bytes, needle: bytes) -> Iterable[Span]:
    at = data.find(needle) if needle else -1
    while at >= 0:
        yield at, at + len(needle)
        at = data.find(needle, at + len(needle))


def _base64(text: bytes) -> list[bytes]:
    """What `text` looks like in base64 of either alphabet, wherever it stands in what was encoded; `bare`."""
    forms = []
    for before in range(3):
        whole = base64.b64encode(bytes(before) + text).rstrip(b"=")
        last = -1 if (before + len(text)) % 3 else None  # the last character depends on what follows
        forms.append(bare(whole[(0, 2, 3)[before] : last]))
    return forms


def _grams(forms: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(form[at : at + _GRAM] for form in forms for at in range(len(form) - _GRAM + 1))


def _runs(text: bytes, grams: frozenset[bytes], need: int) -> list[Span]:
    """Where at least `need` characters stand together of which every `_GRAM` are in `grams`. Each place is looked at twice at most."""
    out: list[Span] = []
    step, last, floor, at = need - _GRAM + 1, len(text) - _GRAM, 0, 0
    while at <= last:
        if text[at : at + _GRAM] not in grams:
            at += step
            continue
        low = high = at
        while low > floor and text[low - 1 : low - 1 + _GRAM] in grams:
            low -= 1
        while high < last and text[high + 1 : high + 1 + _GRAM] in grams:
            high += 1
        if high - low + 1 >= step:
            out.append((low, high + _GRAM))
        floor = high + 1
        at = high + step
    return out


def _cut_out(data: bytes, spans: Iterable[Span]) -> bytes:
    out, at = [], -1
    for start, end in sorted(spans):
        if start > at:
            out += [data[max(at, 0) : start], MASK]
        elif at < 0:
            out.append(MASK)
        at = max(at, end)
    return b"".join([*out, data[max(at, 0) :]])


def _walked(value: Any, each: Callable[[str], str]) -> Any:
    """`value` with `each` of its texts; names of members as short as those that packages look for stay."""
    if isinstance(value, str):
        return each(value)
    if isinstance(value, dict):
        return {each(name) if len(name) >= _SHORT else name: _walked(item, each) for name, item in value.items()}
    return [_walked(item, each) for item in value] if isinstance(value, list) else value
