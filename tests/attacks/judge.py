"""How observations become a judgement (pure): each function returns `Seen`, and can say no."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from tests.attacks.registry import Seen

MB: Final = 1 << 20
# A good request may wait this long meanwhile. What makes it wait must be the gateway's own work: a busy machine is no hole.
WAIT_S: Final = 3.0
BUSY_S: Final = 1.5
# What may be taken of an endless thing before it is refused: far over any limit of the gateway, because the system's buffers come on top.
TAKEN: Final = 8 * MB


def bounded(taken: int, refused: bool, grown: int, most_grown: int) -> Seen:
    """An endless head, trailer or line. taken, grown, most_grown: bytes. refused: the gateway answered or closed."""
    words = f"{'refused' if refused else 'not refused'} after {taken / MB:.1f} MB; memory {grown / MB:+.0f} MB"
    return Seen(refused and taken <= TAKEN and grown <= most_grown, words)


def growth(grown: int, most: int, what: str = "memory") -> Seen:
    return Seen(grown <= most, f"{what} {grown / MB:+.0f} MB (at most {most / MB:.0f} MB)")


def stalled(worst_s: float, cpu_s: float, elapsed_s: float, missed: int = 0) -> Seen:
    """Whether everybody else was served meanwhile. worst_s: the longest wait of a good request. cpu_s: what the gateway worked in all of
    `elapsed_s`; the same share of the wait is taken to be its doing. missed: good requests that got no answer."""
    own_s = worst_s * min(1.0, cpu_s / max(elapsed_s, 0.01))
    words = f"a good request waited {worst_s:.1f} s{f', {missed} got no answer' if missed else ''}; {cpu_s:.1f} s of processor time"
    return Seen(not ((worst_s > WAIT_S and own_s > BUSY_S) or (missed > 0 and cpu_s > BUSY_S)), words)


def both(*seen: Seen) -> Seen:
    """All must hold; what failed is told first."""
    bad = [one for one in seen if not one.held]
    return Seen(not bad, "; ".join(one.observed for one in (bad or seen)))


def every(cases: Iterable[tuple[str, bool, str]], what: str = "cases") -> Seen:
    """A table of (name, held, observed): the failures are named, else how many there were."""
    known = list(cases)
    bad = [f"{name}: {observed}" for name, held, observed in known if not held]
    if not known:
        return Seen(False, f"no {what} were tried")
    shown = "; ".join(bad[:4]) + (f"; and {len(bad) - 4} more" if len(bad) > 4 else "")
    return Seen(not bad, f"{len(bad)} of {len(known)} {what}: {shown}" if bad else f"{len(known)} {what}")


# -- paths


def climbs(target: str) -> bool:
    """Whether a request target has a segment `.` or `..`, as sent, decoded once, or with backslashes read as slashes."""
    path = target.partition("?")[0]
    for read in (path, unquote(path)):
        for segment in re.split(r"[/\\]", read):
            if segment.partition(";")[0] in (".", ".."):
                return True
    return False


# -- members


def twice(body: bytes, *, by_case: bool = False) -> list[str]:
    """The top-level names that a JSON object holds more than once, escapes resolved; by_case: also those that differ in case alone."""
    pairs = json.loads(body, object_pairs_hook=lambda pairs: pairs)
    names = [name.casefold() if by_case else name for name, _ in pairs]
    return sorted({name for name in names if names.count(name) > 1})


# -- secrets


def _escaped(key: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in key)


def _reencoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


# How a key is written into the text of an error (JSON source, so backslashes are escapes), and what of it must not arrive.
PLAIN: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "plain": lambda key: (key, key),
    "all letters escaped": lambda key: (_escaped(key), key),
    "one letter escaped": lambda key: (key[:9] + _escaped(key[9]) + key[10:], key),
    "upper-case escapes": lambda key: ("".join(f"\\u{ord(c):04X}" for c in key), key),
    "a JSON text in the message": lambda key: (json.dumps(json.dumps({"k": key}))[1:-1], key),
}
ENCODED: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "base64": lambda key: (_reencoded(key), _reencoded(key)),
    "hex": lambda key: (key.encode().hex(), key.encode().hex()),
    "reversed": lambda key: (key[::-1], key[::-1]),
    "upper case": lambda key: (key.upper(), key.upper()),
    "spaced": lambda key: (" ".join(key), " ".join(key)),
    "its last half": lambda key: (key[len(key) // 2 :],) * 2,
    "its middle": lambda key: (key[len(key) // 4 : -len(key) // 4],) * 2,
}
RARE: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "base64 of a header": lambda key: (_reencoded("Bearer " + key), _reencoded("Bearer " + key)),
    "base64 for URLs": lambda key: (base64.urlsafe_b64encode(key.encode()).decode(),) * 2,
    "lower case": lambda key: (key.lower(), key.lower()),
    "without its beginning": lambda key: (key[10:],) * 2,
    "escapes of escapes": lambda key: (_escaped(key).replace("\\", "\\\\"), _escaped(key)),
    "percent signs": lambda key: ("".join(f"%{ord(c):02x}" for c in key),) * 2,
}


def texts(value: Any) -> str:
    """Every string in a JSON value, one a line; strings that are JSON themselves are opened."""
    found: list[str] = []
    queue = [value]
    while queue:
        one = queue.pop()
        if isinstance(one, dict):
            queue.extend(one)
            queue.extend(one.values())
        elif isinstance(one, list):
            queue.extend(one)
        elif isinstance(one, str):
            found.append(one)
            if one[:1] in ("{", '"', "["):
                try:
                    queue.append(json.loads(one))
                except ValueError:
                    continue
    return "\n".join(found)


def readable(raw: bytes) -> str:
    """What a program makes of a reply, a file of lines, or a stream: the bytes themselves and every string of the JSON in it."""
    text = raw.decode("utf-8", "replace")
    pieces = [text, re.sub(r"\\u([0-9a-fA-F]{4})", lambda hit: chr(int(hit[1], 16)), text)]
    for line in [text, *text.splitlines()]:
        event = line.strip().removeprefix("data:").strip()
        if event[:1] in ("{", "["):
            try:
                pieces.append(texts(json.loads(event)))
            except ValueError:
                continue
    return "\n".join(pieces)


def leaks(text: str, needle: str) -> bool:
    """Whether half of `needle`, in one piece, stands in `text`."""
    long = max(12, len(needle) // 2)
    return any(needle[at : at + long] in text for at in range(len(needle) - long + 1))


def found_in(data: bytes, key: str) -> list[str]:
    """In which writings `key` stands in a file."""
    ways = {
        "plain": key.encode(), "base64": base64.b64encode(key.encode())[:-4], "hex": key.encode().hex().encode(),
        "UTF-16": key.encode("utf-16-le"), "percent": quote(key, safe="").encode(),
    }  # fmt: skip
    return [name for name, way in ways.items() if way in data]


def statuses(seen: Sequence[int], allowed: Iterable[int]) -> bool:
    return set(seen) <= set(allowed)
