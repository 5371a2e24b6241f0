"""Gatehouse stops while requests run: their clients are told so in their own dialect, and their rows do not say that the clients left."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from app.control.contract import Exchange, NewProvider
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import upstream

SENTENCE: Final = "Gatehouse was stopped"


@dataclass(frozen=True, slots=True)
class Ask:
    """One way of asking. path: with `{model}` where the model is in it."""

    path: str
    body: dict[str, Any]
    streams: bool = True
    headers: dict[str, str] = field(default_factory=dict)


_MESSAGES: Final = [{"role": "user", "content": "Hello"}]
_CONTENTS: Final = [{"role": "user", "parts": [{"text": "Hello"}]}]
_ANTHROPIC: Final = {"anthropic-version": "2023-06-01"}
ASKS: Final = {
    "chat, streamed": Ask("/v1/chat/completions", {"stream": True, "messages": _MESSAGES}),
    "chat": Ask("/v1/chat/completions", {"messages": _MESSAGES}, streams=False),
    "responses, streamed": Ask("/v1/responses", {"stream": True, "input": "Hello", "store": False}),
    "responses": Ask("/v1/responses", {"input": "Hello", "store": False}, streams=False),
    "anthropic, streamed": Ask("/v1/messages", {"stream": True, "max_tokens": 99, "messages": _MESSAGES}, headers=_ANTHROPIC),
    "anthropic": Ask("/v1/messages", {"max_tokens": 99, "messages": _MESSAGES}, streams=False, headers=_ANTHROPIC),
    "gemini, streamed": Ask("/v1beta/models/{model}:streamGenerateContent?alt=sse", {"contents": _CONTENTS}),
    "gemini, an array": Ask("/v1beta/models/{model}:streamGenerateContent", {"contents": _CONTENTS}),
    "gemini": Ask("/v1beta/models/{model}:generateContent", {"contents": _CONTENTS}, streams=False),
}  # fmt: skip
PROVIDERS: Final = {
    "chat": ("openai-compatible", "/v1"),
    "responses": ("responses-compatible", "/v1"),
    "claude": ("anthropic-compatible", "/v1"),
    "gemini": ("gemini", "/v1beta"),
}


def told(kind: str, text: str) -> str:
    """The sentence of the last error in a client's own dialect."""
    if kind == "gemini, an array":
        last = json.loads(text)[-1]
    else:
        last = json.loads([line for line in text.splitlines() if line.startswith("data: {")][-1].removeprefix("data: "))
    match kind.partition(",")[0]:
        case "chat" | "gemini":
            return str(last["error"]["message"])
        case "anthropic":
            assert (last["type"], last["error"]["type"]) == ("error", "api_error")
            return str(last["error"]["message"])
        case _:
            assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
            return str(last["response"]["error"]["message"])


@dataclass
class Got:
    status: int = 0
    text: str = ""
    id: str = ""
    broke: str = ""


def ask(one: Gateway, key: str, kind: str, model: str, begun: list[str]) -> Got:
    """What a client has in its hands at the end, even if the connection broke."""
    way = ASKS[kind]
    got = Got()
    body = way.body if "{model}" in way.path else {"model": model, **way.body}
    url = one.url + way.path.replace("{model}", model)
    headers = {"authorization": f"Bearer {key}", **way.headers}
    if "gemini" in kind:
        headers = {"x-goog-api-key": key}
    with httpx2.Client(trust_env=False, timeout=60) as http:
        try:
            with http.stream("POST", url, json=body, headers=headers) as reply:
                got.status, got.id = reply.status_code, reply.headers.get("x-gatehouse-call-id", "")
                for piece in reply.iter_text():
                    got.text += piece
                    begun.append(kind)
        except httpx2.HTTPError as error:
            got.broke = repr(error)
    return got


@pytest.mark.timeout(300)
def test_who_is_waiting_when_gatehouse_stops_is_told_so_and_recorded_so(tmp_path: Path) -> None:
    cases = [(kind, account, fault) for kind in ASKS for account in PROVIDERS for fault in ("stall", "silent")]
    with upstream() as up:
        one = Gateway(tmp_path / "data").start()
        one.wait_open()
        with one.control() as control:
            for name, (kind, path) in PROVIDERS.items():
                control.add_provider(NewProvider(name=name, kind=kind, base_url=f"{up.url}{path}", local=True, key=up.key))
        key = one.client("waiter")
        begun: list[str] = []
        host, port = one.url.removeprefix("http://").split(":")
        with ThreadPoolExecutor(len(cases)) as pool, socket.create_connection((host, int(port))) as unfinished:
            head = f"POST /v1/messages HTTP/1.1\r\nHost: {host}:{port}\r\nx-api-key: {key}\r\nContent-Type: application/json\r\n"
            unfinished.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
            asked = [pool.submit(ask, one, key, kind, f"{account}/fault/{fault}", begun) for kind, account, fault in cases]
            seen = len([case for case in cases if case[2] == "stall" and ASKS[case[0]].streams])
            wait_for(lambda: len(up.requests) >= len(cases) + len(PROVIDERS), "every request to be out", 60)
            wait_for(lambda: len(begun) >= seen, "every stream to have begun", 60)
            assert one.stop() == 0
            got = [each.result(30) for each in asked]
            unfinished.settimeout(5)
            half = b""
            while piece := unfinished.recv(65536):
                half += piece
    with gateway(one.folder) as again:
        rows: dict[str, Exchange] = {row.id: row for row in every_row(again, "waiter")}
    assert half.startswith(b"HTTP/1.1 503 "), half
    assert SENTENCE.encode() in half and b'"type":"error"' in half
    assert len(rows) == len(cases) + 1
    for (kind, account, fault), answer in zip(cases, got, strict=True):
        where = (kind, account, fault, answer)
        row = rows[answer.id] if answer.id else None
        assert row is not None, where
        assert not answer.broke, where
        # One whose provider says nothing for ten seconds has been given its 200 and a keepalive, on a busy machine.
        assert row.status == answer.status in (200, 503), where
        assert answer.status == 200 or not (fault == "stall" and ASKS[kind].streams), where
        assert answer.status == 503 or ASKS[kind].streams, where
        assert (row.outcome, row.error) == ("interrupted", "draining"), where
        assert SENTENCE in row.message, where
        if answer.status == 200:
            assert SENTENCE in told(kind, answer.text), where
        else:
            assert SENTENCE in json.loads(answer.text)["error"]["message"], where
    unread = next(row for row in rows.values() if not row.account)
    assert (unread.outcome, unread.status, unread.endpoint) == ("interrupted", 503, "messages")


def every_row(one: Gateway, client: str) -> list[Exchange]:
    with one.control() as control:
        return [row for row in control.activity(limit=1000).rows if row.client == client]
