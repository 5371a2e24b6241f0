"""A: the same member twice. The gateway judges one of them; the provider may believe the other."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.attacks import wire
from tests.attacks.judge import every, twice
from tests.attacks.registry import ALLOWED, NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage

TEXT: Final = [{"role": "user", "content": "x"}]
# dialect: account, path, a good body without the member, and the members with two values each.
DIALECTS: Final[dict[str, tuple[str, str, dict[str, Any], dict[str, tuple[Any, Any]]]]] = {
    "Chat": ("oa", "/v1/chat/completions", {"model": "oa/m", "messages": TEXT}, {
        "messages": (TEXT, []), "stream": (False, True), "max_tokens": (1, 9_999), "tools": ([], []), "temperature": (0, 1),
    }),
    "Anthropic": ("an", "/v1/messages", {"model": "an/m", "messages": TEXT, "max_tokens": 5}, {
        "messages": (TEXT, TEXT), "stream": (False, True), "max_tokens": (5, 9_999), "system": ("a", "b"), "tools": ([], []),
    }),
    "Responses": ("re", "/v1/responses", {"model": "re/m", "input": "x"}, {
        "input": ("x", "y"), "stream": (False, True), "instructions": ("a", "b"), "max_output_tokens": (5, 9_999), "tools": ([], []),
    }),
    "Gemini": ("ge", "/v1beta/models/ge%2fm:generateContent", {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}, {
        "contents": ([{"parts": [{"text": "x"}]}], [{"parts": [{"text": "y"}]}]), "systemInstruction": ({}, {}), "tools": ([], []),
        "generationConfig": ({}, {}),
    }),
}  # fmt: skip


def _body(good: dict[str, Any], name: str, second: str, values: tuple[Any, Any]) -> bytes:
    """`good` with `name` and then `second` (JSON source of a name), each with its value."""
    rest = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in good.items() if key != name]
    pairs = [f'"{name}": {json.dumps(values[0])}', f"{second}: {json.dumps(values[1])}"]
    return ("{" + ", ".join([*rest, *pairs]) + "}").encode()


def _escaped(name: str) -> str:
    return f'"{name[:2]}\\u{ord(name[2]):04x}{name[3:]}"'


def _spellings(name: str, *, by_case: bool) -> list[str]:
    return [f'"{name.capitalize()}"', f'"{name.upper()}"'] if by_case else [f'"{name}"', _escaped(name)]


def _twice(stage: Stage, *, by_case: bool) -> Seen:
    rows = []
    for dialect, (account, path, good, members) in DIALECTS.items():
        upstream = stage.upstreams[account]
        for name, values in members.items():
            for second in _spellings(name, by_case=by_case):
                upstream.reset()
                stage.post(path, _body(good, name, second, values), ("anthropic-version", "2023-06-01"))
                arrived = [found for asked in upstream.seen for found in twice(asked.body, by_case=by_case)]
                rows.append((f"{dialect} {name} and {second}", not arrived, "reached the provider twice"))
    return every(rows, "pairs")


@attack("A70", "model twice: plainly, by an escape, by its case, in every dialect", promise=ALLOWED, expected="refused, or sent once")
def model(stage: Stage) -> Seen:
    """Which model is asked decides what it costs and whether the key may: both ends must read the same."""
    rows = []
    for dialect, (account, path, good, _) in DIALECTS.items():
        if "model" not in good:
            continue
        upstream = stage.upstreams[account]
        for by_case in (False, True):
            for second in _spellings("model", by_case=by_case):
                upstream.reset()
                stage.post(path, _body(good, "model", second, (f"{account}/m", f"{account}/other")), ("anthropic-version", "2023-06-01"))
                arrived = [found for asked in upstream.seen for found in twice(asked.body, by_case=True)]
                rows.append((f"{dialect} model and {second}", not arrived, "reached the provider twice"))
    return every(rows, "pairs")


@attack("A71", "any other member twice, plainly or by an escape, in every dialect", promise=NOT_PROMISED, expected="refused, or sent once")
def exact(stage: Stage) -> Seen:
    """messages, input, contents, system, stream, max_tokens, tools: the gateway and the provider may each read another one."""
    return _twice(stage, by_case=False)


@attack("A72", "any other member twice, by its case, in every dialect", promise=NOT_PROMISED, expected="refused, or sent once")
def case(stage: Stage) -> Seen:
    """Some readers match names without regard to case."""
    return _twice(stage, by_case=True)


@attack("A73", "another client's stored answers", promise=ALLOWED, expected="404")
def stored(stage: Stage) -> Seen:
    """Ids that were not given to this client: reading, deleting, going on from them."""
    other = stage.gateway.cli("client", "add", "somebody").stdout.strip()
    stage.gateway.cli("client", "content", "somebody", "on")
    kept = wire.ask(
        stage.port, "POST", "/v1/responses", json.dumps({"model": "gatehouse/echo", "input": "x", "store": True}).encode(), key=other
    )
    name = str(json.loads(kept.body or b"{}").get("id", "")) if kept.status == 200 else ""
    rows = [
        (
            "its owner",
            bool(name) and wire.ask(stage.port, "GET", f"/v1/responses/{name}", key=other).status == 200,
            f"{kept.status}: cannot be tried",
        )
    ]
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        status = wire.ask(stage.port, method, f"/v1/responses/{name}{tail}", b"{}" if method == "POST" else None, key=stage.key).status
        rows.append((f"{method}{tail}", status in (400, 403, 404, 405), str(status)))
    body = json.dumps({"model": "gatehouse/echo", "input": "x", "previous_response_id": name}).encode()
    status = stage.post("/v1/responses", body).status
    return every([*rows, ("going on from it", status in (400, 403, 404), str(status))], "ways")
