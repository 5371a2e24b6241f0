"""A provider repeats its key in every spelling: through the real gateway nobody gets it, neither the client nor whoever reads the ledger,
the audit log or their exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import pytest

from app.control.contract import NewProvider
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream
from tests.wire.spellings import KEYS, SPELLINGS, finds

KEY = KEYS["openai"]
PROVIDERS = {
    "chat": ("openai-compatible", "/v1"),
    "responses": ("responses-compatible", "/v1"),
    "claude": ("anthropic-compatible", "/v1"),
    "gemini": ("gemini", "/v1beta"),
}
_HELLO = [{"role": "user", "content": "hi"}]
# Path and body of a question by client dialect, with the model and whether it is streamed.
CLIENTS: dict[str, Any] = {
    "openai": lambda model, stream: ("/v1/chat/completions", {"model": model, "messages": _HELLO, "stream": stream}),
    "responses": lambda model, stream: ("/v1/responses", {"model": model, "input": "hi", "stream": stream}),
    "anthropic": lambda model, stream: ("/v1/messages", {"model": model, "max_tokens": 9, "messages": _HELLO, "stream": stream}),
    "gemini": lambda model, stream: (
        f"/v1beta/models/{quote(model, safe='/')}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream(key=KEY) as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("keys") / "data") as one:
        with one.control() as control:
            for name, (kind, path) in PROVIDERS.items():
                control.add_provider(NewProvider(name=name, kind=kind, base_url=provider.url + path, key=KEY, local=True))
        yield one


@pytest.fixture(scope="module")
def client(running: Gateway) -> str:
    return running.client("program")


def ask(running: Gateway, key: str, dialect: str, model: str, *, stream: bool) -> httpx2.Response:
    path, body = CLIENTS[dialect](model, stream)
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"} if dialect == "anthropic" else {"authorization": f"Bearer {key}"}
    if dialect == "gemini":
        headers = {"x-goog-api-key": key}
    return httpx2.post(running.url + path, headers=headers, json=body, timeout=30, trust_env=False)


def heard(reply: httpx2.Response) -> str:
    """All that a program gets to see: headers, the bytes, and what JSON says in them."""
    said = [f"{name}: {value}" for name, value in reply.headers.items()] + [reply.text]
    for line in reply.text.splitlines():
        try:
            said.append(json.dumps(json.loads(line.removeprefix("data: ")), ensure_ascii=False))
        except ValueError:
            continue
    return "\n".join(said)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("account", PROVIDERS)
@pytest.mark.parametrize("dialect", CLIENTS)
def test_in_errors_events_and_headers(running: Gateway, client: str, dialect: str, account: str, stream: bool) -> None:
    places = ["where=error", "where=error&raw=1", *(["where=event&after=0", "where=event&after=3", "where=event&raw=1"] if stream else [])]
    for number, spelling in enumerate(SPELLINGS):
        where = places[number % len(places)]
        reply = ask(running, client, dialect, f"{account}/fault/repeat-key?spelling={number}&{where}", stream=stream)
        assert reply.status_code >= 400 or "event" in where, reply.text
        assert not finds(KEY, heard(reply)), (spelling, where, reply.text)
    for where in ("where=headers", "where=packed", "where=words"):
        reply = ask(running, client, dialect, f"{account}/fault/repeat-key?{where}", stream=stream)
        assert not finds(KEY, heard(reply)), (where, heard(reply))
        assert ("answer" in reply.text) or where != "where=packed", reply.text
        assert stream or (reply.status_code == 502) == (where == "where=packed"), reply.text


def test_what_a_package_makes_of_it(running: Gateway, client: str) -> None:
    number = list(SPELLINGS).index("JSON escapes")
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=client, max_retries=0) as sdk:
        for account in PROVIDERS:
            with pytest.raises(openai.AuthenticationError) as caught:
                sdk.chat.completions.create(model=f"{account}/fault/repeat-key?spelling={number}&raw=1", messages=_HELLO)  # type: ignore[arg-type]
            assert "[key removed]" in str(caught.value)
            assert not finds(KEY, str(caught.value) + repr(caught.value.body) + repr(dict(caught.value.response.headers)))


def test_a_key_that_a_program_gives_for_a_model(running: Gateway, client: str) -> None:
    for model in (KEY, f"chat/{KEY}", f"openai/{KEYS['groq']}"):
        ask(running, client, "openai", model, stream=False)
    with running.control() as control:
        rows = wait_for(lambda: [row for row in control.activity(limit=3).rows if "[key removed]" in row.asked], "the rows")
    assert not any(finds(key, json.dumps([row.asked, row.model, row.message])) for row in rows for key in (KEY, KEYS["groq"]))


def test_a_key_in_a_list_of_models(running: Gateway, provider: Upstream) -> None:
    provider.on("/v1/models", f"repeat-key?where=error&spelling={list(SPELLINGS).index('plain')}")
    with running.control() as control:
        view = control.test_provider("chat")
    provider.behave()
    assert not finds(KEY, view.account.test_message)
    provider.on("/v1/models", "repeat-key?where=packed")
    with running.control() as control:
        view = control.test_provider("chat")
    provider.behave()
    assert view.account.test_ok is False
    assert "[key removed]" in view.account.test_message
    assert not finds(KEY, view.account.test_message)


def test_then_neither_ledger_nor_audit_log_nor_their_exports_hold_it(running: Gateway, client: str, tmp_path: Path) -> None:
    for account in PROVIDERS:
        for number in range(len(SPELLINGS)):
            ask(running, client, "openai", f"{account}/fault/repeat-key?spelling={number}{'&raw=1' * (number % 2)}", stream=number % 3 == 0)
    with running.control() as control:
        wait_for(lambda: len(control.activity(limit=200).rows) >= len(SPELLINGS), "the rows")
        for row in control.activity(limit=200).rows:
            assert not finds(KEY, row.message), row.message
        exported = b"".join([*control.export("jsonl"), *control.export("csv")]).decode()
        page = control.audit(limit=200)
    assert "[key removed]" in exported
    assert not finds(KEY, exported)
    assert not finds(KEY, repr(page))
    folder = tmp_path / "audit"
    running.cli("audit", "export", str(folder))
    for path in folder.iterdir():
        assert not finds(KEY, path.read_text("utf-8", "replace")), path
    assert not finds(KEY, running.log())
