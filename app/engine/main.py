"""The engine process: boot, wiring, drain.

Order at start: the keeper's first message with the listening sockets; both servers listen at once (requests wait for the store instead of
being refused); the vault's keys arrive; journal and database open and yesterday's open exchanges are recorded; accounts are declared to
the keeper; requests flow. Order at the end: stop accepting, let exchanges finish, commit, write the stop entry, go.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from app import __version__
from app.core.errors import AppError
from app.core.events import CrashFound, EngineStuck, GatewayStarted, GatewayStopped
from app.core.records import Exchange
from app.core.runs import Runs
from app.egress.door import Door, Ended, Purpose
from app.egress.door import Opened as Connected
from app.egress.upstream import Upstream
from app.engine import own_answer, server, tasks, working
from app.engine.accounts import Accounts
from app.engine.auditing import Auditor
from app.engine.bus import Bus
from app.engine.clients import Clients
from app.engine.control import Control, problem
from app.engine.exchange import Gateway, Limits, error_body
from app.engine.lifeline import Lifeline
from app.engine.marks import Marks
from app.engine.network import Network
from app.engine.opening import Found, open_store
from app.engine.recorder import Recorder, StoreThreads
from app.engine.status import Boot, Opened, Status
from app.engine.upkeep import Upkeep
from app.engine.vault import Vault
from app.store import settings
from app.system.channel import Channel, inherited
from app.system.peers import same_user
from app.system.shared_page import writable

_log: Final = logging.getLogger(__name__)

DRAIN_S: Final = 4.0
FLUSH_S: Final = 0.8
SIGN_S: Final = 1.0
# How long a thread of the store may hold up the loop with what it does in Python (5 ms by itself).
SWITCH_S: Final = 0.0005
OPEN_AGAIN_S: Final = (1.0, 10.0)


def run(arguments: Sequence[str]) -> int:
    """The `engine` child. Exit code 0 after a drain, 1 when it could not start, 2 when not started by the keeper."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        channel = inherited(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    received = channel.receive()
    if received is None or received[0].get("op") != "boot":
        return 1
    message, sockets = received
    boot = Boot.of(message)
    working.use(writable(message.get("page")))
    named = list(zip(message["listeners"], sockets, strict=True))
    gateway = [sock for kind, sock in named if kind == "gateway"]
    control = [sock for kind, sock in named if kind == "control"]
    sys.setswitchinterval(SWITCH_S)
    with _runner() as runner:
        return runner.run(_Engine(boot, channel).run(gateway, control))


def _runner() -> asyncio.Runner:
    if sys.implementation.name == "cpython" and os.name == "posix":
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415 - only Linux has it in the lock

            return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    return asyncio.Runner()


def now_us() -> int:
    return time.time_ns() // 1000


class _Engine:
    """One run of the engine; every member lives on the loop that `run` is on."""

    def __init__(self, boot: Boot, channel: Channel) -> None:
        self._boot = boot
        self._channel = channel

    async def run(self, gateway_sockets: list[socket.socket], control_sockets: list[socket.socket]) -> int:
        """Until the keeper says drain, or is gone."""
        boot = self._boot
        self._stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._opening = self._told_settled = False
        self._lifeline = Lifeline(self._channel, asyncio.get_running_loop(), self._told, self._lost)
        self._status = Status(boot, now_us(), now_us)
        self._bus = Bus(lambda: self._status.snapshot(self._bus.seq))
        self._network = Network(self._status, self._lifeline, now_us)
        self._upstream = Upstream(Door(self._ask, self._ended, self._made))
        self._vault = Vault(self._status, self._lifeline, self._bus.changed)
        self._gateway = Gateway(self._status, self._upstream, Limits(), self._status.settled)
        front = server.Server(self._gateway.handle, error_body, server.Limits())
        control = Control(
            self._status, self._bus, self._lifeline, self._gateway.test_request, self._gateway.proof, self._network,
            functools.partial(own_answer.of, front), self._vault,
        )  # fmt: skip
        back = server.Server(control.handle, problem, server.Limits(connections=64), same_user if os.name == "posix" else None)
        await front.listen(gateway_sockets)
        await back.listen(control_sockets)
        self._lifeline.start()
        self._network.begin()
        self._lifeline.tell("ready")
        reason = await self._stop
        await self._drain(reason, front, back)
        return 0

    def _told(self, message: dict[str, Any]) -> None:
        match message.get("op"):
            case "vault":
                tasks.start(self._vault_answered(message), "vault")
            case "ping":
                self._lifeline.tell("alive", {"number": message.get("number")})  # from the loop: that it comes here is what is asked
            case "drain":
                self._end(str(message.get("reason", "quit")))
            case "tripped" | "refusal" | "asked" | "unexplained" | "lost" | "held" | "answered" as op:
                self._network.told(message)
                if op == "answered":
                    tasks.start(self._answered(message), "what a person answered")
            case other:
                _log.warning("the keeper said something unknown: %s", str(other)[:32])

    def _lost(self) -> None:
        self._end("keeper gone")

    def _end(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(reason)

    async def _vault_answered(self, message: dict[str, Any]) -> None:
        """The vault's state; with its keys the first time, which opens everything."""
        keys, runs = message.pop("keys", None), message.pop("runs", None)
        message.pop("op", None)
        status = self._status
        if keys is not None and not self._opening:
            self._opening = True
            status.settled.clear()  # who asks meanwhile waits for the store
            self._vault.told(message)
            await self._open_when_possible({label: bytes.fromhex(key) for label, key in keys.items()}, Runs.of_fields(runs))
        else:
            self._vault.told(message)
        if status.opened is not None or status.failure is not None or not self._opening:
            self._settle()
        self._bus.changed()

    def _settle(self) -> None:
        self._status.settled.set()
        if not self._told_settled:
            self._told_settled = True
            self._lifeline.tell("settled")

    async def _open_when_possible(self, keys: dict[str, bytes], runs: Runs) -> None:
        """Until it is open, or is known not to open: a full disk gets room again, another program lets go of the database."""
        status, (wait_s, most_s) = self._status, OPEN_AGAIN_S
        while True:
            try:
                await self._open(keys, runs)
            except AppError as error:
                if status.failure is None or str(status.failure) != str(error):
                    _log.error("%s", error)
                status.failure = error
                self._settle()
                self._bus.changed()
                if error.retry_after_s is None:
                    return
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, most_s)
            else:
                status.failure = None
                return

    async def _open(self, keys: dict[str, bytes], runs: Runs) -> None:
        """Journal, database, clients and accounts. AppError store_* or data_folder when one cannot be had; nothing is changed then."""
        folder = Path(self._boot.data_dir)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, open_store, folder, keys, runs, now_us, self._boot.stuck)
        threads = StoreThreads(found.store)
        marks = Marks(self._lifeline, now_us)
        try:
            settled = await marks.settle(found.settings, (client for client, _ in found.clients), threads)
        except BaseException:
            await loop.run_in_executor(None, found.journal.close)
            await loop.run_in_executor(None, threads.close)
            raise
        clients = Clients(keys["client-keys"], ((settled.get(client.name, client), digest) for client, digest in found.clients))
        recorder = Recorder(found.journal, threads, clients, now_us, self._recorded, self._problem)
        accounts = Accounts(self._lifeline, marks, self._upstream, threads, recorder, now_us, self._bus.changed)
        try:
            await self._lifeline.ask("number_after", {"number": found.last_connection})
            await accounts.load(found.accounts)
        except BaseException:
            await loop.run_in_executor(None, found.journal.close)
            await loop.run_in_executor(None, threads.close)
            raise
        self._note_stuck(recorder)
        if found.crashed:
            recorder.note(CrashFound(**_left(found)), "gateway")
        recorder.note(GatewayStarted(version=__version__, port=self._boot.port, replayed=found.replayed), "gateway")
        self._recording = tasks.start(recorder.run(), "recorder")
        auditor = Auditor(self._lifeline, marks, threads, recorder, now_us, self._bus.changed)
        self._auditing = tasks.start(auditor.run(), "auditor")
        accounts.set_prices(found.prices)
        upkeep = Upkeep(threads, accounts, now_us, auditor.signed, marks.undecided)
        self._keeping_up = tasks.start(upkeep.run(), "upkeep")
        self._status.opened = Opened(threads, recorder, clients, accounts, auditor, upkeep, marks)
        self._network.opened()
        tasks.start(accounts.recall(), "how the providers answered")
        await self._vault.opened()
        gc.collect()
        gc.freeze()

    async def _answered(self, message: dict[str, Any]) -> None:
        """A person confirmed or refused something: what follows from it is done at once."""
        opened = self._status.opened
        if opened is None:
            return  # the start asks
        if message.get("kind") == "held":
            if message.get("answer") == "confirmed":
                opened.accounts.confirmed(str(message.get("subject")))
        elif message.get("kind") == "setting":
            found = await opened.threads.read(lambda: _settings(opened.threads))
            for client in (await opened.marks.settle(found, opened.clients.all(), opened.threads)).values():
                opened.clients.put(client, opened.clients.digest_of(client.name))
            await opened.auditor.choices()
            await self._vault.opened()
            self._bus.changed()

    def _note_stuck(self, recorder: Recorder) -> None:
        """Which engines stood still is in the audit log once the keeper knows that it is."""
        for one in self._boot.stuck:
            if one.at_us in self._boot.to_note:
                noted = functools.partial(self._lifeline.tell, "stuck_noted", {"at_us": one.at_us})
                recorder.note(EngineStuck(**dataclasses.asdict(one)), "keeper", noted)

    async def _ask(self, op: str, fields: dict[str, object]) -> tuple[dict[str, Any], list[socket.socket]]:
        return await self._lifeline.ask(op, fields)

    def _made(self, account: str, purpose: Purpose, opened: Connected) -> None:
        """A connection was handed over: counted and recorded at once, so that the host shows while it is still open."""
        self._count(account, 1, 0, 0)
        self._network.made(account, purpose, opened)

    def _ended(self, ended: Ended) -> None:
        self._count(ended.account, 0, ended.counts.bytes_out, ended.counts.bytes_in)
        self._network.ended(ended)

    def _count(self, account: str, connections: int, bytes_out: int, bytes_in: int) -> None:
        opened = self._status.opened
        if opened is None:
            return
        place = opened.accounts.destination(account)
        if place is not None:
            opened.recorder.host(place.host, place.local, connections, bytes_out, bytes_in)

    def _recorded(self, rows: list[Exchange]) -> None:
        if self._status.opened is not None:
            self._status.opened.accounts.health.note(rows)
        self._bus.closed(rows)

    def _problem(self) -> None:
        opened = self._status.opened
        if opened is not None:
            _log.warning("store: %s", opened.recorder.problem or "accepts writes again")
        self._bus.changed()

    async def _drain(self, reason: str, front: server.Server, back: server.Server) -> None:
        status = self._status
        status.draining = True
        status.settled.set()
        self._bus.changed()
        self._upstream.drop_idle()
        await front.close(DRAIN_S)
        await self._upstream.close(0.2)
        opened = status.opened
        if opened is not None:
            opened.recorder.note(GatewayStopped(reason=reason), "gateway")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await opened.recorder.stop()
            self._auditing.cancel()
            self._keeping_up.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_S):
                    await opened.auditor.stop()
            await asyncio.get_running_loop().run_in_executor(None, opened.threads.close)
        await back.close(0.1)


def _left(found: Found) -> dict[str, Any]:
    """What the run before left, as the log says it."""
    journal = found.damage or "intact"
    return {"interrupted": found.interrupted, "journal": journal, "signed": found.signed, "newest": found.newest}


def _settings(threads: StoreThreads) -> dict[str, str]:
    with threads.store.read() as connection:
        return settings.all(connection)
