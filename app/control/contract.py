"""Every question and answer of the control API, as types. The engine encodes them, `ControlClient` decodes them.

Paths (all under `/v0`):

    GET    /v0/snapshot                      -> Snapshot
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
    POST   /v0/clients/NAME/content KeepContent -> Client (whether answers may be kept for it)
    DELETE /v0/clients/NAME                  -> Done
    GET    /v0/activity?limit=N&before=ID    -> ActivityPage, newest first
    GET    /v0/usage?by=day,client&since_us=&until_us=  -> list[UsageRow]; dimensions: day client model provider
    GET    /v0/audit?limit=N&before=SEQ      -> AuditPage, newest first
    POST   /v0/audit/verify                  -> AuditVerdict
    POST   /v0/echo                          -> EchoResult: a real request to the model `gatehouse/echo` through every step
    POST   /v0/vault/unlock       Unlock     -> VaultView (prompts the person where the system does)
    POST   /v0/quit                          -> Done (the keeper drains and stops everything)

Errors: the status of the `AppError` and a `Problem` as body.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from app.core.records import Account, AuditEntry, Client, Exchange, HostView, HourBar, Today, UsageRow

# starting: not answering yet. locked: answering, but 503 until the vault opens. running: all well. failing: the store cannot write,
# requests get 503. draining: stopping.
EngineState = Literal["starting", "locked", "running", "failing", "draining"]

# ready: the keys are here. locked, absent (no keyring service), empty (a data folder without its master key), denied: told apart.
VaultState = Literal["ready", "locked", "absent", "empty", "denied"]
VaultMode = Literal["keyring", "passphrase", "session"]


class VaultView(msgspec.Struct, frozen=True, kw_only=True):
    """place: where keys are, in words for a person, e.g. "GNOME Keyring". message: what is wrong and what to do, or ""."""

    mode: VaultMode
    state: VaultState
    place: str
    message: str = ""


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as shown. label: the kind's display name. key_place: e.g. "In GNOME Keyring", or "" when it needs none.

    key_state: stored, none (needs none), missing (needs one), unknown (vault locked).
    """

    account: Account
    label: str
    host: str
    dialect: str
    key_state: Literal["stored", "none", "missing", "unknown"]
    key_place: str = ""
    today: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a window needs to draw itself, but no long list. seq rises by one per event."""

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


class ActivityPage(msgspec.Struct, frozen=True, kw_only=True):
    """rows newest first. next: pass as `before` for older ones; None at the end."""

    rows: tuple[Exchange, ...]
    next: str | None = None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[AuditEntry, ...]
    next: int | None = None


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """intact: every entry follows from the one before. finding: the first thing wrong, in one sentence, or ""."""

    intact: bool
    entries: int
    seq: int
    head: str
    finding: str = ""


class EchoResult(msgspec.Struct, frozen=True, kw_only=True):
    row: Exchange
    text: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    message: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str = ""


__all__ = [
    "Account", "ActivityPage", "AuditEntry", "AuditPage", "AuditVerdict", "Client", "ClientKey", "Done", "EchoResult", "EngineState",
    "EventLine", "Exchange", "HostView", "HourBar", "KeepContent", "Kind", "NewClient", "NewKey", "NewProvider",
    "Problem", "Proof", "ProviderView",
    "Snapshot", "Today", "Unlock", "UsageRow", "VaultMode", "VaultState", "VaultView",
]  # fmt: skip
