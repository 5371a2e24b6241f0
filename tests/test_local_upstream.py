"""The local upstream itself: the official SDKs take its replies for the real ones, and it goes wrong in the way it was asked to."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest

from tests.misbehaviour import FAULTS
from tests.upstream import RECORDINGS, Upstream, black_hole, refused_port, upstream

RECORDED = sorted(f"{folder.parent.name}/{folder.name}" for folder in RECORDINGS.glob("*/*") if folder.is_dir())


@pytest.fixture
def sdk(up: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=up.url + "/v1", api_key=up.key, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(up: Upstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=up.url, api_key=up.key, max_retries=0) as client:
        yield client


def test_the_openai_sdk_reads_every_reply(sdk: openai.OpenAI) -> None:
    chat = sdk.chat.completions.create(model="gpt-4o-mini?input=100&cached=40&output=7", messages=[{"role": "user", "content": "hi"}])
    assert (chat.choices[0].message.content or "").startswith("Hello from the upstream")
    assert chat.usage is not None
    assert chat.usage.prompt_tokens_details is not None
    assert (chat.usage.prompt_tokens, chat.usage.prompt_tokens_details.cached_tokens, chat.usage.completion_tokens) == (100, 40, 7)
    text = sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi")
    assert text.choices[0].text.startswith("Hello")
    vectors = sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [vector.embedding for vector in vectors.data] == [[0.25, -0.5, 0.75, 0.0]] * 2
    assert sdk.embeddings.create(model="e", input="a", encoding_format="float").data[0].embedding == [0.25, -0.5, 0.75, 0.0]
    names = [model.id for model in sdk.models.list()]
    assert "gpt-4o-mini" in names
    assert sdk.models.retrieve("gpt-4o-mini").object == "model"


def test_usage_of_a_stream_comes_only_when_asked_for(sdk: openai.OpenAI) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
    plain = list(sdk.chat.completions.create(model="any", messages=messages, stream=True))
    assert all(chunk.usage is None for chunk in plain)
    assert plain[-1].choices[0].finish_reason == "stop"
    asked = list(sdk.chat.completions.create(model="any", messages=messages, stream=True, stream_options={"include_usage": True}))
    assert len(asked) == len(plain) + 1
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.total_tokens == 29
    text = "".join(chunk.choices[0].delta.content or "" for chunk in plain)
    assert text == "".join(chunk.choices[0].delta.content or "" for chunk in asked[:-1])


def test_the_anthropic_sdk_reads_every_reply(claude: anthropic.Anthropic) -> None:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hi"}]
    whole = claude.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=messages)
    assert whole.content[0].type == "text"
    assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens, whole.usage.output_tokens) == (15, 4, 10)
    with claude.messages.stream(model="claude-haiku-4-5", max_tokens=50, messages=messages) as stream:
        assert stream.get_final_text() == whole.content[0].text
        assert stream.get_final_message().usage.output_tokens == 10
    assert claude.messages.count_tokens(model="claude-haiku-4-5?input=321", messages=messages).input_tokens == 321
    assert "claude-haiku-4-5" in [model.id for model in claude.models.list()]
    assert claude.models.retrieve("claude-haiku-4-5").type == "model"


def test_a_wrong_key_is_refused_in_the_providers_own_shape(up: Upstream) -> None:
    with openai.OpenAI(base_url=up.url + "/v1", api_key="sk-wrong-wrong-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"
    with anthropic.Anthropic(base_url=up.url, api_key="wrong", max_retries=0) as other, pytest.raises(anthropic.AuthenticationError):
        other.models.list()
    up.set_key(None)
    with openai.OpenAI(base_url=up.url + "/v1", api_key="anything", max_retries=0) as client:
        client.models.list()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_a_status_asked_for_is_the_sdks_own_error(sdk: openai.OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    with pytest.raises(error) as caught:
        sdk.chat.completions.create(model=f"fault/{status}?retry-after=9", messages=[])
    assert caught.value.response.headers["retry-after"] == "9"


def test_overload_is_anthropics_own_error(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(model="fault/529", max_tokens=5, messages=[])
    assert caught.value.status_code == 529


def test_a_script_applies_to_a_model_or_a_path_for_as_long_as_asked(up: Upstream, sdk: openai.OpenAI) -> None:
    up.on("gpt-4o-mini", "503", times=2)
    statuses = []
    for _ in range(4):
        try:
            sdk.chat.completions.create(model="gpt-4o-mini", messages=[])
            statuses.append(200)
        except openai.APIStatusError as error:
            statuses.append(error.status_code)
    assert statuses == [503, 503, 200, 200]
    up.on("/v1/models", "500")
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            sdk.models.list()
    up.behave()
    sdk.models.list()


@pytest.mark.parametrize("case", RECORDED)
def test_a_recording_is_replayed_byte_for_byte(up: Upstream, case: str) -> None:
    dialect, name = case.split("/")
    paths = {
        "openai": "/v1/chat/completions",
        "responses": "/v1/responses",
        "anthropic": "/v1/messages",
        "gemini": f"/v1beta/models/recording/{name}:generateContent",
    }
    path = paths[dialect]
    headers = {"authorization": f"Bearer {up.key}", "x-api-key": up.key, "x-goog-api-key": up.key}
    reply = httpx2.post(up.url + path, json={"model": f"recording/{name}"}, headers=headers)
    folder = RECORDINGS / case
    file = folder / "stream.txt" if (folder / "stream.txt").exists() else folder / "reply.json"
    assert reply.content == file.read_bytes()
    assert reply.status_code == json.loads((folder / "expected.json").read_bytes()).get("status", 200)


@pytest.mark.parametrize("name", ["nothing", "../openai/stream_text", "", "/etc"])
def test_there_is_no_recording_of_another_name(up: Upstream, name: str) -> None:
    headers = {"authorization": f"Bearer {up.key}"}
    assert httpx2.post(f"{up.url}/v1/chat/completions", json={"model": f"recording/{name}"}, headers=headers).status_code == 404


def test_what_came_is_recorded_as_it_came(up: Upstream) -> None:
    body = b'{"model":"any",  "x":"\xc3\xa9"}'
    with socket.create_connection((up.host, up.port)) as sock:
        sock.sendall(b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nX-Odd:  two  words \r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.sendall(body)
        sock.recv(65536)
    (request,) = up.wait_requests(1)
    assert (request.method, request.target, request.path) == ("POST", "/v1/chat/completions?a=b", "/v1/chat/completions")
    assert request.body == body
    assert request.json["model"] == "any"
    assert request.headers[:2] == ((b"Host", b"x"), (b"X-Odd", b"two  words "))
    assert request.header("x-odd") == "two  words "
    assert request.header("missing") is None
    assert up.wait_answered(request) >= request.at
    assert request.gone_at is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"early"}))
def test_every_fault_runs_in_both_dialects_and_ends_when_the_other_side_goes(up: Upstream, fault: str, stream: bool, path: str) -> None:
    body = json.dumps({"model": f"fault/{fault}?mb=1", "stream": stream}).encode()
    with socket.create_connection((up.host, up.port), timeout=5) as sock:
        sock.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body))
        sock.settimeout(0.3)
        received = b""
        try:
            while len(received) < 100_000 and (data := sock.recv(65536)):
                received += data
        except (TimeoutError, ConnectionResetError):
            pass
    if fault in ("reset", "close", "silent"):
        assert received == b""
    else:
        assert received
    up.wait(lambda: up.open_connections == 0, 5, "the connection to end")


def test_a_fault_that_does_not_exist_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="no fault is named 'nonsense'"), upstream() as up, contextlib.suppress(httpx2.TransportError):
        headers = {"authorization": f"Bearer {up.key}"}
        httpx2.post(f"{up.url}/v1/chat/completions", json={"model": "fault/nonsense"}, headers=headers)


def test_leaving_in_the_middle_is_noted_with_its_time(up: Upstream) -> None:
    body = b'{"model":"fault/stall","stream":true}'
    sock = socket.create_connection((up.host, up.port))
    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert sock.recv(65536)
    left = time.monotonic()
    sock.close()
    assert 0 <= up.wait_gone(up.last) - left < 0.05
    assert up.last.answered_at is None
    with pytest.raises(AssertionError, match="waited"):
        up.wait_answered(up.last, 0.05)


def test_a_refused_port_refuses_and_a_black_hole_does_nothing() -> None:
    with refused_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with black_hole() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)


def test_as_a_process_it_says_where_it_is_and_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "tests.upstream", "--port", "0", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert facts["pid"] == process.pid
        reply = httpx2.get(facts["url"] + "/v1/models", headers={"authorization": f"Bearer {facts['key']}"})
        assert reply.status_code == 200
        process.stdin.close()
        assert process.wait(5) == 0


def test_many_clients_at_once_each_get_their_own_answer(up: Upstream) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        with httpx2.Client(base_url=up.url, headers={"authorization": f"Bearer {up.key}"}) as client:
            for _ in range(10):
                model = f"m{number}"
                if client.post("/v1/chat/completions", json={"model": model}).json()["model"] != model:
                    wrong.append(model)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(up.requests) == 100
