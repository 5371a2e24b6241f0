"""The one place that knows how the engine is doing, and draws the snapshot from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from app import __version__
from app.control.contract import EngineState, HostView, ProviderView, Snapshot, Today, VaultView
from app.core.errors import AppError
from app.core.events import Who
from app.core.stuck import Stuck
from app.engine.accounts import Accounts
from app.engine.auditing import Auditor
from app.engine.clients import Clients
from app.engine.marks import Marks
from app.engine.recorder import Recorder, StoreThreads
from app.engine.upkeep import Upkeep
from app.store import audit, hosts, rollups


@dataclass(frozen=True, slots=True)
class Boot:
    """What the keeper says once, in the first message."""

    data_dir: str
    control: str
    port: int
    addresses: tuple[str, ...]
    port_note: str
    proof_secret: bytes
    control_token: str
    restarts: int
    stuck: tuple[Stuck, ...] = ()  # engines before this one that stood still, the newest last
    to_note: frozenset[int] = frozenset()  # those that are not in the audit log yet, by their times

    @staticmethod
    def of(message: dict[str, Any]) -> Boot:
        return Boot(
            data_dir=message["data_dir"],
            control=message.get("control", ""),
            port=message["port"],
            addresses=tuple(message["addresses"]),
            port_note=message.get("port_note", ""),
            proof_secret=bytes.fromhex(message["proof_secret"]),
            control_token=message.get("control_token", ""),
            restarts=message.get("restarts", 0),
            stuck=tuple(Stuck.of(told) for told in message.get("stuck", ())),
            to_note=frozenset(told["at_us"] for told in message.get("stuck", ()) if not told["noted"]),
        )


@dataclass(slots=True)
class Opened:
    """Everything that exists only once the vault gave its keys and the store is open."""

    threads: StoreThreads
    recorder: Recorder
    clients: Clients
    accounts: Accounts
    auditor: Auditor
    upkeep: Upkeep
    marks: Marks


START_S: Final = 10.0  # how long a command waits for the vault's first answer
_STARTING: Final = "Gatehouse is still starting."
_SENTENCES: Final = {
    "locked": ("vault_locked", "The keyring that holds Gatehouse's keys is locked.", "Unlock it in Gatehouse."),
    "absent": ("vault_absent", "There is no keyring on this machine.", "Choose a passphrase or this session only in Gatehouse."),
    "empty": ("vault_empty", "The keyring no longer holds the master key of this data folder.", "Restore the key; the data is unchanged."),
    "denied": ("vault_denied", "The keyring refused access to Gatehouse's keys.", "Allow access in Gatehouse."),
}


@dataclass(slots=True)
class Status:
    boot: Boot
    started_us: int
    now_us: Callable[[], int]
    vault: VaultView = field(default_factory=lambda: VaultView(mode="keyring", state="starting", place="", message=_STARTING))
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # requests can be answered, or refused for a known reason
    opened: Opened | None = None
    failure: AppError | None = None
    draining: bool = False
    wrong_passphrases: tuple[int, int, int] | None = None  # how many, the first's time and the last's
    unlocker: Who | None = None  # who asked last to unlock the vault

    def state(self) -> EngineState:
        if self.draining:
            return "draining"
        if self.opened is not None:
            return "failing" if self.opened.recorder.problem else "running"
        if self.failure is not None:
            return "failing"
        if self.vault.state in ("starting", "ready"):
            return "starting"
        return "locked"

    def refusal(self) -> AppError:
        """Why requests cannot be answered while nothing is opened."""
        if self.draining:
            return AppError("draining", "Gatehouse is stopping.", "Try again in a few seconds.", retry_after_s=5)
        if self.failure is not None:
            return self.failure
        if self.vault.state in _SENTENCES:
            code, message, hint = _SENTENCES[self.vault.state]
            return AppError(code, self.vault.message or message, "" if self.vault.message else hint, retry_after_s=10)
        return AppError("store_unavailable", _STARTING, "Try again in a second.", retry_after_s=1)

    async def first_answer(self) -> None:
        """Until the vault has answered and what follows from that is done; `START_S` at most."""
        if not self.settled.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_S):
                    await self.settled.wait()

    def unreadiness(self) -> AppError | None:
        """Why a request to a provider would not be answered now; None when one would be.

        While the vault is locked, those accounts are answered for that need no key or whose key is in memory.
        """
        opened = self.opened
        if opened is None or self.draining:
            return self.refusal()
        if opened.recorder.refuses:
            return opened.recorder.unavailable()
        if self.vault.state != "ready" and not opened.accounts.usable():
            return self.refusal()
        return None

    def need(self) -> Opened:
        """What is opened. AppError vault_* or store_* with the reason when nothing is."""
        if self.opened is None or self.draining:
            raise self.refusal()
        return self.opened

    async def snapshot(self, seq: int) -> Snapshot:
        problem = ""
        if self.failure is not None:
            problem = self.failure.sentence()
        elif self.opened is not None:
            problem = self.opened.recorder.problem
        now = self.now_us()
        providers: tuple[ProviderView, ...] = ()
        today, seen, audit_seq = Today(), tuple[HostView, ...](), 0
        opened = self.opened
        if opened is not None:
            try:
                today, seen, audit_seq, by_account = await opened.threads.read(lambda: _figures(opened.threads, now))
            except AppError as error:
                problem, by_account = error.sentence(), {}
            providers = tuple(opened.accounts.views(self.vault, by_account))
        return Snapshot(
            seq=seq,
            version=__version__,
            state=self.state(),
            started_us=self.started_us,
            port=self.boot.port,
            addresses=self.boot.addresses,
            port_note=self.boot.port_note,
            problem=problem,
            vault=self.vault,
            providers=providers,
            clients=() if opened is None else tuple(opened.clients.all()),
            today=today,
            hosts=seen,
            refused_connections=0 if opened is None else opened.accounts.refused_connections,
            audit_seq=audit_seq,
            data_dir=self.boot.data_dir,
            stuck=self.boot.stuck,
        )


def _figures(threads: StoreThreads, now_us: int) -> tuple[Today, tuple[HostView, ...], int, dict[str, int]]:
    with threads.store.read() as connection:
        today = rollups.today(connection, now_us)
        return today, tuple(hosts.today(connection, now_us)), audit.newest(connection), rollups.today_by_account(connection, now_us)
