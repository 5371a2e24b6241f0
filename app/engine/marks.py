"""Marked settings: what only a person may change (`core.wishes`). The keeper knows what was wished for; the database is only where we
keep it, and whoever was in this process before could write there.

So the keeper is asked before each such change, and at each start it is told every value that is found. One that nobody wished for is put
aside (in the table of settings, under `held/WHAT/SUBJECT`), what was wished for last or the default counts, and a person is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from app.core import wishes
from app.core.errors import AppError
from app.core.events import Event, SettingChanged, SettingHeld
from app.core.records import Client, Destination, Identifiers
from app.engine.lifeline import Lifeline
from app.engine.recorder import StoreThreads
from app.store import clients as table
from app.store import settings

Connection = Any  # the store's; SQL is its alone
_HELD: Final = "held/"
_KEEPING: Final = frozenset({"audit.keep_days", "ledger.keep_days", "ledger.keep_bytes"})  # 0: without end


@dataclass(frozen=True, slots=True)
class _Found:
    """held: what was put aside earlier, None for nothing."""

    what: str
    subject: str
    since: int
    value: str
    held: str | None

    def row(self) -> list[object]:
        return [self.what, self.subject, self.since, self.value, self.held]


class Marks:
    """Used on the loop only."""

    def __init__(self, lifeline: Lifeline, now_us: Callable[[], int]) -> None:
        self._lifeline: Final = lifeline
        self._now_us: Final = now_us
        self._undecided: frozenset[str] = frozenset()

    def undecided(self) -> frozenset[str]:
        """Of the settings that say how long something is kept: those for which nobody's wish is known, while a person is asked whether a
        longer time counts. What would go by the default stays meanwhile: it could not be brought back."""
        return self._undecided

    async def want(self, what: str, value: str | int, client: Client | None = None) -> None:
        """A person wants that: now it may be done. AppError confirmation_needed, and nothing is to be done then."""
        about: dict[str, object] = {} if client is None else {"subject": client.name, "since": client.created_us}
        await self._lifeline.ask("change", {"what": what, "value": str(value)} | about)

    async def may_declare(self, account: str, destination: Destination) -> None:
        """A person wants that account to go there. AppError confirmation_needed."""
        await self._lifeline.ask("may_declare", {"account": account, "place": wishes.place(destination)})

    async def settle(self, found: dict[str, str], known: Iterable[Client], threads: StoreThreads) -> dict[str, Client]:
        """Let count what was wished for. found: the table of settings. The clients that are different now, by name."""
        clients = {client.name: client for client in known}
        rows = list(_all(found, clients.values()))
        answer, _ = await self._lifeline.ask("settings", {"found": [row.row() for row in rows]})
        wished = answer.get("wished") or [True] * len(rows)
        self._undecided = frozenset(
            row.what
            for row, (used, held), known in zip(rows, answer["used"], wished, strict=True)
            if row.what in _KEEPING and not known and held is not None and _longer(str(held), str(used))
        )
        changes = [
            (row, str(used), None if held is None else str(held))
            for row, (used, held) in zip(rows, answer["used"], strict=True)
            if (used, held) != (row.value, row.held)
        ]
        if not changes:
            return {}

        def write() -> None:
            events = [event for change in changes for event in _events(*change)]
            with threads.store.change(events, "keeper", self._now_us()) as connection:
                for change in changes:
                    _put(connection, *change)

        await threads.write(write)
        for row, used, _ in changes:
            if row.subject:
                clients[row.subject] = _with(clients[row.subject], row.what, used)
        return {row.subject: clients[row.subject] for row, _, _ in changes if row.subject}


def _longer(value: str, than: str) -> bool:
    return int(than) > 0 and (int(value) == 0 or int(value) > int(than))


def _all(found: dict[str, str], clients: Iterable[Client]) -> Iterable[_Found]:
    rows = list(clients)
    for what, mark in wishes.WISHES.items():
        if mark.default is None:
            continue
        if mark.about == "nothing":
            yield _Found(what, "", 0, found.get(what, mark.default), found.get(_aside(what, "")))
        else:
            for client in rows:
                yield _Found(what, client.name, client.created_us, _of(client, what), found.get(_aside(what, client.name)))


def _aside(what: str, subject: str) -> str:
    return f"{_HELD}{what}/{subject}"


def _of(client: Client, what: str) -> str:
    return client.identifiers if what == "client.identifiers" else ("on" if client.keeps_content else "off")


def _with(client: Client, what: str, value: str) -> Client:
    if what == "client.content":
        return replace(client, keeps_content=value == "on")
    choices: dict[str, Identifiers] = {"pseudonym": "pseudonym", "remove": "remove", "pass": "pass"}
    return replace(client, identifiers=choices[value])


def _events(row: _Found, used: str, held: str | None) -> Iterable[Event]:
    if row.value != used:
        name = f"{row.what} of {row.subject}" if row.subject else row.what
        if used == row.held:
            yield SettingChanged(name=name, before=row.value, after=used)
        else:
            yield SettingHeld(name=name, found=_shown(row, row.value), used=used)
    else:  # only what was put aside is another
        shown = (_shown(row, value) if value is not None else "" for value in (row.held, held))
        yield SettingChanged(name=_aside(row.what, row.subject), before=next(shown), after=next(shown))


def _shown(row: _Found, value: str) -> str:
    try:
        return wishes.wish(row.what, row.subject, value).value
    except AppError:
        return "a value that it cannot have"


def _put(connection: Connection, row: _Found, used: str, held: str | None) -> None:
    if not row.subject:
        settings.put(connection, row.what, used)
    elif row.what == "client.identifiers":
        table.set_identifiers(connection, row.subject, _with(_NOBODY, row.what, used).identifiers)
    else:
        # Kept answers stay while a person is asked whether they may be kept.
        table.set_keeps_content(connection, row.subject, used == "on", forget=held is None)
    if held is None:
        settings.remove(connection, _aside(row.what, row.subject))
    else:
        settings.put(connection, _aside(row.what, row.subject), held)


_NOBODY: Final = Client(name="", prefix="", last4="", created_us=0)
