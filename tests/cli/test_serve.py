"""`serve` and the verbs with the real gateway: what scripts wait for, and what a second one is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.cli import FAILED, GATEWAY, OK
from tests.cli.conftest import Ran


@pytest.fixture
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """The first line of a real `serve --json`, while it runs."""
    command = [sys.executable, "-m", "app", "serve", "--json", "--vault", "session", "--port", "0", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
        child.terminate()
        assert child.wait(20) == OK


def test_scripts_can_wait_for_one_line_and_then_ask(serving: dict[str, str], gatehouse: Callable[..., Ran]) -> None:
    assert serving["ready"].startswith("http://127.0.0.1:")
    status = gatehouse("status", "--json")
    assert status.code == OK
    facts = json.loads(status.out)
    assert (facts["proven"], facts["base_url"]) == (True, serving["ready"])
    second = gatehouse("serve")
    assert second.code == GATEWAY
    assert second.err.count("\n") == 1
    assert serving["ready"] in second.err


def test_follow_shows_a_real_request_as_it_ends(serving: dict[str, str], gatehouse: Callable[..., Ran], folder: Path) -> None:
    import httpx2

    key = gatehouse("client", "add", "script").out.strip()
    command = [sys.executable, "-u", "-m", "app", "activity", "--follow", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("TIME")
        body = {"model": "gatehouse/echo", "messages": [{"role": "user", "content": "hello"}]}
        reply = httpx2.post(
            f"{serving['ready']}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False
        )
        assert reply.status_code == 200
        row = child.stdout.readline().split()
        child.send_signal(2)
        assert child.wait(10) == OK
    assert row[2:5] == ["script", "gatehouse/echo", "200"]
    listed = json.loads(gatehouse("activity", "--json").out)
    assert [entry["id"] for entry in listed] == [reply.headers["x-gatehouse-call-id"]]
    used = json.loads(gatehouse("usage", "--by", "client,model", "--json").out)
    assert [(entry["key"], entry["requests"]) for entry in used] == [(["script", "echo"], 1)]
    assert gatehouse("audit", "verify").code == OK


def test_the_port_that_was_named_is_used_or_none(serving: dict[str, str], folder: Path) -> None:
    port = serving["ready"].rsplit(":", 1)[1]
    command = [sys.executable, "-m", "app", "serve", "--vault", "session", "--port", port, "--data-dir", str(folder.parent / "other")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.count("\n") == 1
    # Whose it is; and which process, where the system lets an ordinary user see that.
    assert re.search(rf"Port {port} is held by (.+ \(process \d+\)|a program of user \w+)\.", done.stderr) and "--port" in done.stderr
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(as_json.stderr)["error"]["code"] == "port_taken"
