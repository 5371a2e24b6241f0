"""The window's side of both conversations: with the engine (commands down, snapshot and events up) and with the keeper.

One thread follows the engine's events and reconnects; what it hears is gathered and handed over a few times a second, so that a flood
of requests costs the window nothing. Everything a page shows is `state`, a value that is replaced and never changed.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
import shiboken6
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.control.client import ControlClient
from app.control.contract import (
    ActivityPage,
    Client,
    ClientKey,
    EchoResult,
    EventLine,
    Kind,
    NewProvider,
    ProviderView,
    Snapshot,
    VaultView,
)
from app.core.errors import AppError
from app.core.exports import Name
from app.core.kinds import ADDRESSES, LOCAL
from app.core.records import Exchange
from app.core.secret import Secret
from app.gui import notices
from app.gui.granting import ByChannel
from app.gui.state import Boot, EngineReport, Notice, ProofReport, State, Waiting
from app.gui.tasks import Post, Tasks, lives
from app.gui.writing import Writing
from app.system.paths import Paths

RECENT: Final = 200
_WRONGS_MAX: Final = 20
_GATHER_MS: Final = 120
_BACK_OFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_log: Final = logging.getLogger(__name__)

T = TypeVar("T")


class Keeper(Protocol):
    """The keeper's end, as `system.channel.Caller` offers it."""

    def send(self, op: str, fields: dict[str, object] | None = None, *sockets: socket.socket) -> None: ...

    def call(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30
    ) -> tuple[dict[str, Any], list[socket.socket]]: ...


class Session(QObject):
    """`changed`: `state` is another. `arrived`: exchanges that closed, newest last. `recounted`: costs of what is recorded
    are others. `shown`: a second launch asks for the window.

    `ended`: the keeper is gone or wants this process to end.
    """

    changed = Signal()
    arrived = Signal(object)
    recounted = Signal()
    shown = Signal()
    ended = Signal()

    def __init__(self, boot: Boot, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = State(boot=boot)
        self._granting = ByChannel()
        self._client = ControlClient(Path(boot.control), via="window", granter=self._granting)
        self._tasks = Tasks()
        self._post = Post.office()
        self._keeper: Keeper | None = None
        self._stop = threading.Event()
        self._again = threading.Event()
        self._lock = threading.Lock()
        self._gathered: list[EventLine | AppError | None] = []
        self._gathering = False
        self._reading = False
        self._fade = QTimer(self)
        self._fade.setSingleShot(True)
        self._fade.timeout.connect(self.close_news)
        self._gather = QTimer(self)
        self._gather.setSingleShot(True)
        self._gather.setInterval(_GATHER_MS)
        self._gather.timeout.connect(self._take_gathered)

    # -- life

    def attach(self, keeper: Keeper) -> None:
        self._keeper = self._granting.keeper = keeper

    def start(self) -> None:
        """Begins to follow the engine. Called once the window is on screen: the client's first question imports an HTTP library."""
        threading.Thread(target=self._follow, name="events", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._again.set()
        self._client.close()

    def quit(self, reason: str) -> None:
        """Asks the keeper to drain and stop everything."""
        if not self.state.leaving:
            self._set(leaving=True)
            self._tell("quit", {"reason": reason})

    # -- what the keeper says (any thread)

    def hear(self, message: dict[str, Any], _sockets: list[socket.socket]) -> None:
        """A message from the keeper, on the channel's own thread."""
        for sock in _sockets:
            sock.close()
        self._post.send(self._on_message, message)

    def hear_end(self) -> None:
        """The keeper is gone, told on the channel's own thread."""
        self.hear({"op": "quit"}, [])

    def _on_message(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "engine":
                report = EngineReport.of(message)
                gone = report.state in ("crashed", "stopped")
                self._set(engine=report, proof=None if gone else self.state.proof)
                self._again.set()
            case "proof":
                proof = ProofReport(
                    ok=message.get("ok") is True,
                    message=str(message.get("message") or ""),
                    at_us=int(message.get("at_us") or 0),
                    heard_s=time.monotonic(),
                )
                self._set(proof=proof)
            case "declared":
                # The keeper announces each change of the list of hosts itself, so that the engine cannot add one silently.
                self.notify(notices.declared(message))
            case "waiting":
                items = tuple(Waiting.of(item) for item in message.get("items") or ())
                self._set(waiting=items, unlisted=int(message.get("unlisted") or 0))
            case "show":
                self.shown.emit()
            case "quit":
                self.ended.emit()
            case other:
                _log.warning("the keeper said something unknown: %.40r", other)

    # -- what the engine says

    def _follow(self) -> None:
        """The event thread: reconnects for as long as the window lives."""
        failures = 0
        while not self._stop.is_set():
            try:
                for line in self._client.events():
                    failures = 0
                    self._pass_on(line)
                    if self._stop.is_set():
                        return
                self._pass_on(None)
            except AppError as error:
                self._pass_on(error)
            except Exception:  # noqa: BLE001  the edge of the thread: a broken line must not end it silently
                _log.exception("following the gateway failed")
                self._pass_on(None)
            self._again.clear()
            self._again.wait(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
            failures += 1

    def _pass_on(self, item: EventLine | AppError | None) -> None:
        with self._lock:
            self._gathered.append(item)
            first = not self._gathering
            self._gathering = True
        if first:
            self._post.send(self._on_stirred, None)

    def _on_stirred(self, _nothing: None) -> None:
        # The first line after a silence is shown at once, those that follow it together.
        if self.state.live:
            self._gather.start()
        else:
            self._take_gathered()

    @Slot()
    def _take_gathered(self) -> None:
        with self._lock:
            items, self._gathered = self._gathered, []
            self._gathering = False
        state, rows = self.state, []
        for item in items:
            if not isinstance(item, EventLine):
                state = replace(state, live=False, recent_read=False)
                continue
            if not state.live:
                state = replace(state, live=True, streams=state.streams + 1)
            if item.snapshot is not None:
                state = replace(state, snapshot=_carried(state.snapshot, item.snapshot))
            if item.row is not None:
                rows.append(item.row)
        if rows:
            state = replace(state, recent=_newest(state.recent, rows))
        if state.snapshot is not self.state.snapshot and state.snapshot is not None:
            state = replace(state, fresh=state.snapshot.vault.state in ("locked", "absent") and self._is_fresh())
        tested = _tested(self.state.snapshot, state.snapshot)
        if state != self.state:
            self.state = state
            self.changed.emit()
        for view in tested:
            self._on_tested(view)
        if rows:
            self.arrived.emit(tuple(rows))
        self._read_recent()

    def _is_fresh(self) -> bool:
        """Nothing is in the data folder that a key would have to fit."""
        paths = Paths(Path(self.state.boot.data_dir))
        return not paths.vault.exists() and not paths.database.exists()

    def _read_recent(self) -> None:
        """What closed before the stream began, or while it was broken: read once the store is open."""
        snapshot = self.state.snapshot
        if self.state.live and not self.state.recent_read and not self._reading and snapshot is not None and snapshot.state == "running":
            self._reading = True
            self._tasks.run("recent", lambda: self._client.activity(limit=RECENT), self._on_recent, self._on_recent_failed)

    def _on_recent(self, page: ActivityPage) -> None:
        self._reading = False
        self._set(recent=_newest(self.state.recent, page.rows), recent_read=True)
        self.arrived.emit(tuple(reversed(page.rows)))

    def _on_recent_failed(self, error: AppError) -> None:
        self._reading = False  # the next line of the stream, at most 5 s away, tries again
        _log.info("the newest exchanges could not be read: %s", error.code)

    # -- commands (each calls `done` or `failed` on the window's thread)

    def echo(self) -> None:
        self._command("echo", "", self._client.echo, self._on_echo)

    def test_provider(self, name: str) -> None:
        self._command("test", name, lambda: self._client.test_provider(name), self._on_tested)

    def add_provider(
        self, provider: NewProvider, key: Secret | None, done: Callable[[ProviderView], None], failed: Callable[[AppError], None]
    ) -> None:
        def work() -> ProviderView:
            return self._client.add_provider(_with_key(provider, key))

        self._command("add", provider.name, work, done, failed)

    def replace_key(self, name: str, key: Secret, done: Callable[[ProviderView], None], failed: Callable[[AppError], None]) -> None:
        self._command("key", name, lambda: self._client.set_provider_key(name, key), done, failed)

    def remove_provider(self, name: str, done: Callable[[object], None], failed: Callable[[AppError], None]) -> None:
        self._command("remove", name, lambda: self._client.remove_provider(name), done, failed)

    def add_client(self, name: str, done: Callable[[ClientKey], None], failed: Callable[[AppError], None]) -> None:
        self._command("add-client", name, lambda: self._client.add_client(name), done, failed)

    def set_blocked(self, name: str, blocked: bool) -> None:
        ask = self._client.block_client if blocked else self._client.unblock_client
        self._command("block", name, lambda: ask(name), self._on_blocked)

    def remove_client(self, name: str, done: Callable[[object], None], failed: Callable[[AppError], None]) -> None:
        self._command("remove-client", name, lambda: self._client.remove_client(name), done, failed)

    def read_kinds(self, done: Callable[[list[Kind]], None], failed: Callable[[AppError], None]) -> None:
        self._tasks.run("kinds", lambda: [_at_home(kind) for kind in self._client.kinds() if kind.id in ADDRESSES], done, failed)

    def unlock(self, passphrase: Secret | None, done: Callable[[VaultView], None], failed: Callable[[AppError], None]) -> None:
        self._command("unlock", "", lambda: self._client.unlock(passphrase), done, failed)

    def look(self, name: str, ask: Callable[[ControlClient], T], done: Callable[[T], None], failed: Callable[[AppError], None]) -> None:
        """A question of one page alone."""
        self._tasks.run(name, lambda: ask(self._client), done, failed)

    def order(self, verb: str, ask: Callable[[ControlClient], T], done: Callable[[T], None]) -> None:
        """A command of one page alone; what goes wrong is a notice."""
        self._command(verb, "", lambda: ask(self._client), done)

    def write(
        self,
        kind: Name,
        target: Path,
        give: Callable[[ControlClient, Writing], T],
        done: Callable[[T], None],
        failed: Callable[[AppError], None],
    ) -> None:
        """Has the keeper write a file or folder of that kind; `give` sends what is in it, and says when that was all."""
        keeper = self._keeper

        def work() -> T:
            if keeper is None:
                raise AppError("engine_absent", "Nothing can be written without the keeper.", "Start Gatehouse again.")
            with Writing(keeper, kind, target) as writing:
                return give(self._client, writing)

        self._tasks.run("export", work, done, failed)

    def open_link(self, name: str) -> None:
        """Has the keeper open a page of its own list in the browser."""
        keeper = self._keeper
        if keeper is not None:
            self._tasks.run("link", lambda: keeper.call("open_link", {"name": name}), self._on_opened, self.complain)

    def _on_opened(self, _reply: object) -> None:
        """The page is the browser's now; or the keeper says by itself what follows."""

    def answer(self, number: int, yes: bool) -> None:
        """The person confirms or refuses what waits under this number. What was confirmed meanwhile elsewhere is said to be gone."""
        keeper = self._keeper
        if keeper is not None:
            op = "confirm" if yes else "refuse"
            self._tasks.run(f"answer:{number}", lambda: keeper.call(op, {"number": number}), self._on_opened, self.complain)

    def start_engine(self) -> None:
        self._tell("start_engine")

    def read_log(self, done: Callable[[dict[str, list[str]]], None]) -> None:
        """The last lines of the logs by the file's name, from the keeper; where it does not answer, those of its last report."""
        keeper, known = self._keeper, {"engine.log": list(self.state.engine.log)}

        def work() -> dict[str, list[str]]:
            if keeper is None:
                return known
            try:
                answer, _ = keeper.call("log", timeout_s=5)
            except AppError:
                return known
            files = [file for file in answer.get("files") or () if isinstance(file, dict)]
            return {str(file.get("name")): [str(line) for line in file.get("lines") or ()] for file in files} or known

        self._tasks.run("log", work, done, self.complain)

    # -- notices

    def notify(self, notice: Notice) -> None:
        """Shows a notice. What went well goes by itself and takes nothing else away; what went wrong stays until it is closed."""
        stays_ms = {"ok": 6_000, "in": 20_000}.get(notice.tone, 0)
        if stays_ms:
            self._set(news=notice)
            self._fade.start(stays_ms)
            return
        others = tuple(one for one in self.state.wrongs if not _same(one, notice))
        self._set(wrongs=(*others, notice)[-_WRONGS_MAX:])

    def close_wrong(self) -> None:
        """The person has read the one that is shown."""
        shown = self.state.wrong
        self._set(wrongs=tuple(one for one in self.state.wrongs if one is not shown))

    @Slot()
    def close_news(self) -> None:
        self._fade.stop()
        self._set(news=None)

    def complain(self, error: AppError) -> None:
        """Shows an error as a notice."""
        self.notify(Notice(tone="er", fact=error.message, consequence=error.hint))

    # -- inside

    def _command(
        self, verb: str, name: str, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[AppError], None] | None = None
    ) -> None:
        mark = f"{verb}:{name}"
        if mark in self.state.busy:
            return
        self._set(busy=self.state.busy | {mark})
        ending = _Ending(self, mark, done, failed or self.complain)
        self._tasks.run(mark, work, ending.done, ending.failed)

    def finish(self, mark: str) -> None:
        self._set(busy=self.state.busy - {mark})

    def _on_echo(self, result: EchoResult) -> None:
        self._set(recent=_newest(self.state.recent, (result.row,)))
        self.notify(notices.echoed(result))
        self.arrived.emit((result.row,))

    def _on_tested(self, view: ProviderView) -> None:
        failed = notices.tested(view)
        if failed is not None:
            self.notify(failed)
        else:
            self._set(wrongs=tuple(one for one in self.state.wrongs if one.about != view.account.name))

    def _on_blocked(self, _client: Client) -> None:
        """The next snapshot shows it."""

    def _tell(self, op: str, fields: dict[str, object] | None = None) -> None:
        if self._keeper is not None:
            self._keeper.send(op, fields)

    def _set(self, **changes: Any) -> None:
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.changed.emit()


def _same(one: Notice, other: Notice) -> bool:
    """The newer takes the place of the older: the same was said, or of the same account."""
    return one.fact == other.fact or (bool(one.about) and one.about == other.about)


class _Ending:
    """What happens when a command ends: it is no longer busy, then whoever asked is told, if it is still there."""

    def __init__(self, session: Session, mark: str, done: Callable[[Any], None], failed: Callable[[AppError], None]) -> None:
        self._session, self._mark, self._done, self._failed = session, mark, done, failed

    def done(self, value: object) -> None:
        self._end(self._done, value)

    def failed(self, error: AppError) -> None:
        self._end(self._failed, error)

    def _end(self, tell: Callable[[Any], None], value: object) -> None:
        if not shiboken6.isValid(self._session):
            return
        self._session.finish(self._mark)
        if not lives(tell):
            if isinstance(value, AppError):
                self._session.complain(value)
            return
        tell(value)


def _tested(before: Snapshot | None, now: Snapshot | None) -> list[ProviderView]:
    """The accounts tested between the two, whoever asked: the engine tests a new key by itself."""
    if before is None or now is None or before.state not in ("running", "failing"):
        return []
    known = {view.account.name: view.account.tested_us for view in before.providers}
    return [view for view in now.providers if view.account.tested_us not in (None, known.get(view.account.name))]


def _carried(before: Snapshot | None, now: Snapshot) -> Snapshot:
    """An engine that is starting again has not opened its records yet: until it has, the last ones stay in sight."""
    if before is None or now.state != "starting":
        return now
    return msgspec.structs.replace(
        now,
        vault=before.vault,
        providers=before.providers,
        clients=before.clients,
        today=before.today,
        hosts=before.hosts,
        audit_seq=before.audit_seq,
    )


def _newest(known: Iterable[Exchange], arrived: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """Both together, newest first, one per id, at most `RECENT`."""
    rows = {row.id: row for row in known} | {row.id: row for row in arrived}
    return tuple(rows[identifier] for identifier in sorted(rows, reverse=True)[:RECENT])


def _at_home(kind: Kind) -> Kind:
    """A kind at its own address. The engine says it too, but what a person agrees to must not be the engine's word."""
    return msgspec.structs.replace(kind, base_url=ADDRESSES[kind.id], local=kind.id in LOCAL)


def _with_key(provider: NewProvider, key: Secret | None) -> NewProvider:
    if key is None:
        return provider
    return NewProvider(name=provider.name, kind=provider.kind, base_url=provider.base_url, key=key.reveal(), local=provider.local)
