"""Asks the engine: the one client of the control API, used by the window, the command line and the tests.

Synchronous and thread-safe. httpx2 costs about 100 ms to import, so it is imported by the first question, which a window asks from a
worker thread; importing this module is cheap.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote

import msgspec

from app.control.contract import (
    ActivityNames,
    ActivityPage,
    ActivityRow,
    AuditAccept,
    AuditDetail,
    AuditExport,
    AuditExportEnd,
    AuditPage,
    AuditPolicy,
    AuditPrunable,
    AuditPrune,
    AuditStatus,
    AuditVerdict,
    Client,
    ClientIdentifiers,
    ClientKey,
    Done,
    EchoResult,
    EgressRecord,
    EventLine,
    KeepContent,
    Kind,
    LeakAttempt,
    NetworkReport,
    NetworkView,
    NewClient,
    NewKey,
    NewProvider,
    OwnPrice,
    PriceName,
    Problem,
    Promise,
    Proof,
    ProviderView,
    Reprice,
    Repriced,
    RetentionPolicy,
    RetentionView,
    RowFilter,
    Snapshot,
    Trimmed,
    Unlock,
    UsageRow,
    VaultPolicy,
    VaultView,
)
from app.core import frames
from app.core.errors import CODES, AppError
from app.core.exports import KINDS
from app.core.records import Identifiers, MinuteBar
from app.core.unreadable import UNREADABLE

if TYPE_CHECKING:
    import httpx2

    from app.control.granter import Granter
    from app.core.secret import Secret

# The engine writes a line at least every 5 s (contract.py), so three missed ones mean that it is dead or stuck.
SILENCE_S: Final = 15.0
# A provider's test waits for the provider, an unlock for a person at a prompt, a verification reads the whole chain.
_TEST_S: Final = 90.0
_PERSON_S: Final = 300.0
# Ten million rows, a few thousand at a time so that requests go on.
_LONG_S: Final = 3_600.0

_IN_KEYS: Final = frozenset("0123456789abcdef ")

T = TypeVar("T")


class ControlClient:
    """One method for each path of `contract.py`.

    `control` is the unix socket, or, where the system has none, the `.json` file with `host`, `port` and `token` that the engine wrote.
    Every method raises AppError: `engine_absent` when nothing answers, otherwise the code of the engine's `Problem`.
    """

    def __init__(self, control: Path, *, timeout_s: float = 15.0, via: str = "", granter: Granter | None = None) -> None:
        """`via`: what the audit log will say the person used: "window", "command line". `granter`: tells the keeper what the person wants
        before the engine is asked (`control.grants` says for what); None: nobody does, and the person confirms it elsewhere."""
        self._granter = granter
        self._control = control
        self._via = via
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._http: httpx2.Client | None = None
        self._following = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection, also an `events()` that waits in another thread (its iterator then simply ends)."""
        with self._lock:
            self._closed = True
            if self._http is not None:
                self._http.close()
                self._http = None

    # -- what there is

    def snapshot(self, *, settled: bool = False) -> Snapshot:
        """settled: while the gateway starts, wait for the vault's first answer, at most ten seconds."""
        return self._ask("GET", "/v0/snapshot?settled=1" if settled else "/v0/snapshot", Snapshot)

    def proof(self, nonce: str) -> Proof:
        """What our own listener must answer to `nonce` (32 to 64 hexadecimal digits)."""
        return self._ask("GET", f"/v0/proof?nonce={quote(nonce, safe='')}", Proof)

    def kinds(self) -> list[Kind]:
        return self._ask("GET", "/v0/kinds", list[Kind])

    # -- providers

    def add_provider(self, provider: NewProvider) -> ProviderView:
        with self._wanting("destination", provider.name, kind=provider.kind, base_url=provider.base_url, local=provider.local):
            return self._ask("POST", "/v0/providers", ProviderView, provider)

    def test_provider(self, name: str) -> ProviderView:
        """The account after its test. A failed test is a result (`account.test_ok`), not an error, and takes as long as it takes."""
        return self._ask("POST", f"/v0/providers/{_segment(name)}/test", ProviderView, timeout_s=_TEST_S)

    def set_provider_key(self, name: str, key: Secret) -> ProviderView:
        return self._ask("PUT", f"/v0/providers/{_segment(name)}/key", ProviderView, NewKey(key=key.reveal()))

    def remove_provider(self, name: str) -> Done:
        done = self._ask("DELETE", f"/v0/providers/{_segment(name)}", Done)
        if self._granter is not None:
            self._granter.let_go(name)
        return done

    # -- clients

    def add_client(self, name: str) -> ClientKey:
        """The new client and its key, which is never shown again."""
        return self._ask("POST", "/v0/clients", ClientKey, NewClient(name=name))

    def block_client(self, name: str) -> Client:
        return self._ask("POST", f"/v0/clients/{_segment(name)}/block", Client)

    def unblock_client(self, name: str) -> Client:
        return self._ask("POST", f"/v0/clients/{_segment(name)}/unblock", Client)

    def keep_content(self, name: str, *, keeps: bool) -> Client:
        """Allow, or no longer allow, that answers of the Responses API are kept for this client."""
        with self._wanting("client.content", name, "on" if keeps else "off"):
            return self._ask("POST", f"/v0/clients/{_segment(name)}/content", Client, KeepContent(keeps=keeps))

    def choose_identifiers(self, name: str, identifiers: Identifiers) -> Client:
        """What becomes of identifiers in this client's requests: replaced by a pseudonym, removed, or passed."""
        with self._wanting("client.identifiers", name, identifiers):
            return self._ask("POST", f"/v0/clients/{_segment(name)}/identifiers", Client, ClientIdentifiers(identifiers=identifiers))

    def remove_client(self, name: str) -> Done:
        return self._ask("DELETE", f"/v0/clients/{_segment(name)}", Done)

    # -- what happened

    def activity(
        self, *, limit: int = 50, before: str | None = None, after: str | None = None, only: RowFilter | None = None
    ) -> ActivityPage:
        """Exchanges, newest first; `before`: the page's `next`. after: the oldest ones after that row instead, newest first too."""
        path = f"/v0/activity?limit={limit}" + _arguments(before=before, after=after) + _filter(only)
        return self._ask("GET", path, ActivityPage)

    def activity_names(self) -> ActivityNames:
        return self._ask("GET", "/v0/activity/names", ActivityNames)

    def activity_minutes(self, since_us: int, until_us: int, only: RowFilter | None = None) -> list[MinuteBar]:
        """How many requests were opened in each minute; those without any are not there. only: its names and statuses count."""
        named = RowFilter() if only is None else msgspec.structs.replace(only, since_us=None, until_us=None, text="", id="")
        path = f"/v0/activity/minutes?since_us={since_us}&until_us={until_us}" + _filter(named)
        return self._ask("GET", path, list[MinuteBar])

    def activity_row(self, identifier: str) -> ActivityRow:
        """One row, with its place in the audit log. AppError unknown_name while it is not recorded."""
        return self._ask("GET", f"/v0/activity/{_segment(identifier)}", ActivityRow)

    def usage(
        self, by: Sequence[str], *, since_us: int | None = None, until_us: int | None = None, only: RowFilter | None = None
    ) -> list[UsageRow]:
        """by: any of client, model, provider, and one of hour, day, month, in the order wanted. only: its names count, nothing else."""
        path = f"/v0/usage?by={quote(','.join(by), safe=',')}" + _arguments(since_us=since_us, until_us=until_us)
        named = RowFilter() if only is None else RowFilter(clients=only.clients, providers=only.providers, models=only.models)
        return self._ask("GET", path + _filter(named), list[UsageRow])

    def export(self, form: str, only: RowFilter | None = None) -> Iterator[bytes]:
        """The rows as a file, in pieces as they are read; each row's line begins with its id. Ends early only with an AppError.

        Closing the iterator cancels it.
        """
        path = f"/v0/export?form={quote(form, safe='')}" + _filter(only)
        with self._asking() as http, http.stream("GET", path, timeout=60.0) as response:
            if response.status_code != 200:
                raise _problem(response.status_code, response.read())
            yield from response.iter_raw()

    # -- prices and retention

    def prices(self) -> list[OwnPrice]:
        return self._ask("GET", "/v0/prices", list[OwnPrice])

    def set_price(self, price: OwnPrice) -> OwnPrice:
        """Counts from now on; `reprice` works out what was recorded before."""
        return self._ask("PUT", "/v0/prices", OwnPrice, price)

    def remove_price(self, account: str, model: str) -> Done:
        return self._ask("POST", "/v0/prices/remove", Done, PriceName(account=account, model=model))

    def reprice(self, since_us: int, until_us: int, *, everything: bool = False) -> Repriced:
        """Takes about a second for thirty thousand rows."""
        wanted = Reprice(since_us=since_us, until_us=until_us, all=everything)
        return self._ask("POST", "/v0/reprice", Repriced, wanted, timeout_s=_LONG_S)

    def retention(self) -> RetentionView:
        return self._ask("GET", "/v0/retention", RetentionView)

    def set_retention(self, policy: RetentionPolicy) -> RetentionView:
        with self._wanting_each({"ledger.keep_days": policy.keep_days, "ledger.keep_bytes": policy.keep_bytes}):
            return self._ask("PUT", "/v0/retention", RetentionView, policy)

    def run_retention(self) -> Trimmed:
        return self._ask("POST", "/v0/retention/run", Trimmed, timeout_s=_LONG_S)

    def audit(
        self,
        *,
        limit: int = 50,
        before: int | None = None,
        group: str = "",
        actor: str = "",
        text: str = "",
        titled: Sequence[str] = (),
        fold: bool = False,
    ) -> AuditPage:
        """Audit entries that fit, newest first; `before`: the page's `next`, which may come with an empty page. fold: batches that follow
        each other as runs; there is no `text` then."""
        path = f"/v0/audit?limit={limit}" + ("" if before is None else f"&before={before}")
        chosen = (("group", group), ("actor", actor), ("text", text), ("titled", ",".join(titled)), ("fold", "1" if fold else ""))
        for name, value in chosen:
            path += f"&{name}={quote(value, safe='', errors='replace')}" if value else ""
        return self._ask("GET", path, AuditPage)

    def audit_entry(self, seq: int) -> AuditDetail:
        return self._ask("GET", f"/v0/audit/{seq}", AuditDetail)

    def audit_status(self) -> AuditStatus:
        return self._ask("GET", "/v0/audit/status", AuditStatus)

    def verify_audit(self) -> AuditVerdict:
        return self._ask("POST", "/v0/audit/verify", AuditVerdict, timeout_s=_PERSON_S)

    def export_audit(self, take: Callable[[int, bytes], object]) -> AuditExport:
        """The whole log: `take` gets the number of a file (`core.exports`) and what comes next in it, a few hundred kilobytes at a time.

        Whatever `take` raises cancels it. Ends early only with an AppError.
        """
        headers = {"x-gatehouse-via": self._via} if self._via else {}
        parser = frames.Parser(KINDS["audit"].count, frames.LAST_WORD_MAX)
        with self._asking() as http, http.stream("POST", "/v0/audit/export", headers=headers, timeout=_PERSON_S) as response:
            if response.status_code != 200:
                raise _problem(response.status_code, response.read())
            for chunk in response.iter_raw():
                for number, piece in _parsed(parser, chunk):
                    take(number, piece)
        if parser.ended is None:
            raise AppError("engine_absent", "The gateway ended the export half-way.", "Try again.")
        end = _decode(parser.ended, AuditExportEnd)
        if end.made is None:
            raise _problem(503, b"" if end.problem is None else _encode(end.problem))
        _refuse_words(end.made.fingerprint)
        return end.made

    def audit_prunable(self, keep_days: int) -> AuditPrunable:
        return self._ask("GET", f"/v0/audit/prune?keep_days={keep_days}", AuditPrunable, timeout_s=_TEST_S)

    def prune_audit(self, upto: int) -> Done:
        with self._wanting("audit.prune", value=upto):
            return self._ask("POST", "/v0/audit/prune", Done, AuditPrune(upto=upto), timeout_s=_PERSON_S)

    def set_audit_policy(self, policy: AuditPolicy) -> AuditStatus:
        with self._wanting_each({"audit.keep_days": policy.keep_days, "audit.on_failure": policy.on_failure}):
            return self._ask("PUT", "/v0/audit/policy", AuditStatus, policy)

    def accept_audit(self, finding: str) -> Done:
        """Go on from a log with a finding of that kind, under a new key: a person confirmed it."""
        with self._wanting("audit.accept", value=finding):
            return self._ask("POST", "/v0/audit/accept", Done, AuditAccept(finding=finding), timeout_s=_TEST_S)

    def privacy(self) -> list[Promise]:
        return self._ask("GET", "/v0/privacy", list[Promise])

    # -- the network

    def network(self, from_us: int = 0) -> NetworkView:
        """What leaves this machine, and what was refused; summed up from then on, 0: since the gateway started."""
        return self._ask("GET", f"/v0/network?from={from_us}" if from_us else "/v0/network", NetworkView)

    def egress_records(self, limit: int = 100) -> list[EgressRecord]:
        """The newest connections first."""
        return self._ask("GET", f"/v0/network/records?limit={limit}", list[EgressRecord])

    def egress_record(self, number: int) -> EgressRecord:
        """The connection with that number. AppError unknown_name."""
        return self._ask("GET", f"/v0/network/records/{number}", EgressRecord)

    def try_to_leak(self) -> Iterator[LeakAttempt]:
        """Each attempt of the self-test as it happens; the last one must get through."""
        for line in self._lines("POST", "/v0/network/selftest", _TEST_S):
            yield _decode(line, LeakAttempt)

    def network_report(self) -> NetworkReport:
        made = self._ask("POST", "/v0/network/report", NetworkReport)
        _refuse_words(made.key)
        return made

    # -- doing

    def echo(self) -> EchoResult:
        """Sends one real request to `gatehouse/echo` through every step."""
        return self._ask("POST", "/v0/echo", EchoResult)

    def unlock(self, passphrase: Secret | None = None) -> VaultView:
        """None: the operating system opens its keyring, which may prompt the person; so call it only when a person asked."""
        words = None if passphrase is None else passphrase.reveal()
        with self._wanting("unlock"):
            return self._ask("POST", "/v0/vault/unlock", VaultView, Unlock(passphrase=words), timeout_s=_PERSON_S)

    def set_vault_policy(self, policy: VaultPolicy) -> VaultView:
        """Whether the keys of providers leave the memory when the keyring locks."""
        with self._wanting("vault.forget_on_lock", value="on" if policy.forget_on_lock else "off"):
            return self._ask("PUT", "/v0/vault/policy", VaultView, policy)

    def quit(self) -> Done:
        return self._ask("POST", "/v0/quit", Done)

    def events(self) -> Iterator[EventLine]:
        """Follows the engine: first a line with the whole snapshot, then one for each change, and an empty one every 5 s.

        Ends when `close()` is called. AppError `engine_absent` when the engine goes away or is silent for 15 s; ask again to reconnect.
        """
        try:
            for line in self._lines("GET", "/v0/events", SILENCE_S):
                yield _decode(line, EventLine)
        except AppError as error:
            if self._closed and error.code == "engine_absent":
                return
            raise
        if not self._closed:
            raise AppError("engine_absent", "The gateway stopped.", "Open the Gatehouse window, or run: gatehouse serve")

    # -- what a person wants

    @contextlib.contextmanager
    def _wanting(self, what: str, subject: str = "", value: str | int = "", **more: str | bool) -> Iterator[None]:
        """The keeper knows that the person wants this, while the engine is asked for it. What the engine did not use is taken back:
        it refused, or it was so already. AppError as the keeper says, when there can be no such change."""
        granter = self._granter
        number = None if granter is None else granter.deposit({"what": what, "subject": subject, "value": str(value), **more})
        try:
            yield
        finally:
            if granter is not None and number is not None:
                granter.take_back(number)

    @contextlib.contextmanager
    def _wanting_each(self, wanted: Mapping[str, str | int | None]) -> Iterator[None]:
        """What is None was not said by the person, and what the engine says that it is now is no wish."""
        with contextlib.ExitStack() as deposited:
            for what, value in wanted.items():
                if value is not None:
                    deposited.enter_context(self._wanting(what, value=value))
            yield

    # -- the wire

    def _lines(self, method: str, path: str, silence_s: float) -> Iterator[bytes]:
        """The lines of a streamed answer, until it ends or `close()` is called."""
        timeout = (self._timeout_s, silence_s, self._timeout_s, self._timeout_s)  # to connect, to read, to write, for a place in the pool
        with self._asking() as http, self._follows(), http.stream(method, path, timeout=timeout) as response:
            if response.status_code != 200:
                raise _problem(response.status_code, response.read())
            rest = b""
            for chunk in response.iter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line

    @contextlib.contextmanager
    def _follows(self) -> Iterator[None]:
        """While somebody follows, a question that fails does not end their connection."""
        with self._lock:
            self._following += 1
        try:
            yield
        finally:
            with self._lock:
                self._following -= 1

    def _ask(
        self, method: str, path: str, shape: type[T], body: msgspec.Struct | OwnPrice | None = None, *, timeout_s: float | None = None
    ) -> T:
        content = b"" if body is None else _encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        if self._via:
            headers["x-gatehouse-via"] = self._via
        timeout = (self._timeout_s, self._timeout_s if timeout_s is None else timeout_s, self._timeout_s, self._timeout_s)
        with self._asking() as http:
            response = http.request(method, path, content=content, headers=headers, timeout=timeout)
        if response.status_code >= 400:
            raise _problem(response.status_code, response.content)
        return _decode(response.content, shape)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[httpx2.Client]:
        """The HTTP client; what it raises while it is used, also because another thread closes it, leaves as an AppError."""
        http = self._client()
        from app.control import connection  # noqa: PLC0415  see the module's docstring

        try:
            yield http
        except connection.FAILURES as error:
            raise self._explain(error) from error
        except RuntimeError as error:
            if not http.is_closed:  # of a closed one httpx2 says so with a RuntimeError and nothing finer
                raise
            raise connection.was_closed() from error

    def _client(self) -> httpx2.Client:
        from app.control import connection  # noqa: PLC0415  see the module's docstring

        with self._lock:
            if self._closed:
                raise connection.was_closed()
            if self._http is None:
                self._http = connection.connect(self._control)
            return self._http

    def _explain(self, error: Exception) -> AppError:
        from app.control import connection  # noqa: PLC0415  see the module's docstring

        if self._control.suffix == ".json":
            with self._lock:  # a gateway that was started again has another port and token: the next question reads them anew
                if self._http is not None and not self._following:
                    self._http.close()
                    self._http = None
        return connection.explain(error)


def _refuse_words(key: str) -> None:
    """What a person will type behind `--key` is digits: an engine that was taken over gets no word into a shell. AppError internal."""
    if not set(key) <= _IN_KEYS:
        raise AppError("internal", "The gateway named a key that is none.", "Do not use what it sent. Look at its log.")


def _parsed(parser: frames.Parser, chunk: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        yield from parser.feed(chunk)
    except ValueError:
        raise AppError("internal", "The gateway sent something that is no export.", "Look at its log.") from None


def _arguments(**given: str | int | None) -> str:
    return "".join(f"&{name}={quote(str(value), safe='', errors='replace')}" for name, value in given.items() if value is not None)


def _filter(only: RowFilter | None) -> str:
    if only is None:
        return ""
    query = _arguments(since_us=only.since_us, until_us=only.until_us, text=only.text or None, id=only.id or None)
    named = (
        ("client", only.clients),
        ("provider", only.providers),
        ("model", only.models),
        ("status", only.statuses),
        ("outcome", only.outcomes),
    )
    return query + "".join(_arguments(**{name: value}) for name, values in named for value in values)


def _segment(name: str) -> str:
    """`name` as one segment of a path. Dots would be folded into the path before it, so they are refused here."""
    if name in ("", ".", ".."):
        raise AppError("unknown_name", f"There is nothing called {name!r}.")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:  # a lone surrogate, from bytes on the command line that are not text
        raise AppError("unknown_name", "That name is not readable text.") from error


def _encode(body: msgspec.Struct | OwnPrice) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # from the command line, as above; the error itself would show the text, which may be a key
        raise AppError("body_invalid", "Something that was given is not readable text.", "Look for letters that came out wrong.") from None


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE as error:
        raise AppError(
            "internal",
            "The gateway answered in a way this program does not understand.",
            "They may be of different versions: quit Gatehouse and start it again.",
        ) from error


def _problem(status: int, body: bytes) -> AppError:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except UNREADABLE:
        return AppError("internal", f"The gateway answered with status {status} and no explanation.", "Look at its log.", status=status)
    code = problem.code if problem.code in CODES else "internal"
    return AppError(code, problem.message, problem.hint, status=status)
