"""Accounts in memory: where each goes, which models it listed, and its key once it was needed.

A change goes vault first, then store (with its audit entry, in one transaction), then the keeper's list of destinations, then memory; if
the store fails, the vault is put back. A key is fetched from the keeper at first use and kept here, so that a keyring that locks later
stops nothing that already runs, unless the person wants keys to be forgotten then (`forget_keys`).
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal

from app.control.contract import Kind, ProviderTraffic, ProviderView, VaultView
from app.core.errors import AppError
from app.core.events import ProviderAdded, ProviderKeyChanged, ProviderRemoved, ProviderTested, Who
from app.core.ids import own_id
from app.core.names import check_account_name
from app.core.records import Account, Destination, Exchange, OwnPrice, Tokens
from app.core.secret import Secret
from app.egress.upstream import Target, Timeouts, Upstream
from app.engine import echo, tasks
from app.engine.entry import Entry
from app.engine.health import LAST, Health
from app.engine.lifeline import Lifeline
from app.engine.marks import Marks
from app.engine.recorder import Recorder, StoreThreads
from app.providers import catalogue, prices
from app.providers.prices import Cost
from app.providers.provider import Check, Provider, base_url, check
from app.store import accounts as table
from app.store import search
from app.wire.dialect import ModelEntry
from app.wire.dialects import DIALECTS
from app.wire.redact import Redactor

_TEST_REPLY: Final = 8 * 1_048_576
_TEST: Final = Timeouts(connect_s=10.0, first_byte_s=20.0, silence_s=20.0, total_s=40.0)
_KEY_LONGEST: Final = 16_384
# What the keeper says to a declaration that cannot be, or for which it has no room left.
_NOT_DECLARED: Final = frozenset({"destination_held", "name_invalid", "url_invalid"})
_log: Final = logging.getLogger(__name__)


class Accounts:
    """`changed()` is called on the loop after every change. Used on the loop only."""

    def __init__(
        self,
        lifeline: Lifeline,
        marks: Marks,
        upstream: Upstream,
        threads: StoreThreads,
        recorder: Recorder,
        now_us: Callable[[], int],
        changed: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._lifeline: Final = lifeline
        self._marks: Final = marks
        self._upstream: Final = upstream
        self._threads: Final = threads
        self._recorder: Final = recorder
        self._now_us: Final = now_us
        self._changed: Final = changed
        self._tls: Final = tls
        built_in = Account(name=echo.ACCOUNT, kind=echo.ACCOUNT, base_url="", local=True, keyed=False, models=echo.OFFERED, id=echo.ACCOUNT)
        self._entries: Final[dict[str, Entry]] = {echo.ACCOUNT: Entry(built_in, None, None, frozenset(echo.OFFERED))}
        self._offers: Mapping[str, frozenset[str]] = {}
        self._busy: Final[set[str]] = set()
        self._own: dict[str, dict[str, OwnPrice]] = {}
        self.health: Final = Health()
        self.refused_connections = 0
        self._forgotten = 0  # how often
        self._index()

    async def load(self, known: Iterable[Account]) -> None:
        """At start: every stored account, declared to the keeper. One whose kind this version does not know stays out of use."""
        for account in known:
            if account.kind in catalogue.KINDS:
                entry = self._entry(account)
                self._entries[account.name] = entry
                await self._declare(entry)
        self._index()

    async def recall(self) -> None:
        """What the ledger's newest rows say of each provider. AppError store_unavailable."""
        entries = [entry for entry in self._entries.values() if entry.kind is not None]

        def read() -> list[Exchange]:
            rows: list[Exchange] = []
            with self._threads.store.read() as connection:
                for entry in entries:
                    # Not those of an account of the same name that was removed before.
                    wanted = search.Filter(providers=(entry.account.name,), since_us=entry.account.created_us)
                    rows += reversed(search.find(connection, wanted, 2 * LAST).rows)
            return rows

        self.health.note(await self._threads.read(read))
        self._changed()

    def set_prices(self, own: Iterable[OwnPrice]) -> None:
        """All prices of the person's own, from now on."""
        self._own = {}
        for price in own:
            self._own.setdefault(price.account, {})[price.model] = price
        for name, entry in self._entries.items():
            entry.own = self._own.get(name, {})

    def cost(self, name: str, kind: str, model: str, tokens: Tokens, at_us: int) -> Cost | None:
        """What a recorded exchange costs by the prices of now, also of an account that is gone."""
        entry = self._entries.get(name)
        if entry is not None and entry.account.kind == kind:
            return entry.cost(model, tokens, at_us)
        own = self._own.get(name, {})
        price = own.get(model) or own.get("")
        return prices.cost(kind, model, tokens, at_us) if price is None else prices.own_cost(price, tokens)

    def offers(self) -> Mapping[str, frozenset[str]]:
        return self._offers

    def get(self, name: str) -> Entry:
        """AppError unknown_name."""
        entry = self._entries.get(name)
        if entry is None:
            raise AppError("unknown_name", f"There is no provider named {name[:64]!r}.", "See `gatehouse provider list`.")
        return entry

    def places(self) -> list[Destination]:
        """Every declared destination."""
        return [entry.target.destination for entry in self._entries.values() if entry.target is not None]

    def destination(self, name: str) -> Destination | None:
        entry = self._entries.get(name)
        return entry.target.destination if entry is not None and entry.target is not None else None

    def redactors(self) -> list[Redactor]:
        """Of every key in memory. A program may give any of them for the name of a model."""
        return [entry.redactor(entry.secret) for entry in self._entries.values() if entry.secret is not None]

    async def secret(self, entry: Entry) -> Secret | None:
        """The account's key, None where it has none. AppError vault_* or provider_key_missing when it cannot be had."""
        if entry.secret is not None or not entry.account.keyed:
            return entry.secret
        forgotten = self._forgotten
        answer, _ = await self._lifeline.ask("secret_get", {"name": entry.account.name})
        key = Secret(answer["secret"])
        if forgotten == self._forgotten:  # else the keyring was locked meanwhile: this request has the key, and nothing else keeps it
            entry.secret = key
        return key

    def forget_keys(self) -> None:
        """The keyring is locked, and the person wants no key in memory then."""
        self._forgotten += 1
        for entry in self._entries.values():
            entry.forget()

    def usable(self) -> bool:
        """Can any declared account be asked while no key can be read?"""
        return any(entry.kind is not None and (entry.secret is not None or not entry.account.keyed) for entry in self._entries.values())

    async def add(self, name: str, kind: str, address: str, key: Secret | None, *, local: bool, actor: str | Who) -> None:
        """A new account, then its first test in the background.

        AppError name_*, kind_unknown, url_invalid, key_required, confirmation_needed, vault_*, store_*.
        """
        check_account_name(name)
        row = catalogue.kind(kind)
        with self._alone(name):
            if name.lower() in (existing.lower() for existing in self._entries):
                raise AppError("name_taken", f"There is already a provider named {name}.", "Choose another name.", param="name")
            url = base_url(row, address)
            is_local = local or row.local
            _check_address(url, local=is_local)
            if key is not None and not key:
                key = None
            if row.needs_key and key is None:
                raise AppError(
                    "key_required", f"{row.label} needs a key.", f"Make one at {row.key_url}." if row.key_url else "", param="key"
                )
            if key is not None:
                _check_key(key)
            now_us = self._now_us()
            account = Account(
                name=name,
                kind=kind,
                base_url=url,
                local=is_local,
                keyed=key is not None,
                key_hint=key.masked() if key is not None else "",
                created_us=now_us,
                id=own_id("acc", now_us),
            )
            entry = self._entry(account)
            entry.secret = key
            assert entry.target is not None
            await self._marks.may_declare(name, entry.target.destination)
            if key is not None:
                await self._lifeline.ask("secret_put", {"name": name, "secret": key.reveal()})
            added = ProviderAdded(name=name, kind=kind, destination=str(entry.target.destination), local=is_local, keyed=account.keyed)
            try:
                await self._store(added, actor, account)
                await self._declare(entry)
            except AppError:
                if key is not None:
                    await self._lifeline.ask("secret_remove", {"name": name})
                raise
            self._entries[name] = entry
            self._index()
        self._changed()
        tasks.start(self.test(name), f"first test of {name}")

    async def replace_key(self, name: str, key: Secret, *, actor: str | Who) -> None:
        with self._alone(name):
            entry = self._known(name)
            _check_key(key)
            before = entry.account
            old = await self.secret(entry) if before.keyed else None
            account = replace(before, keyed=True, key_hint=key.masked(), tested_us=None, test_ok=None, test_message="", test_ms=None)
            await self._lifeline.ask("secret_put", {"name": name, "secret": key.reveal()})
            try:
                await self._store(ProviderKeyChanged(name=name, before=before.key_hint, after=account.key_hint), actor, account)
            except AppError:
                if old is not None:
                    await self._lifeline.ask("secret_put", {"name": name, "secret": old.reveal()})
                else:
                    await self._lifeline.ask("secret_remove", {"name": name})
                raise
            entry.account, entry.secret = account, key
        self._changed()
        tasks.start(self.test(name), f"test of {name}")

    async def remove(self, name: str, *, actor: str | Who) -> None:
        """The account, its destination and its key. Exchanges under way end as they are."""
        with self._alone(name):
            entry = self._known(name)
            assert entry.target is not None
            if entry.account.keyed:
                await self._vault_answers(name)
            event = ProviderRemoved(name=name, kind=entry.account.kind, destination=str(entry.target.destination))

            def write() -> None:
                with self._threads.store.change(event, actor, self._now_us()) as connection:
                    table.remove(connection, name)

            await self._threads.write(write)
            del self._entries[name]
            self.health.forget(name)
            self._index()
            await self._lifeline.ask("withdraw", {"account": name})
            self._upstream.forget(name)
            self._changed()
            if entry.account.keyed:
                await self._lifeline.ask("secret_remove", {"name": name})

    async def _vault_answers(self, name: str) -> None:
        """AppError vault_*. Asked before an account goes, or its key would stay behind in a keyring that is locked."""
        try:
            await self._lifeline.ask("secret_get", {"name": name})
        except AppError as error:
            if error.code.startswith("vault_"):
                raise

    async def test(self, name: str, actor: str | Who = "gateway") -> None:
        """Ask the provider for its models and keep what came of it with the account. A failure is a result, not an error.

        AppError vault_* when the key cannot be read: then nothing was asked, and nothing came of it.
        """
        entry = self._known(name)
        began = time.monotonic()
        models, ok = entry.account.models, False
        try:
            models, message = await self._ask_models(entry)
            ok = True
        except AppError as error:
            if error.code.startswith("vault_"):
                raise
            message = entry.redactor(entry.secret).error(error).sentence()
        if self._entries.get(name) is not entry:
            return
        entry.account = replace(
            entry.account,
            models=models,
            tested_us=self._now_us(),
            test_ok=ok,
            test_message=message[:300],
            test_ms=round((time.monotonic() - began) * 1000),
        )
        entry.offers = frozenset(models)
        account = entry.account

        tested = ProviderTested(name=name, ok=ok, result=account.test_message)

        def write() -> None:
            with self._threads.store.change(tested, actor, self._now_us()) as connection:
                table.put(connection, account)

        await self._threads.write(write)
        self._index()
        self._changed()

    def confirmed(self, name: str) -> None:
        """A person confirmed what was held for this account."""
        entry = self._entries.get(name)
        if entry is not None and entry.waits:
            entry.waits = False
            self._changed()
            tasks.start(self.test(name), f"test of {name}")

    def refused(self, entry: Entry, error: AppError) -> None:
        """The keeper would not dial for this account: counted, and an entry of the audit log."""
        self.refused_connections += 1
        assert entry.target is not None
        self._recorder.not_dialled(entry.account.name, str(entry.target.destination), error.message)
        self._changed()

    def views(self, vault: VaultView, today: Mapping[str, int]) -> list[ProviderView]:
        entries = sorted(self._entries.values(), key=lambda entry: entry.account.created_us)
        return [_view(entry, vault, today, self.health.of(entry.account.name)) for entry in entries if entry.kind is not None]

    def view(self, name: str, vault: VaultView, today: Mapping[str, int]) -> ProviderView:
        return _view(self._known(name), vault, today, self.health.of(name))

    def model_entries(self) -> list[ModelEntry]:
        """What GET models lists: `account/model` for everything any account offers, the built-in one first."""
        return [
            ModelEntry(id=f"{name}/{model}", owner=name, created_s=entry.account.created_us // 1_000_000)
            for name, entry in self._entries.items()
            for model in entry.account.models
        ]

    def model_entry(self, asked: str) -> ModelEntry | None:
        name, _, model = asked.partition("/")
        entry = self._entries.get(name)
        if entry is None or model not in entry.offers:
            holders = [(held, other) for held, other in self._entries.items() if asked in other.offers]
            if len(holders) != 1:
                return None
            name, entry = holders[0]
        return ModelEntry(id=asked, owner=name, created_s=entry.account.created_us // 1_000_000)

    async def _ask_models(self, entry: Entry) -> tuple[tuple[str, ...], str]:
        kind = entry.kind
        assert kind is not None
        key = await self.secret(entry)
        models, message = entry.account.models, "It answers."
        asked: Check | None = check(kind, entry.account, key)
        while asked is not None:
            body = await self._fetch(entry, asked)
            if asked.proves:
                message = "The key works."
            if asked.lists:
                redactor = entry.redactor(key)
                models = tuple(name for name in DIALECTS[asked.dialect].read_models(body) if redactor.name(name) == name)
                message = f"Works, {len(models)} model{'' if len(models) == 1 else 's'}."
            asked = asked.then
        return models, message

    async def _fetch(self, entry: Entry, asked: Check) -> bytes:
        """The body of a 2xx answer. AppError in words for the person who pressed Test."""
        kind, target = entry.kind, entry.target
        assert kind is not None
        assert target is not None
        try:
            reply = await self._upstream.send(target, "GET", asked.target, asked.headers, timeouts=_TEST, purpose="test")
        except AppError as error:
            if error.code in ("destination_refused", "destination_held"):
                self.refused(entry, error)
            raise
        try:
            body = await reply.read(_TEST_REPLY)
        finally:
            reply.abort()
        if reply.status in (401, 403):
            raise AppError("provider_error", f"{kind.label} refused the key (status {reply.status}).", "Check the key and store it again.")
        if reply.status == 404:
            raise AppError("provider_error", f"Nothing answers at {asked.target} (status 404).", "Check the base URL.")
        if not 200 <= reply.status < 300:
            raise AppError("provider_error", f"{kind.label} answered with status {reply.status}.", "Try again later.", status=502)
        return body

    async def _declare(self, entry: Entry) -> None:
        assert entry.target is not None
        place = entry.target.destination
        fields: dict[str, object] = {
            "account": entry.account.name,
            "scheme": place.scheme,
            "host": place.host,
            "port": place.port,
            "local": place.local,
        }
        try:
            answer, _ = await self._lifeline.ask("declare", fields)
            entry.waits = answer.get("held") is True
        except AppError as error:
            if error.code not in _NOT_DECLARED:
                raise
            _log.warning("%s is not declared: %s", entry.account.name, error)
            entry.waits = True  # the others are all the same

    async def _store(self, event: ProviderAdded | ProviderKeyChanged, actor: str | Who, account: Account) -> None:
        def write() -> None:
            with self._threads.store.change(event, actor, self._now_us()) as connection:
                table.put(connection, account)

        await self._threads.write(write)

    def _entry(self, account: Account) -> Entry:
        place = Destination.of(account.base_url, local=account.local)
        target = Target(account.name, place, self._tls)
        return Entry(account, catalogue.KINDS[account.kind], target, frozenset(account.models), own=self._own.get(account.name, {}))

    def _known(self, name: str) -> Entry:
        entry = self.get(name)
        if entry.kind is None:
            raise AppError("unknown_name", "The built-in account cannot be changed.")
        return entry

    def _index(self) -> None:
        self._offers = {name: entry.offers for name, entry in self._entries.items()}

    def _alone(self, name: str) -> _Alone:
        """One change of an account at a time: two at once would leave vault and store apart."""
        return _Alone(self._busy, name.lower())


class _Alone:
    def __init__(self, busy: set[str], name: str) -> None:
        self._busy = busy
        self._name = name

    def __enter__(self) -> None:
        if self._name in self._busy:
            raise AppError("name_taken", "This provider is being changed at this moment.", "Try again in a second.")
        self._busy.add(self._name)

    def __exit__(self, *_: object) -> None:
        self._busy.discard(self._name)


def describe(kind: Provider) -> Kind:
    """A catalogue row as the add form needs it."""
    return Kind(
        id=kind.id,
        label=kind.label,
        base_url=kind.base_url,
        dialect=kind.dialect,
        needs_key=kind.needs_key,
        local=kind.local,
        key_url=kind.key_url,
        key_example=kind.key_example,
    )


def kinds() -> Iterator[Kind]:
    return map(describe, catalogue.KINDS.values())


def _view(entry: Entry, vault: VaultView, today: Mapping[str, int], traffic: ProviderTraffic | None) -> ProviderView:
    account, kind = entry.account, entry.kind
    assert kind is not None
    state: Literal["stored", "held", "missing", "none", "unknown"] = "missing" if kind.needs_key else "none"
    if account.keyed:
        state = "stored" if vault.state == "ready" else "held" if entry.secret is not None else "unknown"
    return ProviderView(
        account=account,
        label=kind.label,
        host=entry.host,
        dialect=kind.dialect,
        key_state=state,
        key_place=f"In {vault.place}" if account.keyed and vault.place else "",
        today=today.get(account.name, 0),
        traffic=traffic,
        waits=entry.waits,
    )


def _check_address(url: str, *, local: bool) -> None:
    """AppError url_invalid: plain http is for this machine and its network only, because a key never travels in the clear."""
    try:
        place = Destination.of(url, local=local)
    except ValueError as error:
        raise AppError("url_invalid", str(error), param="base_url") from None
    if place.scheme == "http" and not local:
        hint = "Use https://, or mark the provider as local if it runs on this machine or its network."
        raise AppError("url_invalid", "A key is not sent over plain http.", hint, param="base_url")


def _check_key(key: Secret) -> None:
    text = key.reveal()
    if len(text) > _KEY_LONGEST or any(not 33 <= ord(character) <= 126 for character in text):
        hint = "Copy it again, without blanks or line breaks."
        raise AppError(
            "key_required", "This is not a key: it has blanks, line breaks or characters that keys do not have.", hint, param="key"
        )
