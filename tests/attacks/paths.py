"""A: model names that climb out of the path they are put into."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from tests.attacks import wire
from tests.attacks.judge import climbs, every
from tests.attacks.registry import ALLOWED, Seen, attack
from tests.attacks.stage import Stage

DOTS = (
    "..", ".", "../x", "./x", "x/..", "x/../y", "../../../admin/keys/create", "tunedModels/../../x", "..%2fx", "%2e%2e/x", "%2e%2e",
    "%2e%2e%2fx",     "%2E%2E", "..\\x", "x\\..\\y", "..;/x", "%2e%2e;x/y", ".%2e/x", "%252e%252e/x", "models/../x", "/../x", "//../x",
)  # fmt: skip


def _climbed(stage: Stage) -> list[str]:
    return [asked.target for upstream in stage.upstreams.values() for asked in upstream.seen if climbs(asked.target)]


def _try(stage: Stage, requests: Iterable[tuple[str, str, bytes | None]]) -> Seen:
    rows = []
    for method, path, body in requests:
        for upstream in stage.upstreams.values():
            upstream.reset()
        status = wire.ask(stage.port, method, path, body, [("anthropic-version", "2023-06-01")], key=stage.key).status
        climbed = _climbed(stage)
        rows.append((path if body is None or "model" not in str(body[:9]) else body[:60].decode(), not climbed and status != 0,
                     f"the provider saw {climbed[0]}" if climbed else str(status)))  # fmt: skip
    return every(rows, "requests")


@attack("A60", "dots in a model of the body, OpenAI's dialect, for every kind of provider", promise=ALLOWED, expected="refused")
def openai(stage: Stage) -> Seen:
    """Chat, embeddings and completions: for Gemini and Azure the model becomes a part of the path, with the person's key."""

    def requests() -> Iterable[tuple[str, str, bytes | None]]:
        for account in ("ge", "az", "oa", "an", "re"):
            for dots in DOTS if account in ("ge", "az") else DOTS[:6]:
                yield "POST", "/v1/chat/completions", wire.chat(f"{account}/{dots}")
        for dots in DOTS[:8]:
            yield "POST", "/v1/embeddings", json.dumps({"model": f"az/{dots}", "input": "x"}).encode()
            yield "POST", "/v1/completions", json.dumps({"model": f"az/{dots}", "prompt": "x"}).encode()

    return _try(stage, requests())


@attack("A61", "dots in a model of the body, Anthropic's and Responses' dialects", promise=ALLOWED, expected="refused")
def others(stage: Stage) -> Seen:
    """The same names by the ways of the other dialects, counting tokens included."""

    def requests() -> Iterable[tuple[str, str, bytes | None]]:
        for account in ("ge", "az", "an"):
            for dots in DOTS[:12]:
                yield "POST", "/v1/messages", wire.chat(f"{account}/{dots}", max_tokens=5)
                yield "POST", "/v1/responses", json.dumps({"model": f"{account}/{dots}", "input": "x"}).encode()
        for dots in DOTS[:8]:
            yield "POST", "/v1/messages/count_tokens", wire.chat(f"ge/{dots}")
            yield "POST", "/v1/responses/input_tokens", json.dumps({"model": f"ge/{dots}", "input": "x"}).encode()

    return _try(stage, requests())


@attack("A62", "dots in a model of the path, Gemini's dialect", promise=ALLOWED, expected="refused")
def gemini(stage: Stage) -> Seen:
    """As sent, encoded once and encoded twice; asked, streamed and counted."""
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}).encode()

    def requests() -> Iterable[tuple[str, str, bytes | None]]:
        for account in ("ge", "az"):
            for dots in DOTS:
                for name in {f"{account}/{dots}", quote(f"{account}/{dots}", safe=""), quote(quote(f"{account}/{dots}", safe=""), safe="")}:
                    yield "POST", f"/v1beta/models/{name}:generateContent", body
        for dots in DOTS[:10]:
            name = quote(f"ge/{dots}", safe="")
            yield "POST", f"/v1beta/models/{name}:streamGenerateContent?alt=sse", body
            yield "POST", f"/v1beta/models/{name}:countTokens", body
            yield "POST", f"/v1beta/tunedModels/{name}:generateContent", body
            yield "POST", f"/v1/models/{name}:generateContent", body
            yield "GET", f"/v1beta/models/{name}", None
        yield "POST", "/v1beta/models/ge%2f..%2f..%2f..%2fv3%2fprojects%2fsecret:generateContent", body

    return _try(stage, requests())


@attack("A63", "dots in a deployment's name, a response's id and a model's id", promise=ALLOWED, expected="refused")
def azure(stage: Stage) -> Seen:
    """Azure's way of asking, and ids that a careless gateway would put behind a provider's address."""
    chat = wire.chat("x")

    def requests() -> Iterable[tuple[str, str, bytes | None]]:
        for dots in DOTS:
            for account in ("az", "ge"):
                name = quote(f"{account}/{dots}", safe="")
                yield "POST", f"/openai/deployments/{name}/chat/completions?api-version=2024-10-21", chat
            yield "POST", f"/openai/deployments/{quote(f'az/{dots}', safe='')}/embeddings", json.dumps({"input": "x"}).encode()
            for prefix in ("", "re%2f", "resp_1%2f"):
                yield "GET", f"/v1/responses/{prefix}{quote(dots, safe='')}", None
            yield "GET", f"/v1/models/{quote(f'ge/{dots}', safe='')}", None
        yield "DELETE", "/v1/responses/..%2fx", None
        yield "POST", "/v1/responses/..%2fx/cancel", b"{}"
        yield "GET", "/v1/responses/..%2fx/input_items", None

    return _try(stage, requests())


@attack("A64", "question marks, number signs and colons in a model", promise=ALLOWED, expected="quoted, or refused")
def marks(stage: Stage) -> Seen:
    """A model must not end the path it stands in, nor bring a query of its own."""
    rows = []
    for account in ("ge", "az"):
        for name in ("x?key=stolen", "x#", "x%3fa=b", "x&a=b", "x:countTokens", "x y", "x\tz", "é"):
            upstream = stage.upstreams[account]
            upstream.reset()
            stage.post("/v1/chat/completions", wire.chat(f"{account}/{name}"))
            for asked in upstream.seen:
                end = asked.target.partition("?")[0]
                kept = (
                    end.endswith((":generateContent", "/chat/completions"))
                    and "#" not in asked.target
                    and "stolen" not in asked.target.partition("?")[2]
                )
                rows.append((name, kept and asked.target.isascii(), asked.target))
    return every(rows or [("all", True, "refused")], "names")
