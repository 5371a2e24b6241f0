"""Every question and answer of the control API, as types. The engine encodes them, `ControlClient` decodes them.

Paths (all under `/v0`):

    GET    /v0/snapshot                      -> Snapshot; settled=1: once the vault has answered, or after ten seconds
    GET    /v0/events                        -> stream of JSON lines, each an `EventLine`: first one with a snapshot, then one
                                               per change; a line with neither every 5 s, so that a dead engine is noticed
    GET    /v0/proof?nonce=HEX               -> Proof: what our own listener answers to that nonce at `/health/proof?nonce=HEX`
    GET    /v0/kinds                         -> list[Kind]
    POST   /v0/providers          NewProvider -> ProviderView
    POST   /v0/providers/NAME/test           -> ProviderView (after the test; a failed test is a result, not an error)
    PUT    /v0/providers/NAME/key  NewKey    -> ProviderView
    DELETE /v0/providers/NAME                -> Done
    POST   /v0/clients            NewClient  -> ClientKey (the only time the key is shown)
    POST   /v0/clients/NAME/block | unblock  -> Client
    POST   /v0/clients/NAME/identifiers ClientIdentifiers -> Client (what becomes of identifiers in its requests)
    GET    /v0/network?from=US               -> NetworkView; sums from then on, default: since the gateway started
    GET    /v0/network/records?limit=N       -> list[EgressRecord], newest first
    GET    /v0/network/records/N             -> EgressRecord: that connection
    POST   /v0/network/selftest              -> LeakAttempt lines as they happen
    POST   /v0/network/report                -> NetworkReport
    POST   /v0/clients/NAME/content KeepContent -> Client (whether answers may be kept for it)
    DELETE /v0/clients/NAME                  -> Done
    GET    /v0/activity?limit=N&before=ID    -> ActivityPage, newest first. after=ID instead: the oldest of those after it. Filters, each
                                                may be repeated: client provider model status (429, 4xx, failed) outcome; since_us until_us
                                                text (in the errors of failed rows) id (how it begins)
    GET    /v0/activity/names                -> ActivityNames, to filter by
    GET    /v0/activity/minutes?since_us=&until_us= -> list[MinuteBar]: how many in each minute of at most three hours; filters as
                                                above, but neither text nor id
    GET    /v0/activity/ID                   -> ActivityRow
    GET    /v0/usage?by=day,client&since_us=&until_us=  -> list[UsageRow]; dimensions: one of hour day month, and client model
                                                provider; client= provider= model= : only those
    GET    /v0/export?form=csv|jsonl         -> the rows as a file, oldest first, while they are read; filters as above
    GET    /v0/prices                        -> list[OwnPrice]
    PUT    /v0/prices             NewPrice   -> OwnPrice
    POST   /v0/prices/remove      PriceName  -> Done
    POST   /v0/reprice            Reprice    -> Repriced
    GET    /v0/retention                     -> RetentionView
    PUT    /v0/retention          RetentionPolicy -> RetentionView
    POST   /v0/retention/run                 -> Trimmed
    GET    /v0/audit?limit=N&before=SEQ&group=G&actor=A&text=T&titled=K,K  -> AuditPage, newest first; group: changes access network
                                               gateway audit ledger; titled: kinds that fit the text by their title. fold=1 instead of
                                               text: batches that follow each other as runs
    GET    /v0/audit/SEQ                     -> AuditDetail
    GET    /v0/audit/status                  -> AuditStatus
    POST   /v0/audit/verify                  -> AuditVerdict
    POST   /v0/audit/export                  -> the whole log as a stream of `core.frames`: the files of `core.exports`, in that order;
                                               the last word is an AuditExportEnd. Without it the stream was cut
    GET    /v0/audit/prune?keep_days=N       -> AuditPrunable: what would go
    POST   /v0/audit/prune        AuditPrune -> Done
    PUT    /v0/audit/policy       AuditPolicy -> AuditStatus
    POST   /v0/audit/accept       AuditAccept -> Done: a person goes on from a log with a finding
    GET    /v0/privacy                       -> list[Promise]
    POST   /v0/echo                          -> EchoResult: a real request to the model `gatehouse/echo` through every step
    POST   /v0/vault/unlock       Unlock     -> VaultView (prompts the person where the system does)
    PUT    /v0/vault/policy       VaultPolicy -> VaultView
    POST   /v0/quit                          -> Done (the keeper drains and stops everything)

What only a person may want (`control.grants`) is done when the person's program told the keeper before; otherwise it is refused with
403 `confirmation_needed`, nothing is changed, and it waits for `gatehouse confirm`.

What needs the vault waits for its first answer, at most ten seconds, as requests of clients do.

Errors: the status of the `AppError` and a `Problem` as body.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from app.core.records import (
    Account,
    AuditEntry,
    AuditRun,
    Client,
    EgressRecord,
    Exchange,
    HostView,
    HourBar,
    Identifiers,
    NameAsked,
    OwnPrice,
    RefusedAttempt,
    Today,
    UsageRow,
)
from app.core.stuck import Stuck

# Every whole number that is asked with has a bound: a larger one is no time (this is the year 2255), no size and no entry's place, and
# would not fit where it is looked up.
MOST_NUMBER: Final = 1 << 53
Number = Annotated[int, msgspec.Meta(ge=0, le=MOST_NUMBER)]

# starting: not answering yet. locked: answering, but 503 until the vault opens. running: all well. failing: the store cannot write,
# requests get 503. draining: stopping.
EngineState = Literal["starting", "locked", "running", "failing", "draining"]

# starting: it has not answered yet. ready: the keys can be read. locked, absent (no keyring service), empty (a data folder without its
# master key), denied: told apart. A keyring may also lock while the gateway runs: keys in memory go on being used, see VaultPolicy.
VaultState = Literal["starting", "ready", "locked", "absent", "empty", "denied"]
VaultMode = Literal["keyring", "passphrase", "session"]


class VaultView(msgspec.Struct, frozen=True, kw_only=True):
    """place: where keys are, in words for a person, e.g. "GNOME Keyring". message: what is wrong and what to do, or "".

    since_us: when the state began. forgets: as VaultPolicy.forget_on_lock.
    """

    mode: VaultMode
    state: VaultState
    place: str
    message: str = ""
    since_us: int = 0
    forgets: bool = False


class VaultPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """forget_on_lock: when the keyring locks, the keys of providers leave the memory too, and requests get 503 until it opens."""

    forget_on_lock: bool


class ProviderTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest requests to an account came to. state: answers, limited (429), refused (its key), failing. at_us: when the newest
    one ended. requests, failed: how many were looked at, and those among them that say something against the provider. first_byte_us: the
    median of the answered ones. message: the newest of what `state` is about."""

    state: Literal["answers", "limited", "refused", "failing"]
    at_us: int
    requests: int
    failed: int = 0
    first_byte_us: int | None = None
    message: str = ""


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as shown. label: the kind's display name. key_place: e.g. "In GNOME Keyring", or "" when it needs none.

    key_state: stored, none (needs none), missing (needs one). While the vault is locked: held (in memory, goes on being used) or
    unknown (not in memory: its requests get 503). traffic: None while no request went there. waits: nothing is sent to its host until a
    person confirms it.
    """

    account: Account
    label: str
    host: str
    dialect: str
    key_state: Literal["stored", "held", "none", "missing", "unknown"]
    key_place: str = ""
    today: int = 0
    traffic: ProviderTraffic | None = None
    waits: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a window needs to draw itself, but no long list. seq rises by one per event. stuck: engines of this run of the keeper
    that stood still and were ended, the newest last."""

    seq: int
    version: str
    state: EngineState
    started_us: int
    port: int
    addresses: tuple[str, ...]
    port_note: str = ""
    problem: str = ""
    vault: VaultView
    providers: tuple[ProviderView, ...] = ()
    clients: tuple[Client, ...] = ()
    today: Today = Today()
    hosts: tuple[HostView, ...] = ()
    refused_connections: int = 0
    audit_seq: int = 0
    data_dir: str = ""
    stuck: tuple[Stuck, ...] = ()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class EventLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the event stream. `snapshot` comes with the first line and after every change of what it holds; `row` after an
    exchange closed (several a second are sent as several lines, the snapshot with them at most four times a second)."""

    seq: int
    kind: str = ""
    snapshot: Snapshot | None = None
    row: Exchange | None = None


class Proof(msgspec.Struct, frozen=True):
    hmac: str


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A catalogue row as the add form needs it. base_url is "" where the person must give one."""

    id: str
    label: str
    base_url: str
    dialect: str
    needs_key: bool
    local: bool
    key_url: str = ""
    key_example: str = ""


class NewProvider(msgspec.Struct, frozen=True, kw_only=True):
    """key: None for a kind that needs none. It travels on the control channel only and is wiped from memory as far as Python can."""

    name: str
    kind: str
    base_url: str = ""
    key: str | None = None
    local: bool = False

    def __repr__(self) -> str:
        return f"NewProvider(name={self.name!r}, kind={self.kind!r})"


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    key: str

    def __repr__(self) -> str:
        return "NewKey()"


class NewClient(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class ClientIdentifiers(msgspec.Struct, frozen=True, kw_only=True):
    identifiers: Identifiers


class KeepContent(msgspec.Struct, frozen=True, kw_only=True):
    keeps: bool


class ClientKey(msgspec.Struct, frozen=True, kw_only=True):
    client: Client
    key: str

    def __repr__(self) -> str:
        return f"ClientKey(client={self.client!r})"


class Unlock(msgspec.Struct, frozen=True, kw_only=True):
    """passphrase: for a passphrase vault; None asks the operating system, which may prompt."""

    passphrase: str | None = None

    def __repr__(self) -> str:
        return "Unlock()"


class RowFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; empty fields let everything through, of several names one must hold.

    statuses: a status (`429`), a hundred of them (`4xx`) or an outcome (`cancelled`). outcomes: outcomes alone, so that a status and an
    outcome can both be wanted. text: in the errors of failed rows, or their code. id: how it begins.
    """

    since_us: int | None = None
    until_us: int | None = None
    clients: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    text: str = ""
    id: str = ""


class ActivityNames(msgspec.Struct, frozen=True, kw_only=True):
    """Of which there are rows."""

    clients: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]


class NewPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What of an `OwnPrice` is asked with: when it was set is the engine's to say."""

    account: str
    model: str
    input: str
    output: str
    cached: str = ""
    cache_write: str = ""


class PriceName(msgspec.Struct, frozen=True, kw_only=True):
    """model "": the price for all of the account's."""

    account: str
    model: str = ""


class Reprice(msgspec.Struct, frozen=True, kw_only=True):
    """all: also what has a price already; otherwise only what has none."""

    since_us: Number
    until_us: Number
    all: bool = False


class Repriced(msgspec.Struct, frozen=True, kw_only=True):
    """changed: rows that cost something else now; the sums are theirs."""

    looked_at: int
    changed: int
    before_microusd: int
    after_microusd: int


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is None stays. 0: no limit."""

    keep_days: Number | None = None
    keep_bytes: Number | None = None


class RetentionView(msgspec.Struct, frozen=True, kw_only=True):
    """The policy, and what there is: the file, the part of it that is free, and when the oldest row was opened."""

    keep_days: int
    keep_bytes: int
    file_bytes: int
    free_bytes: int
    oldest_us: int | None = None


class Trimmed(msgspec.Struct, frozen=True, kw_only=True):
    """rows: how many went. freed_bytes: given back to the disk."""

    rows: int
    freed_bytes: int


class ActivityPage(msgspec.Struct, frozen=True, kw_only=True):
    """rows newest first. next: pass as `before` for older ones; None at the end."""

    rows: tuple[Exchange, ...]
    next: str | None = None


class ActivityRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row with its place in the audit log. batch: the entry that holds the digest of its batch. refusal: the entry that wrote down that
    requests like it were turned away, if there is one."""

    row: Exchange
    batch: int
    refusal: int | None = None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """runs: where they were asked for, those between the entries."""

    entries: tuple[AuditEntry, ...]
    next: int | None = None
    runs: tuple[AuditRun, ...] = ()


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the log (`app.verifier`). advice: what to do."""

    kind: str
    seq: int
    sentence: str
    advice: str


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """state: intact; tampered; or incomplete: something that a full answer needs is missing, such as what the vault remembers.

    seq, head: number and hash of the last good entry. sealed: up to where signatures reach. anchored: up to where the vault remembers.
    rows, batches: of the ledger, held against the log. finding: the first of `findings`, or "". since: only entries after this one, and
    their rows, were read, because what is before them was verified earlier (`AuditStatus.full_us`); 0: everything was read.
    """

    intact: bool
    entries: int
    seq: int
    head: str
    finding: str = ""
    state: Literal["intact", "tampered", "incomplete"] = "intact"
    first: int = 0
    findings: tuple[AuditFinding, ...] = ()
    notes: tuple[str, ...] = ()
    sealed: int = 0
    anchored: int = 0
    rows: int = 0
    batches: int = 0
    at_us: int = 0
    took_ms: int = 0
    since: int = 0


class AuditStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the log stands. first, seq: numbers of the oldest and the newest entry. fingerprint: of the log's first key.

    anchored, place, worth: up to where the vault remembers the log, where that is, and what it is worth in words. trouble: why nothing
    is signed, or "". starting: that is only because the start is not over. held: the finding for which nothing is signed until a person
    goes on from it. verifying, verifying_rows: entries and rows of the ledger that were read, and how many there are to read, during a
    verification. groups: how many entries each filter has. full_us, full_seq: when all of the log and the ledger was last read and found
    intact, and its newest entry then; 0 for never.
    """

    entries: int
    first: int
    seq: int
    head: str
    size_bytes: int
    sealed: int
    sealed_us: int
    epoch: int
    fingerprint: str
    anchored: int
    anchored_us: int
    place: str
    worth: str
    trouble: str = ""
    starting: bool = False
    held: AuditFinding | None = None
    verdict: AuditVerdict | None = None
    verifying: tuple[int, int] | None = None
    verifying_rows: tuple[int, int] | None = None
    full_us: int = 0
    full_seq: int = 0
    keep_days: int
    on_failure: Literal["stop", "continue"]
    groups: dict[str, int]


class AuditDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its place in the chain. sealed_by: the entry of the first checkpoint over it, 0 while there is none."""

    entry: AuditEntry
    previous: str
    following: str
    sealed_by: int
    sealed_us: int
    sealed_epoch: int


class AuditExport(msgspec.Struct, frozen=True, kw_only=True):
    """fingerprint: of the log's first key, to be given to whoever checks the export."""

    entries: int
    upto: int
    size_bytes: int
    signed: bool
    fingerprint: str = ""


class AuditExportEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an export: what it was, or why there is none."""

    made: AuditExport | None = None
    problem: Problem | None = None


class AuditPrunable(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune would take away: entries `first` to `upto` (0: nothing). rows: of the ledger that lose their own entry's digest."""

    upto: int
    count: int
    first: int
    first_us: int
    last_us: int
    size_bytes: int
    rows: int
    kept: int


class AuditPrune(msgspec.Struct, frozen=True, kw_only=True):
    """upto: as the preview said it, so that nothing goes that was not shown."""

    upto: Number


class AuditPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is None stays. keep_days: 0 for ever. on_failure: what requests do while the log cannot be written."""

    keep_days: Number | None = None
    on_failure: Literal["stop", "continue"] | None = None


class AuditAccept(msgspec.Struct, frozen=True, kw_only=True):
    """finding: the kind of the finding that the person saw."""

    finding: str


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One promise about privacy. kept: as measured just now, None when that could not be measured. state: how it is now, in a sentence.
    check: the command with which to see it."""

    id: str
    title: str
    kept: bool | None
    state: str
    check: str


class EchoResult(msgspec.Struct, frozen=True, kw_only=True):
    row: Exchange
    text: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    message: str = ""


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """One of our processes. level: kernel, desktop or guarded. seccomp, landlock: "" when active, else why not. open: ways out that were
    tried and not refused. reach: other programs that it can ask. measured: False for one that did not say. hidden: its memory and
    descriptors are kept from other programs of the user."""

    role: str
    pid: int
    measured: bool
    level: str
    seccomp: str = ""
    landlock: str = ""
    landlock_version: int = 0
    hidden: bool = False
    open: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()


class DestinationView(msgspec.Struct, frozen=True, kw_only=True):
    """One place that may be contacted, used or not. purpose: why, in words. Sums since the keeper started. tls, issuer: of the newest
    connection. declared: False for one that was removed since it was used."""

    host: str
    port: int
    scheme: str
    local: bool
    purpose: str
    accounts: tuple[str, ...] = ()
    added_us: int = 0
    declared: bool = True
    connections: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    last_us: int | None = None
    tls: str = ""
    issuer: str = ""
    issuer_changed: bool = False


class ListeningView(msgspec.Struct, frozen=True, kw_only=True):
    """kind: gateway, control, or unexplained: a socket of one of our processes that the keeper did not make."""

    address: str
    process: str
    pid: int
    kind: str


class LayerView(msgspec.Struct, frozen=True, kw_only=True):
    """state: active, watching, partial, missing or unused. reason: why it is not active, or ""."""

    name: str
    does: str
    state: str
    reason: str = ""


class BooksView(msgspec.Struct, frozen=True, kw_only=True):
    """Connections since the keeper started, three times. seen: by looking at the system's table. hidden: processes whose sockets could
    not be looked at. mismatches: sentences; with `unexplained` empty, the books agree."""

    ledger: int
    records: int
    keeper: int
    seen: int
    looks: int
    hidden: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    not_compared: int = 0


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    from_us: int
    until_us: int


class NetworkView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the Network page shows. level: kernel, desktop or guarded, as measured; level_reason: why it is not more, or "".

    since_us: when this run began; level, gaps, layers, books and unexplained are about it. from_us: since when connections, hosts,
    destinations, refused, names and removed are summed up.

    unexplained: sentences about sockets, connections or destinations that nothing of ours explains: red. environment: names of variables
    that could have redirected or recorded traffic and were not passed on. removed: what was taken out of requests before they left.
    waiting: what the keeper does only once a person confirms it; waiting_unlisted: how many more there were than can be listed.
    """

    level: str
    level_reason: str
    since_us: int
    from_us: int
    gaps: tuple[Gap, ...]
    connections: int
    hosts: int
    local_hosts: int
    destinations: tuple[DestinationView, ...]
    refused: tuple[RefusedAttempt, ...]
    refused_count: int
    names: tuple[NameAsked, ...]
    layers: tuple[LayerView, ...]
    processes: tuple[ProcessView, ...]
    listening: tuple[ListeningView, ...]
    environment: tuple[str, ...]
    books: BooksView
    unexplained: tuple[str, ...]
    removed_headers: int = 0
    removed_from: int = 0
    removed_identifiers: int = 0
    waiting: tuple[WaitingView, ...] = ()
    waiting_unlisted: int = 0


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper does only once a person confirms it. number: for `gatehouse confirm`. kind: held (a destination that was declared),
    setting (a value in the database that nobody asked for; `used` counts meanwhile), refused (a change that was asked for). what,
    subject, value: as `core.wishes`; says: the same in a sentence. asked: somebody still asks for it."""

    number: int
    kind: str
    what: str
    subject: str
    value: str
    says: str
    used: str = ""
    at_us: int = 0
    asked: bool = True


class LeakAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the self-test, see `system.leaks.Attempt`. good: stopped, or, where it must pass, passed."""

    name: str
    process: str
    to: str
    result: str
    after_us: int
    good: bool
    detail: str = ""
    must_pass: bool = False


class NetworkReport(msgspec.Struct, frozen=True, kw_only=True):
    """report: canonical JSON. signature: Ed25519 over it, hexadecimal; key: the public key, hexadecimal."""

    report: str
    signature: str
    key: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str = ""


__all__ = [
    "Account",
    "ActivityNames",
    "ActivityPage",
    "ActivityRow",
    "AuditAccept",
    "AuditDetail",
    "AuditEntry",
    "AuditExport",
    "AuditExportEnd",
    "AuditFinding",
    "AuditPage",
    "AuditPolicy",
    "AuditPrunable",
    "AuditPrune",
    "AuditRun",
    "AuditStatus",
    "AuditVerdict",
    "BooksView",
    "Client",
    "ClientIdentifiers",
    "ClientKey",
    "DestinationView",
    "Done",
    "EchoResult",
    "EgressRecord",
    "EngineState",
    "EventLine",
    "Exchange",
    "Gap",
    "HostView",
    "HourBar",
    "KeepContent",
    "Kind",
    "LayerView",
    "LeakAttempt",
    "ListeningView",
    "NameAsked",
    "NetworkReport",
    "NetworkView",
    "NewClient",
    "NewKey",
    "NewPrice",
    "NewProvider",
    "OwnPrice",
    "PriceName",
    "Problem",
    "ProcessView",
    "Promise",
    "Proof",
    "ProviderTraffic",
    "ProviderView",
    "RefusedAttempt",
    "Reprice",
    "Repriced",
    "RetentionPolicy",
    "RetentionView",
    "RowFilter",
    "Snapshot",
    "Today",
    "Trimmed",
    "Unlock",
    "UsageRow",
    "VaultMode",
    "VaultPolicy",
    "VaultState",
    "VaultView",
]
