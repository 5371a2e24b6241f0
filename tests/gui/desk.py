"""The parts that tests of the window share: values, a server whose snapshot follows what is done, a keeper that takes notes."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QCoreApplication

from app.control import contract as c
from app.core.ids import call_id
from app.core.records import Account, Client, Exchange, Tokens
from app.gui.session import Session
from app.gui.state import Boot
from app.gui.window import Window
from app.keeper.writers import Writers
from app.system import environment
from app.system.children import Child, own_command
from app.system.paths import Paths
from tests.control.server import ControlServer

START_US = 1_760_000_000_000_000
MINUTE_US = 60_000_000

KINDS = [
    c.Kind(
        id="openai", label="OpenAI", base_url="https://api.openai.example/v1", dialect="openai", needs_key=True, local=False,
        key_url="https://openai.example/keys", key_example="sk-proj-…",
    ),
    c.Kind(id="ollama", label="Ollama", base_url="http://127.0.0.1:11434/v1", dialect="openai", needs_key=False, local=True),
    c.Kind(id="openai-compatible", label="OpenAI compatible", base_url="", dialect="openai", needs_key=False, local=False),
]  # fmt: skip


def exchange(number: int = 1, **changes: Any) -> Exchange:
    """A completed exchange; a higher number is a later one."""
    opened = START_US + number * 1_000_000
    fields: dict[str, Any] = {
        "id": call_id(opened, number), "opened_us": opened, "closed_us": opened + 900_000, "duration_us": 900_000, "first_byte_us": 200_000,
        "client": "scripts", "endpoint": "chat/completions", "dialect": "openai", "asked": "openai/gpt-5", "account": "openai",
        "kind": "openai", "model": "gpt-5", "stream": True, "status": 200, "outcome": "completed", "attempts": 1,
        "tokens": Tokens(input=1200, output=34), "cost_microusd": 2100, "price": "2026-11-03", "host": "api.openai.example",
        "connection": 7, "bytes_out": 4100, "bytes_in": 900,
    }  # fmt: skip
    return Exchange(**(fields | changes))


def provider(name: str = "openai", **changes: Any) -> c.ProviderView:
    account = Account(
        name=name,
        kind=changes.pop("kind", "openai"),
        base_url=changes.pop("base_url", "https://api.openai.example/v1"),
        local=changes.pop("local", False),
        keyed=changes.pop("keyed", True),
        key_hint="sk-proj…m2Ka",
        models=changes.pop("models", ()),
        tested_us=changes.pop("tested_us", None),
        test_ok=changes.pop("test_ok", None),
        test_message=changes.pop("test_message", ""),
        test_ms=changes.pop("test_ms", None),
    )
    fields: dict[str, Any] = {
        "account": account,
        "label": "OpenAI",
        "host": "api.openai.example",
        "dialect": "openai",
        "key_state": "stored",
        "key_place": "In GNOME Keyring",
    }
    return c.ProviderView(**(fields | changes))


def client(name: str = "scripts", **changes: Any) -> Client:
    return Client(name=name, prefix="sk-gh-", last4="f2a1", created_us=START_US, **changes)


def snapshot(**changes: Any) -> c.Snapshot:
    fields: dict[str, Any] = {
        "seq": 1,
        "version": "0.1.0",
        "state": "running",
        "started_us": START_US,
        "port": 4141,
        "addresses": ("127.0.0.1:4141",),
        "vault": c.VaultView(mode="keyring", state="ready", place="GNOME Keyring"),
        "audit_seq": 3,
    }
    return c.Snapshot(**(fields | changes))


def settle() -> None:
    """What was shown has its place: each event of a layout can cause one of the layout around it."""
    for _ in range(10):
        QCoreApplication.sendPostedEvents()
        QCoreApplication.processEvents()


class Server(ControlServer):
    """The control server, with a snapshot pushed after every command, and more of it settable."""

    def __init__(self) -> None:
        super().__init__()
        self.state: c.EngineState = "running"
        self.today: c.Today | None = None
        self.hosts: tuple[c.HostView, ...] = ()
        self.echo_row = exchange(9000, asked="gatehouse/echo", account="gatehouse", model="echo", price="local", cost_microusd=0, host="")
        self.streams = 0

    def snapshot(self) -> c.Snapshot:
        today = self.today or c.Today(requests=len(self.rows))
        found = super().snapshot()
        return msgspec.structs.replace(found, state=self.state, today=today, hosts=self.hosts, port=4141, audit_seq=3)

    def handle(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        if path == "/v0/kinds":
            return KINDS
        if path == "/v0/activity/names":
            return c.ActivityNames(clients=("Codex", "Zed"), providers=("openai",), models=("gpt-5",))
        if path == "/v0/echo":
            self.rows.append(self.echo_row)
            self.push(row=self.echo_row)
            return c.EchoResult(row=self.echo_row, text="Hello <b>you</b>")
        value = super().handle(method, path, query, body)
        if method != "GET":
            self.push()
        return value

    def push(self, row: Exchange | None = None) -> None:
        """Says that something changed, as the engine does."""
        self.say(c.EventLine(seq=2, kind="changed", snapshot=self.snapshot(), row=row))

    def hang_up(self) -> None:
        """Ends the event stream, as an engine that dies does."""
        self.lines.put(None)


class Notes:
    """The keeper's end of the channel: what it was told, in order. Exports are written as the keeper has them written, by real children."""

    def __init__(self, folder: Path) -> None:
        command, given = own_command("writer"), environment.constructed("writer", os.environ)
        start = partial(Child, command, given, folder / "writer.log", lambda code: None)
        self.writers = Writers(start, (folder,), os.environ, lambda line: None, lambda: None, lambda message: None)
        self.told: list[tuple[str, dict[str, object]]] = []
        self.logs: dict[str, list[str]] = {"keeper.log": ["the engine ended"], "engine.log": ["first line", "last <b>line</b>"]}

    def send(self, op: str, fields: dict[str, object] | None = None, *sockets: socket.socket) -> None:
        self.told.append((op, fields or {}))

    def call(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30
    ) -> tuple[dict[str, Any], list[socket.socket]]:
        self.told.append((op, fields or {}))
        if op == "export":
            asked = fields or {}
            return {}, [self.writers.begin(asked.get("kind"), asked.get("path"))]
        return {"files": [{"name": name, "lines": lines} for name, lines in self.logs.items()]}, []


class Desk:
    def __init__(self, server: Server, data_dir: Path) -> None:
        for folder in (Paths(data_dir).engine, Paths(data_dir).window):
            folder.mkdir(parents=True, exist_ok=True)
        boot = Boot(data_dir=str(data_dir), control=str(server.control), port=4141, addresses=("127.0.0.1:4141",), version="0.1.0")
        self.server = server
        self.keeper = Notes(data_dir)
        self.session = Session(boot)
        self.session.attach(self.keeper)
        self.window = Window(self.session)
        self.window.resize(1240, 820)  # more than the offscreen platform's screen

    def show(self) -> None:
        self.window.show()
        self.session.start()

    def prove(self, *, ok: bool = True, message: str = "") -> None:
        self.hear(op="engine", state="up", restarts=0, next_s=None, exit=None, log=[], at_us=START_US)
        self.hear(op="proof", ok=ok, message=message, at_us=time.time_ns() // 1000)

    def hear(self, **message: Any) -> None:
        self.session.hear(message, [])

    def end(self) -> None:
        self.window.hide()
        self.session.stop()
        self.keeper.writers.close()
        self.window.deleteLater()
        self.session.deleteLater()
