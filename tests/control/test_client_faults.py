"""No exception of a library gets past `ControlClient`: closed at every step, given odd words, answered with anything at all."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.control import client as client_module
from app.control import connection as connection_module
from app.control import contract as c
from app.control.client import ControlClient
from app.core import frames
from app.core.errors import AppError
from app.core.secret import Secret
from tests.control.server import ControlServer
from tests.control.server import exported as exported_stream

# Code in which another thread may close the client while this one is there.
STEPS = tuple(str(Path(module.__file__ or "").parent) for module in (pytest.importorskip("httpx2"), pytest.importorskip("httpcore2")))
OURS = (client_module.__file__, connection_module.__file__)


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with ControlServer() as running:
        yield running


class Closer:
    """Closes the client at its step number `at`, and waits until that is done or has to wait for this very step."""

    def __init__(self, client: ControlClient, at: int) -> None:
        self.client, self.at, self.step = client, at, 0
        self._closing: threading.Thread | None = None

    def __enter__(self) -> Closer:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        if self._closing is not None:
            self._closing.join(10)
            assert not self._closing.is_alive()

    def _call(self, frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if not (name.startswith(STEPS) or name in OURS):
            return None
        self._count()
        frame.f_trace_lines = False
        return self._leave

    def _leave(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "return":
            self._count()
        return self._leave

    def _count(self) -> None:
        self.step += 1
        if self.step == self.at:
            self._closing = threading.Thread(target=self.client.close)
            self._closing.start()
            self._closing.join(0.02)


def snapshot(client: ControlClient) -> None:
    client.snapshot()


def added(client: ControlClient) -> None:
    client.add_client("editor")


def followed(client: ControlClient) -> None:
    for _ in client.events():
        pass


def exported(client: ControlClient) -> None:
    b"".join(client.export("jsonl"))


def exported_log(client: ControlClient) -> None:
    client.export_audit(lambda number, piece: None)


def closed_at(server: ControlServer, use: Callable[[ControlClient], None], at: int) -> tuple[str, int]:
    """How it ended, and how many steps it took. at 0: it is not closed before its end."""
    server.lines.put(None)
    client = ControlClient(server.control, timeout_s=5)
    with contextlib.closing(client), Closer(client, at) as closer:
        try:
            use(client)
        except AppError as error:
            return error.code, closer.step
    return "answered", closer.step


@pytest.mark.parametrize("use", [snapshot, added, followed, exported, exported_log])
def test_closed_at_any_step_it_answers_or_says_that_nothing_is_there(
    server: ControlServer, use: Callable[[ControlClient], None], request: pytest.FixtureRequest
) -> None:
    server.answer("/v0/export", 200, b'{"id":"req_1"}\n')
    _, steps = closed_at(server, use, 0)
    assert steps > 100  # the libraries' own steps are among them
    ends = {closed_at(server, use, at)[0] for at in range(1, steps, 1 if request.config.getoption("--slow") else 4)}
    assert ends <= {"answered", "engine_absent", "name_taken"}
    assert "engine_absent" in ends or use is followed  # whoever follows a client that is closed is simply done


UNREAD = {
    "text that is not UTF-8": b'{"seq": "\xff"}',
    "a member that is not UTF-8": b'{"\xff": 1}',
    "too deep": b"[" * 200_000 + b"]" * 200_000,
    "too deep inside": b'{"seq": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "cut short": b'{"seq": ',
    "half a pair": b'{"version": "\\ud800"}',
    "another shape": b'{"seq": []}',
    "a number without an end": b'{"seq": ' + b"9" * 100_000 + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
def test_an_answer_that_cannot_be_read_is_an_error_of_ours(server: ControlServer, status: int, body: bytes) -> None:
    server.answer("/v0/snapshot", status, body)
    with ControlClient(server.control, timeout_s=5) as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "internal"


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
def test_an_event_that_cannot_be_read_is_an_error_of_ours(server: ControlServer, body: bytes) -> None:
    server.lines.put(body + b"\n")
    server.lines.put(None)
    with ControlClient(server.control, timeout_s=5) as client, pytest.raises(AppError) as caught:
        list(client.events())
    assert caught.value.code == ("engine_absent" if not body else "internal")  # an empty line is the engine's sign of life


KEY = "sk-canary-\udcff-0123456789"
ODD: dict[str, Callable[[ControlClient], object]] = {
    "a long name": lambda client: client.remove_provider("x" * 70_000),
    "a long filter": lambda client: client.activity(limit=1, only=c.RowFilter(text="x" * 70_000)),
    "a long filter of an export": lambda client: list(client.export("jsonl", c.RowFilter(text="x" * 70_000))),
    "a name that is no text": lambda client: client.add_client("a\udcffb"),
    "a key that is no text": lambda client: client.set_provider_key("work", Secret(KEY)),
    "a passphrase that is no text": lambda client: client.unlock(Secret(KEY)),
    "an address that is no text": lambda client: client.add_provider(c.NewProvider(name="w", kind="openai", base_url="\udcff", key=KEY)),
}


@pytest.mark.parametrize("ask", ODD.values(), ids=ODD)
def test_odd_words_are_an_error_of_ours_that_does_not_repeat_them(server: ControlServer, ask: Callable[[ControlClient], object]) -> None:
    with ControlClient(server.control, timeout_s=5) as client, pytest.raises(AppError) as caught:
        ask(client)
    assert caught.value.code == "body_invalid"
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert server.asked == []


PLACES: dict[str, object] = {
    "not a port": {"host": "127.0.0.1", "port": 99_999, "token": "t"},
    "a port below all": {"host": "127.0.0.1", "port": -1, "token": "t"},
    "a token that is no ASCII": {"host": "127.0.0.1", "port": 1, "token": "\u20ac"},
    "half a pair": {"host": "127.0.0.1", "port": 1, "token": "\ud800"},
    "a token of two lines": {"host": "127.0.0.1", "port": 1, "token": "a\r\nhost: x"},
    "a list": [],
    "a port that is no number": {"host": "127.0.0.1", "port": [], "token": "t"},
    "a port without an end": {"host": "127.0.0.1", "port": float("inf"), "token": "t"},
    "too deep": None,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_control_file_of_any_content_is_an_error_of_ours(tmp_path: Path, place: object) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps(place) if place is not None else "[" * 200_000)
    with ControlClient(control, timeout_s=5) as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"


def test_a_log_that_was_cut_anywhere_is_an_error_and_never_an_export(server: ControlServer) -> None:
    whole = exported_stream(2)
    with ControlClient(server.control, timeout_s=5) as client:
        for at in range(len(whole)):
            server.answer("/v0/audit/export", 200, whole[:at])
            with pytest.raises(AppError) as caught:
                client.export_audit(lambda number, piece: None)
            assert caught.value.code == "engine_absent"
        server.answer("/v0/audit/export", 200, whole)
        taken: list[tuple[int, bytes]] = []
        assert client.export_audit(lambda number, piece: taken.append((number, piece))).entries == 2
        assert b"".join(piece for number, piece in taken if number == 0) == b'{"seq":1}\n' * 2


HOSTILE_LOGS = {
    "another file": frames.frame(3, b"x"),
    "a path": b"../../etc/passwd",
    "a huge piece": b"\0\xff\xff\xff\xff",
    "more after the end": exported_stream(1) + b"x",
    "no last word": frames.frame(frames.END, b""),
    "another last word": frames.frame(frames.END, b"[]"),
    "neither made nor a problem": frames.frame(frames.END, b"{}"),
    "a last word that nests": frames.frame(frames.END, b"[" * 60_000),
    "a cancellation": frames.frame(frames.CANCEL, b""),
    "a fingerprint that is a command": exported_stream(1).replace(b"361a e3d7", b"$(rm -r)#"),
    "a fingerprint that is a terminal's": exported_stream(1).replace(b"361a e3d7", b"\\u001b[2J"),
}


@pytest.mark.parametrize("stream", HOSTILE_LOGS.values(), ids=HOSTILE_LOGS)
def test_a_hostile_log_is_an_error_of_ours(server: ControlServer, stream: bytes) -> None:
    server.answer("/v0/audit/export", 200, stream)
    with ControlClient(server.control, timeout_s=5) as client, pytest.raises(AppError, match=r"internal|engine_absent"):
        client.export_audit(lambda number, piece: None)
