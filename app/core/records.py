"""The product's nouns as values: what is stored, sent over the control channel, and shown.

Plain frozen dataclasses, so that the keeper can use them too; msgspec reads and writes them at the control channel. Times are
microseconds since 1970 UTC (`_us`), money is millionths of a US dollar (`_microusd`), sizes are bytes.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Scheme = Literal["https", "http"]
_HOST: Final = re.compile(r"[a-z0-9_]++(?:-++[a-z0-9_]++)*+(?:\.[a-z0-9_]++(?:-++[a-z0-9_]++)*+)*+")


@dataclass(frozen=True, slots=True)
class Destination:
    """One place the keeper may dial: exactly this scheme, host and port.

    `local`: the person marked the account as local, so loopback and private addresses are allowed, and only those.
    """

    scheme: Scheme
    host: str
    port: int
    local: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @staticmethod
    def of(base_url: str, *, local: bool) -> Destination:
        """The destination of a base URL. ValueError with a sentence if the URL cannot be one."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("https", "http"):
            raise ValueError("The address must start with https:// or http://.")
        if parts.username is not None or parts.password is not None:
            raise ValueError("The address must not contain a user name or password.")
        if parts.query or parts.fragment:
            raise ValueError("The address must not contain ? or #.")
        if any(c.isspace() or ord(c) < 33 for c in base_url):
            raise ValueError("The address must not contain blanks.")
        host = (parts.hostname or "").removesuffix(".").lower()
        if not host:
            raise ValueError("The address has no host name.")
        if ":" in host:
            ipaddress.IPv6Address(host)  # ValueError says what is wrong with it
        if len(host) > 253 or not (_HOST.fullmatch(host) or (":" in host and "%" not in host)):
            raise ValueError("The host name may hold letters a to z, digits, dots and dashes (international names in their xn-- form).")
        port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)  # ValueError when out of range
        if not port:
            raise ValueError("Port 0 cannot be connected to.")
        scheme: Scheme = "https" if parts.scheme == "https" else "http"
        return Destination(scheme, host, port, local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A provider plus a key, under a name that clients use: `name/model`.

    kind: a catalogue id (`openai`, `anthropic`, `ollama`, ...). keyed: a key was stored for it (in the vault, never here).
    key_hint: the masked key (`sk-proj…m2Ka`) or "". models: what the provider listed at the last test, newest list only.
    id: stays when the name does not; of an account from before there were ids it is the name it had then.
    """

    name: str
    kind: str
    base_url: str
    local: bool
    keyed: bool
    key_hint: str = ""
    created_us: int = 0
    models: tuple[str, ...] = ()
    tested_us: int | None = None
    test_ok: bool | None = None
    test_message: str = ""
    test_ms: int | None = None
    id: str = ""


Identifiers = Literal["pseudonym", "remove", "pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that asks us. Its key is not here and not stored anywhere: `digest` is HMAC-SHA256 of it, kept in the store.

    keeps_content: the person allowed that answers of the Responses API are kept for it, so that it can continue from them.
    identifiers: what becomes of those in its requests: pseudonym (replaced), remove or pass.
    id: stays when the name does not, and so does the pseudonym made of it; of a client from before there were ids it is the name it
    had then.
    """

    name: str
    prefix: str
    last4: str
    created_us: int
    blocked: bool = False
    last_seen_us: int | None = None
    keeps_content: bool = False
    identifiers: Identifiers = "pseudonym"
    id: str = ""


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # as good as frozen, whose constructor costs three times as much
class Tokens:
    """Token counts of one exchange. `input` includes cached reads and cache writes; `output` includes reasoning.

    None: the provider sent nothing. estimated: counted by us, not by the provider.
    """

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    estimated: bool = False


_UNCOUNTED: Final = Tokens()

# completed: the last byte was written. failed: an error was answered, or the stream broke. cancelled: the client left first.
# interrupted: Gatehouse stopped before the end, or the engine died before it knew (found by replay; then there is no `error`,
# or `engine_stuck` for one that it stood still over).
# refused: turned away by us before any provider was asked.
Outcome = Literal["completed", "failed", "cancelled", "interrupted", "refused"]


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # as good as frozen, whose constructor costs three times as much
class Exchange:
    """One proxied request with its reply: a row of the ledger.

    asked: the model name as the client sent it. model: the name the provider was asked for. status: HTTP status the client got
    (499 when it left first). price: date of the price file applied, "local", "own" and the day such a price was set, or "" when unpriced;
    `cost_microusd` is None then.
    client is "" when no known key came with the request. client_id, account_id: those of `Client` and `Account`, "" in rows from before
    there were ids.
    """

    id: str
    opened_us: int
    closed_us: int | None = None
    duration_us: int | None = None
    first_byte_us: int | None = None
    client: str = ""
    endpoint: str = ""
    dialect: str = ""
    asked: str = ""
    account: str = ""
    kind: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    outcome: Outcome = "interrupted"
    error: str = ""
    message: str = ""
    attempts: int = 0
    tokens: Tokens = _UNCOUNTED
    cost_microusd: int | None = None
    price: str = ""
    host: str = ""
    connection: int | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    removed_headers: int = 0
    dropped: str = ""
    client_id: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """A price of one's own for a model of an account; model "": for all of the account's that have none.

    In dollars for a million tokens, as decimal texts. cached, cache_write: "" when they cost what input costs.
    """

    account: str
    model: str
    input: str
    output: str
    cached: str = ""
    cache_write: str = ""
    set_us: int = 0

    def words(self) -> str:
        """As an audit entry tells it."""
        parts = (("in", self.input), ("out", self.output), ("cached", self.cached), ("cache write", self.cache_write))
        return ", ".join(f"{name} {price}" for name, price in parts if price)


# How `dropped` names what was replaced or removed because it identifies somebody.
HIDDEN: Final = "identifier: "


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One link of the audit chain as it is shown. `body` is the canonical JSON object that was hashed, decoded."""

    seq: int
    at_us: int
    kind: str
    actor: str
    subject: str
    body: dict[str, object]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRun:
    """Batches of recorded requests that follow each other: numbers and times of the oldest and the newest. entries: how many there are;
    requests: how many they hold; both None while it is being counted."""

    first: int
    upto: int
    first_us: int
    last_us: int
    entries: int | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One group of the usage table. `key` has one text per asked dimension, in the asked order.

    local: requests served by the person's own machine or network, which cost nothing.
    """

    key: tuple[str, ...]
    requests: int
    failed: int
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    cost_microusd: int
    unpriced: int
    estimated: int
    local: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HourBar:
    """One hour of the local day; hour: 0-23 of the wall clock at its start."""

    hour: int
    answered: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteBar:
    """One minute of the clock in which requests were opened; at_us: its start. failed: of `requests`."""

    at_us: int
    requests: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The local day so far. cost_microusd sums the priced exchanges; unpriced counts the answered ones without a price.

    yesterday: requests of the whole local day before. local: exchanges served by the person's own machine. hours: one bar for each
    hour that has begun.
    """

    requests: int = 0
    failed: int = 0
    yesterday: int = 0
    cost_microusd: int = 0
    unpriced: int = 0
    local: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    hours: tuple[HourBar, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRecord:
    """One connection the keeper dialled. address: `1.2.3.4:443` as dialled. tls: version, "" without. spki: SHA-256 of the certificate's
    key, in hexadecimal. used: exchanges sent on it. other_out: bytes of requests that are no exchange. bytes: by the kernel, TLS and all;
    counted: whether it counts. closed_us: None while it is open, and for one that a crash ended."""

    connection: int
    opened_us: int
    closed_us: int | None = None
    purpose: str = "exchange"
    account: str = ""
    host: str = ""
    port: int = 0
    local: bool = False
    address: str = ""
    tls: str = ""
    issuer: str = ""
    spki: str = ""
    resolve_us: int = 0
    connect_us: int = 0
    used: int = 0
    other_out: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAttempt:
    """Something that did not leave. process: who tried. what: dial, connect, send, listen, look-up or program. rule: the guard's word, or
    `tripwire`. stack: `module.function`, the innermost first. count: how often so far."""

    at_us: int
    process: str
    what: str
    target: str
    account: str = ""
    address: str = ""
    rule: str = ""
    sentence: str = ""
    stack: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAsked:
    """A name the resolver was asked for. found: addresses in its last answer."""

    name: str
    times: int
    found: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationUse:
    """Connections to one destination, summed. issuer_changed: the certificate's issuer is not the one seen first."""

    host: str
    port: int
    local: bool
    connections: int
    bytes_out: int
    bytes_in: int
    last_us: int
    issuer: str = ""
    tls: str = ""
    issuer_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One host that was connected to today, from the keeper's counts."""

    host: str
    connections: int
    bytes_out: int
    bytes_in: int
    last_us: int
    local: bool = False
