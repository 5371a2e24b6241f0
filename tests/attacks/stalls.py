"""A and G: one input that keeps everybody else waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.attacks.judge import every, stalled
from tests.attacks.registry import BOUNDS, Seen, attack
from tests.attacks.stage import Stage
from tests.attacks.upstream import error, reply

PATH = "/v1/chat/completions"
PATIENCE_S = 15.0
LONG = 900_000  # nearly as much as is read of a provider's error


def _meanwhile(stage: Stage, act: Callable[[], object], patience_s: float = PATIENCE_S) -> Seen:
    """Do `act` while an honest client asks; after `patience_s` enough was seen."""
    with stage.watch() as watch:
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        thread.join(patience_s)
    return stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s, watch.missed)


def _post(stage: Stage, body: bytes, path: str = PATH) -> Seen:
    return _meanwhile(stage, lambda: stage.post(path, body, timeout_s=PATIENCE_S))


@attack("A40", "22 MB body of 2,000,000 members", promise=BOUNDS, expected="refused, or others are served meanwhile")
def members(stage: Stage) -> Seen:
    """Finding the members of an object costs by their number, not by their bytes."""
    inner = b",".join(b'"%x":1' % number for number in range(2_000_000))
    return _post(stage, b'{"model":"gatehouse/echo","messages":[{"role":"user","content":"a"}],' + inner + b"}")


@attack("A41", "20 MB of small objects in one member", promise=BOUNDS, expected="refused, or others are served meanwhile")
def nested(stage: Stage) -> Seen:
    """Looking for forbidden names below the top makes an object of each."""
    body = (
        b'{"model":"gatehouse/echo","messages":[{"role":"user","content":"a"}],"options":[' + b",".join([b'{"a":{}}'] * 2_200_000) + b"]}"
    )
    return _post(stage, body)


@attack(
    "A42",
    "20 MB of small messages, in each dialect that is translated",
    promise=BOUNDS,
    expected="refused, or others are served meanwhile",
    short=False,
)
def messages(stage: Stage) -> Seen:
    """A translation reads what the same dialect passes untouched, so every message is looked at."""
    rows = []
    small = b",".join([b'{"role":"user","content":"a"}'] * 600_000)
    parts = b",".join([b'{"role":"user","parts":[{"text":"a"}]}'] * 450_000)
    for name, path, body in (
        ("Chat for Anthropic", PATH, b'{"model":"an/m","messages":[' + small + b"]}"),
        ("Chat for Gemini", PATH, b'{"model":"ge/m","messages":[' + small + b"]}"),
        ("Anthropic for Chat", "/v1/messages", b'{"model":"oa/m","max_tokens":5,"messages":[' + small + b"]}"),
        ("Responses for Chat", "/v1/responses", b'{"model":"oa/m","input":[' + small + b"]}"),
        ("Gemini for Chat", "/v1beta/models/oa%2fm:generateContent", b'{"contents":[' + parts + b"]}"),
    ):
        seen = _post(stage, body, path)
        rows.append((name, seen.held, seen.observed))
        if not stage.alive(20):
            break
    return every(rows, "translations")


def _error(stage: Stage, message: str, *, stream: bool = False) -> Seen:
    """A provider's 400 with this message, or the same as an event of a stream."""
    if stream:
        event = b'data: {"error": {"message": "' + message.encode() + b'", "code": 400}}\n\n'
        whole = reply(200, event, "text/event-stream")
    else:
        whole = error(400, message)
    stage.upstreams["oa"].answer = lambda _: [whole]
    return _meanwhile(stage, lambda: stage.chat("oa/m", PATIENCE_S, stream=stream))


@attack("A43", "a provider's error with 200 KB of -eyJ0123456789", promise=BOUNDS, expected="others are served meanwhile")
def tokens(stage: Stage) -> Seen:
    """What looks like the beginning of a token again and again makes a careless pattern try each of them to the end."""
    return _error(stage, "-eyJ0123456789" * 15_000)


@attack("A44", "a provider's error with 900 KB of -eyJ0123456789", promise=BOUNDS, expected="others are served meanwhile", short=False)
def tokens_more(stage: Stage) -> Seen:
    """Four times the length costs 18 times the time where the pattern is quadratic."""
    return _error(stage, "-eyJ0123456789" * (LONG // 14))


@attack(
    "A45",
    "a provider's error of 900 KB: letters and ****, dots, beginnings of keys",
    promise=BOUNDS,
    expected="others are served meanwhile",
)
def stars(stage: Stage) -> Seen:
    """The other patterns that look for keys: masked ones, tokens cut by dots, beginnings without an end."""
    rows = []
    for name, text in {
        "a and ****": "a" * LONG + "****",
        "a**": "a**" * (LONG // 3) + "****",
        "eyJ and dots": "eyJ" + "a" * 12 + "." * LONG,
        "sk-": "sk-" * (LONG // 3),
        "bearer": "Bearer " * (LONG // 7),
        "bearer and blanks": "Bearer" + " " * LONG,
        "AIza": "AIza" * (LONG // 4),
        "bullets": "•" * (LONG // 3),
    }.items():
        seen = _error(stage, text)
        rows.append((name, seen.held, seen.observed))
        if not seen.held:
            break
    return every(rows, "texts")


@attack("A46", "the same 200 KB as an event of a stream", promise=BOUNDS, expected="others are served meanwhile")
def events(stage: Stage) -> Seen:
    """Errors come in streams too."""
    return _error(stage, "-eyJ0123456789" * 15_000, stream=True)
