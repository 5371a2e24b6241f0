"""What happened, as values: one tagged union used for the bus, the audit log and the log line alike.

`KIND` is the stable name that is stored; `AUDITED` says whether the event is an entry of the audit chain. An event never holds a
secret or a prompt. `detail()` gives the audit body without time and actor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from app.core.records import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; never made itself."""

    KIND: ClassVar[str] = ""
    AUDITED: ClassVar[bool] = True

    def subject(self) -> str:
        """What it is about, in one word: the name of an account or client, or ""."""
        return str(getattr(self, "name", ""))

    def detail(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStarted(Event):
    KIND: ClassVar[str] = "gateway.started"
    version: str
    port: int
    replayed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStopped(Event):
    KIND: ClassVar[str] = "gateway.stopped"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashFound(Event):
    """The run before this one did not say that it stopped. interrupted: exchanges it left open."""

    KIND: ClassVar[str] = "gateway.crash_found"
    interrupted: int
    journal: str = "intact"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAdded(Event):
    KIND: ClassVar[str] = "provider.added"
    name: str
    kind: str
    destination: str
    local: bool
    keyed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRemoved(Event):
    KIND: ClassVar[str] = "provider.removed"
    name: str
    kind: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeyChanged(Event):
    KIND: ClassVar[str] = "provider.key_changed"
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdded(Event):
    KIND: ClassVar[str] = "client.added"
    name: str
    key_hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBlocked(Event):
    KIND: ClassVar[str] = "client.blocked"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientUnblocked(Event):
    KIND: ClassVar[str] = "client.unblocked"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved(Event):
    KIND: ClassVar[str] = "client.removed"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefused(Event):
    """Requests turned away for their key. The first is written at once, the rest of a flood as one entry a minute."""

    KIND: ClassVar[str] = "key.refused"
    reason: str
    count: int
    first_us: int
    last_us: int
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRefused(Event):
    """The keeper would not dial for an account: the address was not allowed, or nothing declares it."""

    KIND: ClassVar[str] = "egress.refused"
    name: str
    destination: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultChanged(Event):
    KIND: ClassVar[str] = "vault.changed"
    state: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBatch(Event):
    """Rows written to the ledger together. digest: SHA-256 over what they say, in the order of their ids (store/ledger.py)."""

    KIND: ClassVar[str] = "ledger.batch"
    count: int
    first: str
    last: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeClosed(Event):
    KIND: ClassVar[str] = "exchange.closed"
    AUDITED: ClassVar[bool] = False
    row: Exchange

    def subject(self) -> str:
        return self.row.id
