"""What the engine decides without any I/O: who asks, where it goes, what the built-in model says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from app.core.errors import AppError
from app.core.names import check_account_name, check_client_name
from app.core.records import Client
from app.engine import echo, responses, safety
from app.engine.apart import Apart
from app.engine.clients import Clients, KeyBlockedError, fresh_key
from app.engine.routing import Target, choose
from app.wire.body import understand
from app.wire.dialects import DIALECTS

OFFERS = {"work": {"gpt-4o", "shared"}, "home": {"shared", "meta/llama"}, "gatehouse": {"echo"}}


class Asked:
    """A request of which only method, query and headers matter."""

    path = "/v1/chat/completions"

    def __init__(self, headers: dict[str, str], query: str = "", method: str = "POST") -> None:
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.query = query
        self.method = method

    def all(self, name: str) -> list[str]:
        return [self.headers[name]] if name in self.headers else []


def refusal(call: object) -> str:
    with pytest.raises(AppError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("work/gpt-4o", Target("work", "gpt-4o")),
        ("work/never-listed", Target("work", "never-listed")),
        ("gpt-4o", Target("work", "gpt-4o")),
        ("meta/llama", Target("home", "meta/llama")),
        ("work/meta/llama", Target("work", "meta/llama")),
        ("home/shared", Target("home", "shared")),
    ],
)
def test_a_model_name_leads_to_one_account(asked: str, target: Target) -> None:
    assert choose(asked, OFFERS) == target


def test_an_unknown_or_ambiguous_name_is_refused_with_the_names_to_use() -> None:
    with pytest.raises(AppError, match="Invalid model name passed in model=gpt-5") as unknown:
        choose("gpt-5", OFFERS)
    assert unknown.value.code == "model_unknown"
    with pytest.raises(AppError, match="home/shared, work/shared") as two:
        choose("shared", OFFERS)
    assert two.value.code == "model_ambiguous"
    assert refusal(lambda: choose("work/", OFFERS)) == "model_unknown"


def known() -> tuple[Clients, str]:
    clients = Clients(b"k" * 32)
    key = fresh_key()
    clients.put(Client(name="editor", prefix="sk-gh-", last4=key[-4:], created_us=1), clients.digest(key))
    return clients, key


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key"])
def test_a_key_is_taken_from_every_header_clients_use(header: str) -> None:
    clients, key = known()
    assert clients.identify(Asked({header: key}), 7).name == "editor"  # type: ignore[arg-type]
    assert clients.identify(Asked({"authorization": f"Bearer {key}"}), 8).name == "editor"  # type: ignore[arg-type]
    assert clients.identify(Asked({"authorization": "Bearer sk-something-else", header: key}), 9).name == "editor"  # type: ignore[arg-type]
    assert clients.all()[0].last_seen_us == 9


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, "", "key_missing"),
        ({"authorization": "Basic abc"}, "", "key_malformed"),
        ({"authorization": "Bearer sk-proj-abc"}, "", "key_malformed"),
        ({"authorization": "Bearer sk-gh-" + "x" * 43}, "", "key_unknown"),
        ({"authorization": "Bearer sk-gh-" + "x" * 5_000}, "", "key_malformed"),
        ({"x-api-key": ""}, "", "key_malformed"),
        ({}, "key=sk-gh-abc", "key_in_url"),
        ({}, "alt=sse&key=abc", "key_in_url"),
    ],
)
def test_every_kind_of_wrong_key_is_told_apart(headers: dict[str, str], query: str, code: str) -> None:
    clients, _ = known()
    assert refusal(lambda: clients.identify(Asked(headers, query), 1)) == code  # type: ignore[arg-type]


def test_a_blocked_key_names_its_client_and_a_removed_one_is_unknown() -> None:
    clients, key = known()
    clients.put(replace(clients.get("editor"), blocked=True), clients.digest_of("editor"))
    with pytest.raises(KeyBlockedError) as caught:
        clients.identify(Asked({"x-api-key": key}), 1)  # type: ignore[arg-type]
    assert caught.value.client.name == "editor"
    clients.remove("editor")
    assert refusal(lambda: clients.identify(Asked({"x-api-key": key}), 1)) == "key_unknown"  # type: ignore[arg-type]


@given(st.text(max_size=80))
def test_a_name_that_passes_is_plain(name: str) -> None:
    for check in (check_account_name, check_client_name):
        try:
            check(name)
        except AppError as error:
            assert error.code == "name_invalid"
        else:
            assert name.isascii() and name.isprintable() and "/" not in name and name == name.strip() and name != ".."


@pytest.mark.parametrize(("port", "host", "fits"), [(4141, "LOCALHOST:4141", True), (80, "127.0.0.1", True), (4141, "127.0.0.1", False)])
def test_only_our_own_host_names_fit(port: int, host: str, fits: bool) -> None:
    asked = Asked({"host": host, "content-type": "application/json; charset=utf-8"})
    if fits:
        safety.check(asked, safety.allowed_hosts(port))  # type: ignore[arg-type]
    else:
        assert refusal(lambda: safety.check(asked, safety.allowed_hosts(port))) == "host_not_allowed"  # type: ignore[arg-type]


def said(endpoint: str, body: dict[str, object], *, stream: bool) -> bytes:
    async def read() -> bytes:
        reply = echo.reply(endpoint, json.dumps(body).encode(), stream, "req_X", 1)
        return await reply.read(1 << 20)

    return asyncio.run(read())


@pytest.mark.parametrize("raw", [b'["resp_1"]', b"{}", b"7"])
def test_what_is_continued_from_is_named_by_a_text(raw: bytes) -> None:
    call = understand(b'{"model":"m","previous_response_id":%b}' % raw, "responses")
    begin = responses.begin(None, None, None, DIALECTS["responses"], b"", call, Apart())  # type: ignore[arg-type]
    with pytest.raises(AppError, match="body_invalid"):
        asyncio.run(begin)


@pytest.mark.parametrize("number", [b"1e99999", b"9" * 100_000, b"-1e999999"])
def test_echo_refuses_a_number_that_no_machine_holds(number: bytes) -> None:
    body = b'{"model":"gatehouse/echo","messages":[{"role":"user","content":"q"}],"seed":%b}' % number
    with pytest.raises(AppError, match="body_not_json"):
        echo.reply("chat/completions", body, False, "req_X", 1)


def data_lines(raw: bytes) -> list[bytes]:
    return [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]


@given(st.text(min_size=1))
def test_echo_says_the_prompt_back_in_both_dialects_whole_and_streamed(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    body: dict[str, object] = {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    }
    whole = ChatCompletion.model_validate_json(said("chat/completions", body, stream=False))
    assert whole.choices[0].message.content == text
    chunks = [ChatCompletionChunk.model_validate_json(line) for line in data_lines(said("chat/completions", body, stream=True))]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage == whole.usage
    message = Message.model_validate_json(said("messages", body, stream=False))
    assert message.content[0].text == text  # type: ignore[union-attr]
    adapter: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    events = [adapter.validate_json(line) for line in data_lines(said("messages", body, stream=True))]
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == text  # type: ignore[union-attr]


def test_echo_answers_legacy_completions_and_counts_words() -> None:
    assert Completion.model_validate_json(said("completions", {"prompt": "a b"}, stream=False)).choices[0].text == "a b"
    counted = json.loads(
        said("messages/count_tokens", {"system": "be brief", "messages": [{"role": "user", "content": "a b"}]}, stream=False)
    )
    assert counted == {"input_tokens": 4}


@pytest.mark.parametrize("body", [{}, {"messages": "x"}, {"messages": []}, {"messages": [{"role": "assistant"}]}])
def test_echo_refuses_what_has_no_prompt(body: dict[str, object]) -> None:
    assert refusal(lambda: said("chat/completions", body, stream=False)) == "body_invalid"
    assert refusal(lambda: said("embeddings", body, stream=False)) == "model_unknown"
