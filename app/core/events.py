"""What happened, as values: one tagged union used for the bus, the audit log and the log line alike.

`KIND` is the stable name that is stored; `AUDITED` says whether the event is an entry of the audit chain; `GROUP` is the filter under
which the Audit page shows it; `ROUTINE` events come by themselves all day, so that no checkpoint is signed at once for their sake. An
event never holds a secret or a prompt. `detail()` gives the audit body without time and actor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Final, Literal

from app.core.records import Exchange

Group = Literal["changes", "access", "network", "gateway", "audit", "ledger"]
GROUPS: Final[tuple[Group, ...]] = ("changes", "access", "network", "gateway", "audit", "ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who did it and from where. actor: "person", "gateway", "keeper" or the name of a client.

    user, uid: of the operating system. process, program: the other end of the control channel, as the kernel names it. via: what that
    program says it is ("window", "command line").
    """

    actor: str
    user: str = ""
    uid: int | None = None
    process: int | None = None
    program: str = ""
    via: str = ""

    def origin(self) -> dict[str, object]:
        """What is known beyond the actor."""
        known = {"user": self.user, "uid": self.uid, "process": self.process, "program": self.program, "via": self.via}
        return {name: value for name, value in known.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; never made itself."""

    KIND: ClassVar[str] = ""
    AUDITED: ClassVar[bool] = True
    GROUP: ClassVar[Group] = "changes"
    ROUTINE: ClassVar[bool] = False

    def subject(self) -> str:
        """What it is about, in one word: the name of an account or client, or ""."""
        return str(getattr(self, "name", ""))

    def detail(self) -> dict[str, object]:
        """The fields as they are: texts, numbers, and tuples of texts."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStarted(Event):
    KIND: ClassVar[str] = "gateway.started"
    GROUP: ClassVar[Group] = "gateway"
    version: str
    port: int
    replayed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStopped(Event):
    KIND: ClassVar[str] = "gateway.stopped"
    GROUP: ClassVar[Group] = "gateway"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashFound(Event):
    """The run before this one did not say that it stopped. interrupted: exchanges it left open. signed, newest: up to which entry it had
    signed, and its newest one."""

    KIND: ClassVar[str] = "gateway.crash_found"
    GROUP: ClassVar[Group] = "gateway"
    interrupted: int
    journal: str = "intact"
    signed: int = 0
    newest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStuck(Event):
    """The keeper ended an engine that answered nothing while it computed (`core.stuck`). request, client, endpoint, model, also: what
    that engine said it was at."""

    KIND: ClassVar[str] = "engine.stuck"
    GROUP: ClassVar[Group] = "gateway"
    at_us: int
    silent_s: int
    cpu_s: int
    request: str = ""
    client: str = ""
    endpoint: str = ""
    model: str = ""
    also: tuple[str, ...] = ()

    def subject(self) -> str:
        return self.client


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
class ClientIdentifiersChanged(Event):
    """What becomes of identifiers in a client's requests."""

    KIND: ClassVar[str] = "client.identifiers_changed"
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContentChanged(Event):
    """Whether answers may be kept for a client. Without permission, what was kept is deleted in the same transaction."""

    KIND: ClassVar[str] = "client.content_changed"
    name: str
    before: bool
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRemoved(Event):
    KIND: ClassVar[str] = "client.removed"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefused(Event):
    """Requests turned away for their key. The first is written at once, the rest of a flood as one entry a minute."""

    KIND: ClassVar[str] = "key.refused"
    GROUP: ClassVar[Group] = "access"
    reason: str
    count: int
    first_us: int
    last_us: int
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRefused(Event):
    """The keeper would not dial for an account: the address was not allowed, or nothing declares it. Aggregated as keys are."""

    KIND: ClassVar[str] = "egress.refused"
    GROUP: ClassVar[Group] = "network"
    name: str
    destination: str
    reason: str
    count: int = 1
    first_us: int = 0
    last_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationHeld(Event):
    """An account was declared to go somewhere that no person had asked for: nothing is looked up for it until one confirms it."""

    KIND: ClassVar[str] = "egress.held"
    GROUP: ClassVar[Group] = "network"
    name: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingHeld(Event):
    """A value that nobody had asked for was found in the database. used: what counts instead, until a person confirms it."""

    KIND: ClassVar[str] = "setting.held"
    name: str
    found: str
    used: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """A person confirmed or refused what waited. what: a row of `core.wishes`; name: the account or client, or "". asked: held, setting
    or refused."""

    KIND: ClassVar[str] = "confirmation.answered"
    name: str
    what: str
    value: str
    asked: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressTripped(Event):
    """Code in one of our processes tried to get out by itself and was refused. stack: who asked, the innermost first."""

    KIND: ClassVar[str] = "egress.tripped"
    GROUP: ClassVar[Group] = "network"
    process: str
    what: str
    target: str
    stack: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressUnexplained(Event):
    """The books do not agree: a socket, a connection, an exchange or a declared destination that nothing of ours explains."""

    KIND: ClassVar[str] = "egress.unexplained"
    GROUP: ClassVar[Group] = "network"
    what: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMeasured(Event):
    """What keeps everything else from leaving, as measured in this run. Written when it differs from the last time."""

    KIND: ClassVar[str] = "egress.level"
    GROUP: ClassVar[Group] = "network"
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTested(Event):
    KIND: ClassVar[str] = "egress.self_test"
    GROUP: ClassVar[Group] = "network"
    stopped: int
    got_out: int
    control_passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMade(Event):
    """A network report was signed. digest: SHA-256 of its canonical JSON."""

    KIND: ClassVar[str] = "egress.report"
    GROUP: ClassVar[Group] = "network"
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultChanged(Event):
    KIND: ClassVar[str] = "vault.changed"
    GROUP: ClassVar[Group] = "access"
    state: str
    place: str
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRefused(Event):
    """A passphrase that was wrong. The log could not be written then, so they are counted and written when the vault has opened."""

    KIND: ClassVar[str] = "vault.refused"
    GROUP: ClassVar[Group] = "access"
    count: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRefused(Event):
    """Requests turned away for where they came from, before any key counted. where: "gateway" or "control". Aggregated as keys are."""

    KIND: ClassVar[str] = "access.refused"
    GROUP: ClassVar[Group] = "access"
    where: str
    reason: str
    count: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuitAsked(Event):
    KIND: ClassVar[str] = "gateway.quit_asked"
    GROUP: ClassVar[Group] = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerified(Event):
    """Somebody asked whether the log is whole. state: intact, tampered or incomplete. finding: the first, in one sentence, or ""."""

    KIND: ClassVar[str] = "audit.verified"
    GROUP: ClassVar[Group] = "audit"
    state: str
    seq: int
    finding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFound(Event):
    """Something is wrong with the log itself, noticed without anybody asking. found: the kind of finding; at: from which entry on."""

    KIND: ClassVar[str] = "audit.finding"
    GROUP: ClassVar[Group] = "audit"
    found: str
    at: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditExported(Event):
    """The log was read by somebody who wants to keep it; where that is, the engine is not told. upto: the newest entry before this one."""

    KIND: ClassVar[str] = "audit.exported"
    GROUP: ClassVar[Group] = "audit"
    entries: int
    upto: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPruned(Event):
    """Entries up to `upto` were removed. rows, digest: the rows of the ledger whose batches' entries went with them, and of batches of
    which rows went before, so that these rows can still be checked (store/floors.py)."""

    KIND: ClassVar[str] = "audit.pruned"
    GROUP: ClassVar[Group] = "audit"
    upto: int
    count: int
    head: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRestored(Event):
    """A person went on from a log that did not fit what was known of it. base: its last entry. found: what was wrong.

    known_seq, known_head: what the vault remembered, or 0 and "".
    """

    KIND: ClassVar[str] = "audit.restored"
    GROUP: ClassVar[Group] = "audit"
    base: int
    found: tuple[str, ...]
    known_seq: int
    known_head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChanged(Event):
    KIND: ClassVar[str] = "setting.changed"
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTested(Event):
    """Somebody asked whether the key works. result: in one sentence."""

    KIND: ClassVar[str] = "provider.tested"
    name: str
    ok: bool
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBatch(Event):
    """Rows written to the ledger together. digest: SHA-256 over what they say, in the order of their ids (store/ledger.py)."""

    KIND: ClassVar[str] = "ledger.batch"
    GROUP: ClassVar[Group] = "ledger"
    ROUTINE: ClassVar[bool] = True
    count: int
    first: str
    last: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTrimming(Event):
    """Rows of the batches up to audit entry `upto`, all opened before `until_us`, are about to go. reason: age or size."""

    KIND: ClassVar[str] = "ledger.trimming"
    GROUP: ClassVar[Group] = "ledger"
    upto: int
    until_us: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTrimmed(Event):
    """They have gone; their sums stay. old_rows, old_digest: what stays of the rows of these batches and of those whose entries were
    pruned, because it was opened later."""

    KIND: ClassVar[str] = "ledger.trimmed"
    GROUP: ClassVar[Group] = "ledger"
    upto: int
    until_us: int
    rows: int
    old_rows: int
    old_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSet(Event):
    """A price of one's own for a model of an account. Dollars for a million tokens, as texts; "" for none before, or removed."""

    KIND: ClassVar[str] = "price.set"
    GROUP: ClassVar[Group] = "changes"
    name: str
    model: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRepriced(Event):
    """Costs of a period were worked out again; the rows keep what was first written. The sums are millionths of a dollar."""

    KIND: ClassVar[str] = "ledger.repriced"
    GROUP: ClassVar[Group] = "ledger"
    run: int
    since_us: int
    until_us: int
    looked_at: int
    changed: int
    before_microusd: int
    after_microusd: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerExported(Event):
    """Rows left the ledger as a file. form: csv or jsonl."""

    KIND: ClassVar[str] = "ledger.exported"
    GROUP: ClassVar[Group] = "ledger"
    form: str
    rows: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeClosed(Event):
    KIND: ClassVar[str] = "exchange.closed"
    AUDITED: ClassVar[bool] = False
    row: Exchange

    def subject(self) -> str:
        return self.row.id


def audited() -> dict[str, type[Event]]:
    """Every kind of audit entry, by its name."""
    return {event.KIND: event for event in Event.__subclasses__() if event.AUDITED}


ROUTINE_KINDS: Final = tuple(kind for kind, event in audited().items() if event.ROUTINE)
