"""A provider's key is sent to the host it was stored for, and to no other, whatever a provider, a client or a change of accounts says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.gateway import Gateway, gateway
from tests.upstream import Upstream, upstream

FIRST, SECOND = "sk-first-0123456789abcdefghij", "sk-second-0123456789abcdefghij"


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Upstream, Upstream]]:
    with upstream(key=FIRST) as first, upstream(key=SECOND) as second:
        yield first, second


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, hosts: tuple[Upstream, Upstream]) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("keys") / "data") as one:
        for name, host, key in (("first", hosts[0], FIRST), ("second", hosts[1], SECOND)):
            one.cli("provider", "add", name, "--kind", "openai", "--base-url", f"{host.url}/v1", "--local", "--key-stdin", stdin=key)
        yield one


def everything(host: Upstream) -> str:
    return "".join(repr(request.headers) + request.target + request.body.decode("utf-8", "replace") for request in host.requests)


def ask(running: Gateway, key: str, model: str, **more: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}", **{name: str(value) for name, value in more.items()}}
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return httpx2.post(f"{running.url}/v1/chat/completions", headers=headers, json=body, timeout=30)


def kept_apart(hosts: tuple[Upstream, Upstream], client: str) -> None:
    first, second = everything(hosts[0]), everything(hosts[1])
    assert FIRST in first
    assert SECOND in second
    assert SECOND not in first
    assert FIRST not in second
    assert client not in first + second


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_a_redirect_to_another_provider_brings_it_neither_the_request_nor_the_key(
    running: Gateway, hosts: tuple[Upstream, Upstream], status: str
) -> None:
    key = running.client(f"r{status}")
    assert ask(running, key, "second/gpt-4o-mini").status_code == 200
    before = len(hosts[1].requests)
    reply = ask(running, key, f"first/fault/redirect?status={status}&to={hosts[1].url}/v1/chat/completions")
    assert reply.status_code == 502
    assert "not followed" in reply.text
    assert len(hosts[1].requests) == before
    kept_apart(hosts, key)


def test_no_header_of_a_client_chooses_a_host_or_another_accounts_key(running: Gateway, hosts: tuple[Upstream, Upstream]) -> None:
    key = running.client("chooser")
    before = len(hosts[1].requests)
    for name, value in (
        ("x-forwarded-host", hosts[1].url), ("forwarded", f"host={hosts[1].host}"), ("x-original-url", hosts[1].url),
        ("x-api-key", key), ("api-key", key), ("x-goog-api-key", key), ("location", hosts[1].url), ("host-override", hosts[1].url),
    ):  # fmt: skip
        assert ask(running, key, "first/gpt-4o-mini", **{name: value}).status_code == 200
    for member in ("base_url", "api_base", "api_key", "extra_headers"):
        body = {"model": "first/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], member: hosts[1].url}
        httpx2.post(f"{running.url}/v1/chat/completions", headers={"authorization": f"Bearer {key}"}, json=body, timeout=30)
    assert len(hosts[1].requests) == before
    kept_apart(hosts, key)


def test_an_account_that_moves_to_another_host_leaves_its_key_behind(running: Gateway, hosts: tuple[Upstream, Upstream]) -> None:
    key = running.client("mover")
    assert ask(running, key, "first/gpt-4o-mini").status_code == 200
    running.cli("provider", "remove", "first")
    running.cli("provider", "add", "first", "--kind", "openai", "--base-url", f"{hosts[1].url}/v1", "--local", "--key-stdin", stdin=SECOND)
    assert ask(running, key, "first/gpt-4o-mini").status_code == 200
    kept_apart(hosts, key)


def test_the_network_view_knows_both_hosts_and_nothing_is_unexplained(running: Gateway, tmp_path: Path) -> None:
    with running.control() as control:
        view = control.network()
    assert view.unexplained == ()
    assert view.books.mismatches == ()
    running.cli("network", "report", str(tmp_path / "report"))
    whole = running.cli("verify", str(tmp_path / "report"), check=None)
    assert (whole.returncode, "Nothing was changed" in whole.stdout) == (2, True)  # whole; no key was given to compare with
    signer = whole.stdout.split("the key ")[1].split()[0]
    assert running.cli("verify", str(tmp_path / "report"), "--key", signer, check=None).returncode == 0
