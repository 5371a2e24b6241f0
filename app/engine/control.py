"""The control API: every path of `control.contract`, answered.

Only the person's own programs get here (unix socket in a private folder and the peer's user id; on Windows a token). A command changes
the store and writes its audit entry in one transaction, tells the bus, and answers; windows draw what the next snapshot says.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote

import msgspec

from app.control import contract
from app.core.errors import AppError
from app.core.events import (
    ClientAdded,
    ClientBlocked,
    ClientContentChanged,
    ClientIdentifiersChanged,
    ClientRemoved,
    ClientUnblocked,
    QuitAsked,
    Who,
)
from app.core.ids import own_id
from app.core.names import check_client_name
from app.core.records import Client, Identifiers
from app.core.secret import Secret
from app.core.stuck import CONTROL
from app.core.unreadable import UNREADABLE
from app.engine import audit_export, audit_routes, figures, privacy
from app.engine.accounts import kinds
from app.engine.bus import Bus
from app.engine.clients import PREFIX, fresh_key
from app.engine.lifeline import Lifeline
from app.engine.network import Network
from app.engine.numbers import number
from app.engine.status import Status
from app.engine.vault import Vault
from app.engine.web import Incoming, Reply, Stream
from app.engine.working import Work
from app.store import clients, rollups

_log: Final = logging.getLogger(__name__)

BODY_LIMIT: Final = 1_048_576
MOST_ROWS: Final = 1_000
_PERSON_S: Final = 150.0  # the keeper gives a person 120 s at the system's question
_NOBODY: Final = Who(actor="person")
# What is answered while the vault has not been heard yet: how it goes, what is known without it, and the end.
_AT_ONCE: Final = frozenset({"snapshot", "events", "proof", "kinds", "quit"})

T = TypeVar("T")
_encode: Final = msgspec.json.Encoder().encode


def problem(error: AppError) -> bytes:
    return _encode(contract.Problem(code=error.code, message=error.message, hint=error.hint))


class Control:
    """`echo(text)` sends the built-in model a real request; `proof(nonce)` is what our own listener answers."""

    def __init__(
        self,
        status: Status,
        bus: Bus,
        lifeline: Lifeline,
        echo: Callable[[], Awaitable[contract.EchoResult]],
        proof: Callable[[str], str],
        network: Network,
        ask: privacy.Ask,
        vault: Vault,
    ) -> None:
        """ask: our own server, see `own_answer`."""
        self._ask: Final = ask
        self._vault: Final = vault
        self._network: Final = network
        self._status: Final = status
        self._bus: Final = bus
        self._lifeline: Final = lifeline
        self._echo: Final = echo
        self._proof: Final = proof

    async def handle(self, request: Incoming) -> Reply | Stream:
        """One control request. On Windows every request carries the token; elsewhere the connection was already checked."""
        return await Work(CONTROL, f"{request.method} {request.path}").steps(self._answer(request))

    async def _answer(self, request: Incoming) -> Reply | Stream:
        token = self._status.boot.control_token
        if token and not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {token}"):
            raise self._turned_away(AppError("peer_not_allowed", "The control channel needs its token."))
        if "origin" in request.headers or len(request.all("host")) != 1:
            raise self._turned_away(AppError("origin_not_allowed", "The control channel is not for web pages."))
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        if parts[:1] != ["v0"]:
            raise AppError("not_found", "There is nothing at this control address.")
        arguments = {name: values[-1] for name, values in parse_qs(request.query).items()}
        who = audit_routes.who_of(request) if request.method != "GET" else _NOBODY
        if parts[1:2] and (parts[1] not in _AT_ONCE or "settled" in arguments):
            await self._status.first_answer()
        match request.method, parts[1:]:
            case "GET", ["snapshot"]:
                return _reply(await self._status.snapshot(self._bus.seq))
            case "GET", ["events"]:
                return await self._events(request)
            case "GET", ["proof"]:
                return _reply(contract.Proof(self._proof(arguments.get("nonce", ""))))
            case "GET", ["kinds"]:
                return _reply(list(kinds()))
            case "POST", ["providers"]:
                new = await _read(request, contract.NewProvider)
                key = Secret(new.key) if new.key is not None else None
                opened = self._status.need()
                await opened.accounts.add(new.name, new.kind, new.base_url, key, local=new.local, actor=who)
                return _reply(await self._provider(new.name))
            case "POST", ["providers", name, "test"]:
                await self._status.need().accounts.test(name, who)
                return _reply(await self._provider(name))
            case "PUT", ["providers", name, "key"]:
                body = await _read(request, contract.NewKey)
                await self._status.need().accounts.replace_key(name, Secret(body.key), actor=who)
                return _reply(await self._provider(name))
            case "DELETE", ["providers", name]:
                accounts = self._status.need().accounts
                keyed = accounts.get(name).account.keyed
                await accounts.remove(name, actor=who)
                return _reply(contract.Done(message=f"{name} is removed{', and its key with it' if keyed else ''}."))
            case "POST", ["clients"]:
                return _reply(await self._add_client((await _read(request, contract.NewClient)).name, who))
            case "POST", ["clients", name, "block" | "unblock" as verb]:
                return _reply(await self._block_client(name, blocked=verb == "block", who=who))
            case "POST", ["clients", name, "identifiers"]:
                chosen = (await _read(request, contract.ClientIdentifiers)).identifiers
                return _reply(await self._choose_identifiers(name, chosen, who))
            case "POST", ["clients", name, "content"]:
                return _reply(await self._keep_content(name, keeps=(await _read(request, contract.KeepContent)).keeps, who=who))
            case "DELETE", ["clients", name]:
                return _reply(await self._remove_client(name, who))
            case "GET", ["export"]:
                return await figures.export(self._status, request, parse_qs(request.query), audit_routes.who_of(request))
            case _, ["activity" | "usage" | "prices" | "reprice" | "retention", *_]:
                done = await figures.answer(
                    self._status, request.method, parts[1:], parse_qs(request.query), lambda shape: _read(request, shape), lambda: who
                )
                if done is not None:
                    return _reply(done)
            case "GET", ["privacy"]:
                vault, auditor = self._status.vault, self._status.need().auditor
                log = await auditor.status(vault.place, vault.mode)
                return _reply(await privacy.promises(self._status, log, self._network.view, self._ask))
            case "POST", ["audit", "export"]:
                opened = self._status.need()
                return await audit_export.answer(opened.auditor, opened.threads.store, request, who)
            case _, ["audit", *_]:
                done = await audit_routes.answer(
                    self._status, request.method, parts[1:], arguments, lambda shape: _read(request, shape), lambda: who
                )
                if done is not None:
                    return _reply(done)
            case "GET", ["network"]:
                return _reply(await self._network.view(_number(arguments, "from", 0)))
            case "GET", ["network", "records"]:
                return _reply(await self._network.records(_count(arguments)))
            case "GET", ["network", "records", wanted]:
                return _reply(await self._network.record(number(wanted, "number")))
            case "POST", ["network", "selftest"]:
                return await self._leaks(request, who)
            case "POST", ["network", "report"]:
                return _reply(await self._network.report(who))
            case "POST", ["echo"]:
                return _reply(await self._echo())
            case "POST", ["vault", "unlock"]:
                unlock = await _read(request, contract.Unlock)
                return _reply(await self._unlock(unlock.passphrase, who))
            case "PUT", ["vault", "policy"]:
                return _reply(await self._vault.choose(await _read(request, contract.VaultPolicy), who))
            case "POST", ["quit"]:
                if self._status.opened is not None:
                    self._status.opened.recorder.note(QuitAsked(), who)
                self._lifeline.tell("quit", {"reason": "asked on the control channel"})
                return _reply(contract.Done(message="Gatehouse is stopping."))
        raise AppError("not_found", "There is nothing at this control address.")

    def _turned_away(self, error: AppError) -> AppError:
        if self._status.opened is not None:
            self._status.opened.recorder.turned_away("control", error.code)
        return error

    async def _unlock(self, passphrase: str | None, who: Who) -> contract.VaultView:
        """A wrong passphrase is counted, and written down when the log can be. Ends when what was opened can be used."""
        if self._status.vault.state != "ready":
            self._status.unlocker = who
        try:
            answer, _ = await self._lifeline.ask("unlock", {"passphrase": passphrase}, timeout_s=_PERSON_S)
        except AppError as error:
            if error.code == "vault_passphrase":
                now = self._status.now_us()
                count, first_us, _ = self._status.wrong_passphrases or (0, now, now)
                self._status.wrong_passphrases = (count + 1, first_us, now)
            raise
        if answer["state"] != "ready" and self._status.unlocker is who:
            self._status.unlocker = None  # if it opens later, this was not why
        await self._status.first_answer()
        return msgspec.convert(answer, contract.VaultView, strict=False)

    async def _leaks(self, request: Incoming, who: Who) -> Stream:
        """One line for each attempt, as it happens."""
        stream = await request.stream(200, (), "application/x-ndjson")
        attempts = self._network.try_to_leak(who)
        try:
            async for attempt in attempts:
                await stream.write(_encode(attempt) + b"\n")
        finally:
            await attempts.aclose()  # type: ignore[attr-defined] # an async generator
        await stream.end(b"")
        return stream

    async def _events(self, request: Incoming) -> Stream:
        stream = await request.stream(200, (), "application/x-ndjson")
        lines = self._bus.lines()
        try:
            async for line in lines:
                await stream.write(_encode(line) + b"\n")
        finally:
            await lines.aclose()  # type: ignore[attr-defined] # an async generator
        return stream

    async def _provider(self, name: str) -> contract.ProviderView:
        opened = self._status.need()
        now = self._status.now_us()

        def counts() -> dict[str, int]:
            with opened.threads.store.read() as connection:
                return rollups.today_by_account(connection, now)

        return opened.accounts.view(name, self._status.vault, await opened.threads.read(counts))

    async def _add_client(self, name: str, who: Who) -> contract.ClientKey:
        opened = self._status.need()
        check_client_name(name)
        if any(client.name == name for client in opened.clients.all()):
            raise AppError("name_taken", f"There is already a client named {name}.", "Choose another name.")
        key = fresh_key()
        digest = opened.clients.digest(key)
        now_us = self._status.now_us()
        client = Client(name=name, prefix=PREFIX, last4=key[-4:], created_us=now_us, id=own_id("cli", now_us))
        event = ClientAdded(name=name, key_hint=f"{PREFIX}…{key[-4:]}")

        def write() -> None:
            with opened.threads.store.change(event, who, client.created_us) as connection:
                clients.add(connection, client, digest)

        await opened.threads.write(write)
        opened.clients.put(client, digest)
        self._bus.changed()
        return contract.ClientKey(client=client, key=key)

    async def _block_client(self, name: str, *, blocked: bool, who: Who) -> Client:
        opened = self._status.need()
        client = opened.clients.get(name)
        if client.blocked != blocked:
            event = ClientBlocked(name=name) if blocked else ClientUnblocked(name=name)
            now = self._status.now_us()

            def write() -> None:
                with opened.threads.store.change(event, who, now) as connection:
                    clients.set_blocked(connection, name, blocked)

            await opened.threads.write(write)
            client = replace(client, blocked=blocked)
            opened.clients.put(client, opened.clients.digest_of(name))
            self._bus.changed()
        return client

    async def _keep_content(self, name: str, *, keeps: bool, who: Who) -> Client:
        opened = self._status.need()
        client = opened.clients.get(name)
        if client.keeps_content != keeps:
            await opened.marks.want("client.content", "on" if keeps else "off", client)
            event = ClientContentChanged(name=name, before=client.keeps_content, after=keeps)
            now = self._status.now_us()

            def write() -> None:
                with opened.threads.store.change(event, who, now) as connection:
                    clients.set_keeps_content(connection, name, keeps)

            await opened.threads.write(write)
            client = replace(client, keeps_content=keeps)
            opened.clients.put(client, opened.clients.digest_of(name))
            self._bus.changed()
        return client

    async def _choose_identifiers(self, name: str, chosen: Identifiers, who: Who) -> Client:
        opened = self._status.need()
        client = opened.clients.get(name)
        if client.identifiers != chosen:
            await opened.marks.want("client.identifiers", chosen, client)
            event = ClientIdentifiersChanged(name=name, before=client.identifiers, after=chosen)
            now = self._status.now_us()

            def write() -> None:
                with opened.threads.store.change(event, who, now) as connection:
                    clients.set_identifiers(connection, name, chosen)

            await opened.threads.write(write)
            client = replace(client, identifiers=chosen)
            opened.clients.put(client, opened.clients.digest_of(name))
            self._bus.changed()
        return client

    async def _remove_client(self, name: str, who: Who) -> contract.Done:
        opened = self._status.need()
        opened.clients.get(name)
        now = self._status.now_us()

        def write() -> None:
            with opened.threads.store.change(ClientRemoved(name=name), who, now) as connection:
                clients.remove(connection, name)

        await opened.threads.write(write)
        opened.clients.remove(name)
        self._bus.changed()
        return contract.Done(message=f"{name} is removed; its key no longer works.")


async def _read(request: Incoming, shape: type[T]) -> T:
    body = await request.body(BODY_LIMIT, 10.0, 100)
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE:
        raise AppError("body_invalid", "The command is not understood.") from None


def _reply(value: Any) -> Reply:
    return Reply(200, _encode(value))


def _count(arguments: dict[str, str]) -> int:
    return min(MOST_ROWS, max(1, _number(arguments, "limit", 100)))


def _number(arguments: dict[str, str], name: str, default: int) -> int:
    text = arguments.get(name, "")
    return number(text, name) if text else default
