"""`gatehouse network ...` on a real gateway: what left, what was refused and why, and a self-test that really tries."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator

import httpx2
import pytest

from app.control.client import ControlClient
from app.core.errors import AppError
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("network") / "data") as one:
        for name, url in (("work", f"{provider.url}/v1"), ("trap", "http://0xA9FEA9FE/v1"), ("six", "http://[::1]:9/v1")):
            one.cli("provider", "add", name, "--kind", "openai", "--base-url", url, "--local", "--key-stdin", stdin=provider.key)
        reply = httpx2.post(
            f"{one.url}/v1/chat/completions", headers={"authorization": f"Bearer {one.client()}"}, timeout=30,
            json={"model": "work/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
        )  # fmt: skip
        assert reply.status_code == 200
        assert one.cli("provider", "test", "trap", check=None).returncode == 1
        yield one


def test_destinations_name_everything_that_may_be_contacted_used_or_not(running: Gateway, provider: Upstream) -> None:
    found = {f"{each['host']}:{each['port']}": each for each in running.cli_json("network", "destinations")}
    assert set(found) == {f"127.0.0.1:{provider.port}", "0xa9fea9fe:80", "::1:9"}
    used = found[f"127.0.0.1:{provider.port}"]
    assert used["connections"] >= 1
    assert used["bytes_out"] > 100
    assert found["0xa9fea9fe:80"]["connections"] == 0
    text = running.cli("network", "destinations").stdout
    assert "[::1]:9" in text
    assert "never" in text


def test_refused_says_what_where_and_why(running: Gateway) -> None:
    found = running.cli_json("network", "refused")
    traps = [each for each in found if each["rule"] == "metadata"]
    assert traps
    assert all((each["what"], each["address"], each["account"]) == ("dial", "169.254.169.254", "trap") for each in traps)
    assert "hands out credentials" in running.cli("network", "refused").stdout


def test_status_says_the_level_that_was_measured_and_that_the_books_agree(running: Gateway) -> None:
    done = running.cli("network", "status")
    assert "They agree." in done.stdout
    told = running.cli_json("network", "status")
    assert told["level"] in ("kernel", "guarded")  # no window is open
    assert ("Enforced by the kernel since" in done.stdout) == (told["level"] == "kernel")
    assert told["unexplained"] == []
    assert told["gaps"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="where the kernel holds engine and window")
def test_the_self_test_tries_every_way_from_every_process_and_leaves_one_line_in_the_audit_log(running: Gateway) -> None:
    done = running.cli("--json", "network", "selftest", check=None)
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(each["good"] for each in found) else 1)
    if running.cli_json("network", "status")["level"] == "kernel":
        assert [each["name"] for each in found if not each["good"]] == []
    ways = {each["name"] for each in found if each["process"] == "engine"}
    assert {"TCP, plain socket", "UDP datagram", "IPv6", "DNS look-up", "UDP, native code", "Child process", "TCP, uvloop"} <= ways
    assert {each["process"] for each in found} == {"engine", "keeper"}  # no window is open
    (last,) = [each for each in found if each["must_pass"]]
    assert (last["result"], last["good"]) == ("reached", True)
    assert found[-1] == last
    assert "egress.self_test" in [entry["kind"] for entry in running.cli_json("audit", "list", "--limit", "20")]


@pytest.mark.needs("hidden processes")
def test_with_an_administrators_eyes_three_books_agree(running: Gateway) -> None:
    with running.control() as control:
        books = control.network().books
    assert books.hidden == ()
    assert books.records == books.keeper >= books.seen > 0


def test_a_time_that_never_comes_has_nothing_in_it(running: Gateway) -> None:
    with running.control() as control:
        view = control.network(10**18 - 1)
    assert (view.connections, view.removed_from, view.names) == (0, 0, ())


def test_a_long_log_does_not_make_a_provider_look_as_if_nobody_had_added_it(running: Gateway) -> None:
    """Its entry is far back then; and after a crash of the engine it must be found again."""
    running.client("blocked")
    with running.control() as control:
        for number in range(520):
            (control.unblock_client if number % 2 else control.block_client)("blocked")
        assert control.network().unexplained == ()
        pid = next(each.pid for each in control.network().processes if each.role == "engine")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: another_engine(control, pid), "the engine to come back", 60)
        assert control.network().unexplained == ()


def another_engine(control: ControlClient, pid: int) -> bool:
    try:
        return any(each.role == "engine" and each.pid != pid for each in control.network().processes)
    except AppError:
        return False
