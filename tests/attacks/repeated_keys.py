"""D: keys that a provider repeats, in whatever writing: they must not reach the client, the ledger or an export."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.attacks import wire
from tests.attacks.judge import ENCODED, PLAIN, RARE, every, leaks, readable
from tests.attacks.registry import KEYS, NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage, random_key
from tests.attacks.upstream import error, reply, slowly

SAID = "Incorrect API key provided: "
ANTHROPIC = ("anthropic-version", "2023-06-01")
# The ways of a request: path, body for a model, account. The same dialect, and a translation of each answer.
WAYS = (
    ("/v1/chat/completions", "oa"), ("/v1/messages", "oa"), ("/v1/chat/completions", "an"), ("/v1/messages", "an"),
    ("/v1/chat/completions", "ge"), ("/v1/chat/completions", "az"), ("/v1/responses", "re"),
)  # fmt: skip


def _ask(stage: Stage, path: str, account: str, *, stream: bool = False) -> wire.Reply:
    if path.endswith("responses"):
        body = json.dumps({"model": f"{account}/m", "input": "x", "stream": stream}).encode()
    else:
        body = wire.chat(f"{account}/m", max_tokens=5, stream=stream)
    return stage.post(path, body, ANTHROPIC)


def _repeated(stage: Stage, forms: Iterable[str], ways: Iterable[tuple[str, str]]) -> Seen:
    """Each form of each account's key in an error of its provider, at the client and in the ledger."""
    rows, looked = [], []
    for name in forms:
        for path, account in ways:
            source, needle = {**PLAIN, **ENCODED, **RARE}[name](stage.keys[account])
            stage.upstreams[account].answer = lambda _, source=source: [error(400, SAID + source)]
            got = readable(_ask(stage, path, account).raw)
            rows.append((f"{name}, {path[4:]} of {account}", not leaks(got, needle) and bool(got), "reached the client"))
            looked.append((f"{name} of {account}", needle))
    held = readable(stage.ledger(everywhere=True))
    rows += [(name, not leaks(held, needle), "is in the ledger or an export") for name, needle in dict(looked).items()]
    return every(rows, "places")


@attack(
    "D1",
    "a provider's error repeats the key: plainly and with JSON's escapes",
    promise=KEYS,
    expected="removed at the client, in ledger and exports",
)
def escaped(stage: Stage) -> Seen:
    """`\\u0073\\u006b` is `sk` to every program that reads the error, whatever the bytes look like. All dialects, same and translated."""
    return _repeated(stage, PLAIN, WAYS)


@attack("D2", "the key in another writing: base64, hex, reversed, in capitals, spaced, in part", promise=NOT_PROMISED, expected="removed")
def encoded(stage: Stage) -> Seen:
    """Nobody promised these. Half of a key, or a way to work it out, is still more than a client should see."""
    return _again(stage, ENCODED)


@attack(
    "D9",
    "the key in rarer writings: percent signs, base64 of a header, small letters, escapes of escapes",
    promise=NOT_PROMISED,
    expected="removed",
)
def rare(stage: Stage) -> Seen:
    """Writings that no provider is known to use for a key."""
    return _again(stage, RARE)


def _again(stage: Stage, forms: Iterable[str]) -> Seen:
    """As `_repeated`, with keys that the ledger has not seen yet."""
    ways = WAYS[:3] if stage.short else WAYS
    stage.rekey(*{account for _, account in ways})
    return _repeated(stage, forms, ways)


@attack("D3", "the key in an error that is no JSON, broken JSON, HTML, or has an odd status or type", promise=KEYS, expected="removed")
def shapes(stage: Stage) -> Seen:
    """An error that cannot be read as JSON is passed on as text by many gateways."""
    stage.rekey("oa")
    key, rows = stage.keys["oa"], []
    escapes = PLAIN["all letters escaped"](key)[0]
    cases = {
        "text": reply(400, f"{SAID}{key}".encode(), "text/plain"),
        "HTML": reply(403, f"<p>{SAID}<b>{key}</b></p>".encode(), "text/html"),
        "JSON cut off": reply(400, f'{{"error": {{"message": "{SAID}{key}'.encode()),
        "JSON cut off, escaped": reply(400, f'{{"error": {{"message": "{SAID}{escapes}'.encode()),
        "two objects, escaped": reply(400, f'{{}}{{"error": "{escapes}"}}'.encode()),
        "a list, escaped": reply(400, f'[{{"error": {{"message": "{escapes}"}}}}]'.encode()),
        "a text, escaped": reply(400, f'"{escapes}"'.encode()),
        "the name of a member, escaped": reply(400, f'{{"error": {{"{escapes}": 1, "message": "x"}}}}'.encode()),
        "param and code, escaped": reply(400, f'{{"error": {{"message": "x", "param": "{escapes}", "code": "{escapes}"}}}}'.encode()),
        "status 599, escaped": reply(599, f'{{"error": {{"message": "{escapes}"}}}}'.encode()),
        "JSON called text, escaped": reply(400, f'{{"error": {{"message": "{escapes}"}}}}'.encode(), "text/plain"),
        "an error with status 200, escaped": reply(200, f'{{"error": {{"message": "{escapes}"}}}}'.encode()),
    }
    for name, answer in cases.items():
        for path in ("/v1/chat/completions", "/v1/messages"):
            stage.upstreams["oa"].answer = lambda _, answer=answer: [answer]
            rows.append((f"{name}, {path[4:]}", not leaks(readable(_ask(stage, path, "oa").raw), key), "reached the client"))
    held = readable(stage.ledger())
    rows.append(("the ledger", not leaks(held, key), "holds it"))
    return every(rows, "shapes")


@attack("D4", "the key in an error event of a stream, in pieces of 7 bytes", promise=KEYS, expected="removed")
def streamed(stage: Stage) -> Seen:
    """What is searched piece by piece is never found whole. Plain and escaped, first event and later one, same dialect and translated."""
    stage.rekey("oa")
    key, rows = stage.keys["oa"], []
    first = json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "A"}, "finish_reason": None}]})  # fmt: skip
    for name, form in PLAIN.items():
        source = form(key)[0]
        event = f'data: {{"error": {{"message": "{SAID}{source}", "type": "x", "code": "y"}}}}\n\n'
        for place, text in (
            ("first", event),
            ("later", f"data: {first}\n\n{event}"),
            ("two lines", event.replace(', "type"', ',\ndata: "type"')),
        ):
            whole = reply(200, text.encode(), "text/event-stream")
            stage.upstreams["oa"].answer = lambda _, whole=whole: slowly(whole, 7)
            for path in ("/v1/chat/completions", "/v1/messages"):
                got = readable(_ask(stage, path, "oa", stream=True).body)
                rows.append((f"{name}, {place} event, {path[4:]}", not leaks(got, key), "reached the client"))
    return every([*rows, ("the ledger", not leaks(readable(stage.ledger()), key), "holds it")], "streams")


@attack("D5", "the key in the provider's reply headers", promise=NOT_PROMISED, expected="removed")
def headers(stage: Stage) -> Seen:
    """Names that come back by allowlist may still hold anything; so may the type of the body."""
    key, rows = stage.keys["oa"], []
    names = (
        "x-request-id",
        "request-id",
        "openai-organization",
        "openai-version",
        "x-ratelimit-remaining-requests",
        "retry-after",
        "openai-processing-ms",
    )
    for status in (200, 400):
        body = b'{"error": {"message": "x"}}' if status == 400 else b'{"id": "c", "choices": []}'
        for name in names:
            stage.upstreams["oa"].answer = lambda _, name=name: [reply(status, body, "application/json", (name, f"req-{key}"))]  # noqa: B023
            rows.append(
                (f"{name} with {status}", not leaks(readable(_ask(stage, "/v1/chat/completions", "oa").raw), key), "reached the client")
            )
        stage.upstreams["oa"].answer = lambda _: [reply(status, body, f"application/json; charset={key}")]  # noqa: B023
        rows.append(
            (f"content-type with {status}", not leaks(readable(_ask(stage, "/v1/chat/completions", "oa").raw), key), "reached the client")
        )
    return every(rows, "headers")


@attack("D6", "a key where the model's name belongs", promise=NOT_PROMISED, expected="not kept in ledger and exports")
def as_model(stage: Stage) -> Seen:
    """Programs are configured wrongly: the key in the field of the model, with and without an account before it."""
    keys = {begins: random_key(begins) for begins in ("sk-proj-", "sk-ant-api03-", "AIza", "gsk_", "xai-")}
    return _asked_for(stage, {**keys, "this client's own": stage.key})


@attack(
    "D10",
    "a stored key without a known beginning where the model's name belongs",
    promise=NOT_PROMISED,
    expected="not kept in ledger and exports",
)
def stored_as_model(stage: Stage) -> Seen:
    """Its looks do not give it away, but the gateway knows it: it is the key of one of its accounts."""
    stage.rekey("oa", "az")
    return _asked_for(stage, {"az": stage.keys["az"], "oa": stage.keys["oa"]})


def _asked_for(stage: Stage, keys: dict[str, str]) -> Seen:
    for one in keys.values():
        for model in (one, f"oa/{one}", f"gatehouse/{one}"):
            stage.chat(model)
    held = readable(stage.ledger())
    return every([(name, not leaks(held, one), "is in the ledger") for name, one in keys.items()], "keys")


@attack("D7", "a redirect to another host, by a provider that has the key", promise=KEYS, expected="not followed; the key stays")
def redirect(stage: Stage) -> Seen:
    """A key is sent to the host it was stored for and to no other."""
    other, rows = stage.upstreams["an"], []
    for status in (301, 302, 307, 308):
        for scheme in ("http", "https"):
            where = f"{scheme}://127.0.0.1:{other.port}/v1/chat/completions"
            stage.upstreams["oa"].answer = lambda _: [reply(status, b"{}", "application/json", ("Location", where))]  # noqa: B023
            got = _ask(stage, "/v1/chat/completions", "oa")
            rows.append((f"{status} to {scheme}", not other.seen and not got.header("location"), f"{len(other.seen)} requests elsewhere"))
    return every(rows, "redirects")


@attack("D8", "the client's own headers, on their way to the provider", promise=KEYS, expected="the client's key and cookies stay here")
def onward(stage: Stage) -> Seen:
    """Only functional headers go out; the client's key never does, and neither does what tells of the machine."""
    sent = [
        ("Cookie", "a=canary-1"),
        ("X-Forwarded-For", "canary-2"),
        ("Referer", "http://canary-3"),
        ("User-Agent", "canary-4"),
        ("X-Api-Key", stage.key),
        ("X-Stainless-OS", "canary-5"),
        ("Proxy-Authorization", "canary-6"),
        ("X-Other", "canary-7"),
        ("Via", "canary-8"),
        ("From", "canary-9"),
    ]
    rows = []
    for account in ("oa", "an", "ge", "az", "re"):
        upstream = stage.upstreams[account]
        path = "/v1/responses" if account == "re" else "/v1/chat/completions"
        body = json.dumps({"model": "re/m", "input": "x"}).encode() if account == "re" else wire.chat(f"{account}/m")
        stage.post(path, body, *sent)
        values = [value for asked in upstream.seen for _, value in asked.headers] + [asked.target for asked in upstream.seen]
        bad = [value for value in values if "canary" in value or stage.key in value]
        rows.append((account, bool(upstream.seen) and not bad, f"{bad[:2] or 'was not asked'}"))
    return every(rows, "providers")
