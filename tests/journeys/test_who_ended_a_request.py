"""Whoever ends a request before its time, the row names the right one, and only a client that left is said to have left."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from app.control.contract import Exchange, NewProvider
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream

SLOW: Final = "any?chunks=40&every_ms=50"


class Running:
    """A request over a socket of its own, whose answer has begun if it is one that begins."""

    def __init__(self, one: Gateway, up: Upstream, name: str, model: str, *, stream: bool, begins: bool) -> None:
        self.one, self.name = one, name
        key = one.client(name)
        host, port = one.url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)))
        self.sock.settimeout(30)
        self.head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}]})
        before = len(up.requests)
        self.send(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        wait_for(lambda: len(up.requests) > before, "the request to be out")
        self.got = b""
        if begins:
            while b"data: {" not in self.got:
                self.got += self.sock.recv(65536)

    def send(self, rest: str) -> None:
        self.sock.sendall((self.head + rest).encode())

    def rest(self) -> str:
        """All of the answer, until the end of the stream or of the connection."""
        try:
            while not self.got.endswith(b"0\r\n\r\n") and (piece := self.sock.recv(65536)):
                self.got += piece
        except ConnectionError:
            self.got += b"<reset>"
        self.sock.close()
        return self.got.decode()


def leaves(run: Running) -> None:
    run.sock.close()


def resets(run: Running) -> None:
    run.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    run.sock.close()


def talks_nonsense(run: Running) -> None:
    run.sock.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")


def asks_too_much_ahead(run: Running) -> None:
    run.sock.sendall((run.head + "Content-Length: 0\r\n\r\n").encode() * 20)


def is_blocked(run: Running) -> None:
    run.one.cli("client", "block", run.name)


def is_removed(run: Running) -> None:
    run.one.cli("client", "remove", run.name)


def loses_its_provider(run: Running) -> None:
    run.one.cli("provider", "remove", "other")


# Who ends it, how the provider behaves, whether it streams -> outcome, status, error, what the client reads last.
CASES: Final[dict[str, tuple[Callable[[Running], None], str, bool, tuple[str, int, str], str]]] = {
    "the client leaves a stream": (leaves, "work/fault/stall", True, ("cancelled", 499, ""), ""),
    "the client resets a stream": (resets, "work/fault/stall", True, ("cancelled", 499, ""), ""),
    "the client leaves before the answer": (leaves, "work/fault/silent", False, ("cancelled", 499, ""), ""),
    "the client leaves before the stream": (leaves, "work/fault/silent", True, ("cancelled", 499, ""), ""),
    "nonsense after a streaming request": (talks_nonsense, "work/fault/stall", True, ("failed", 200, "body_invalid"), "not a well-formed"),
    "nonsense after a waiting request": (talks_nonsense, "work/fault/silent", False, ("failed", 400, "body_invalid"), "not a well-formed"),
    "too many requests ahead": (asks_too_much_ahead, "work/fault/stall", True, ("failed", 200, "body_invalid"), "sent ahead"),
    "the client is blocked": (is_blocked, f"work/{SLOW}", True, ("completed", 200, ""), "[DONE]"),
    "the client is removed": (is_removed, f"work/{SLOW}", True, ("completed", 200, ""), "[DONE]"),
    "the provider is removed": (loses_its_provider, f"other/{SLOW}", True, ("completed", 200, ""), "[DONE]"),
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        for name in ("work", "other"):
            add(running, provider, name)
        yield running


def add(one: Gateway, up: Upstream, name: str) -> None:
    """An account, once its first test is over."""
    with one.control() as control:
        control.add_provider(NewProvider(name=name, kind="openai", base_url=f"{up.url}/v1", local=True, key=up.key))
        wait_for(lambda: all(view.account.test_ok is not None for view in control.snapshot().providers), "the account's first test")


def only_row(one: Gateway, client: str) -> Exchange:
    def read() -> list[Exchange]:
        with one.control() as control:
            return [row for row in control.activity().rows if row.client == client]

    rows = wait_for(read, "the row")
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("case", CASES)
def test_the_row_names_who_ended_it(one: Gateway, provider: Upstream, case: str) -> None:
    end, model, stream, expected, last = CASES[case]
    waiting = "silent" in model
    run = Running(one, provider, f"client-{list(CASES).index(case)}", model, stream=stream, begins=stream and not waiting)
    end(run)
    if last:
        assert last in run.rest()
        assert "<reset>" not in run.got.decode()
    row = only_row(one, run.name)
    assert (row.outcome, row.status, row.error) == expected
    if row.outcome == "failed":
        assert last in row.message


def test_a_body_that_is_not_http_gets_its_error_and_no_row_of_a_client_that_left(one: Gateway) -> None:
    host, port = one.url.removeprefix("http://").split(":")
    key = one.client("asker")
    with socket.create_connection((host, int(port))) as sock:
        sock.settimeout(10)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n".encode())
        with one.control() as control:
            control.snapshot()
        sock.sendall(b"no size\r\n")
        said = b""
        while piece := sock.recv(65536):
            said += piece
    assert said.startswith(b"HTTP/1.1 400 ") and b"not a well-formed HTTP request" in said
    row = only_row(one, "asker")
    assert (row.outcome, row.status, row.error, row.client) == ("refused", 400, "body_invalid", "asker")


def test_a_killed_keeper_ends_requests_as_interrupted(tmp_path: Path) -> None:
    with upstream() as up:
        one = Gateway(tmp_path / "data").start()
        one.wait_open()
        add(one, up, "work")
        run = Running(one, up, "asker", "work/fault/stall", stream=True, begins=True)
        engine = one.pids()["engine"]
        assert one.process is not None
        os.kill(one.process.pid, signal.SIGKILL)
        assert "Gatehouse was stopped" in run.rest()
        wait_for(lambda: not Path(f"/proc/{engine}").exists(), "the engine to go")
        one.stop()
    with gateway(one.folder) as again:
        row = only_row(again, "asker")
    assert (row.outcome, row.status, row.error) == ("interrupted", 200, "draining")
