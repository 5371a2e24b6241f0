"""The part of the control API that is about the ledger: finding rows, summing them, prices, retention, and files."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from app.control import contract
from app.core.errors import AppError
from app.core.events import LedgerExported, Who
from app.core.records import MinuteBar, OwnPrice
from app.engine.numbers import number
from app.engine.status import Opened, Status
from app.engine.web import Incoming, Stream
from app.store import ledger, minutes, refusals, rows_out, search, usage
from app.store.search import Filter

Read = Callable[[type[Any]], Awaitable[Any]]
MOST_ROWS: Final = 1_000
_DAY_US: Final = 86_400_000_000
_PRICE: Final = re.compile(r"\d{1,7}(\.\d{1,9})?")
_LONGEST: Final = 256


async def answer(status: Status, method: str, parts: list[str], arguments: dict[str, list[str]], read: Read, who: Callable[[], Who]) -> Any:
    """What is asked at `parts` (after `/v0`); None when nothing is there."""
    opened = status.need()
    match method, parts:
        case "GET", ["activity"]:
            return await _activity(opened, arguments)
        case "GET", ["activity", "names"]:
            return await _names(opened)
        case "GET", ["activity", "minutes"]:
            return await _minutes(opened, arguments)
        case "GET", ["activity", identifier]:
            return await _row(opened, identifier)
        case "GET", ["usage"]:
            return await _usage(opened, arguments)
        case "GET", ["prices"]:
            return await opened.upkeep.prices()
        case "PUT", ["prices"]:
            price = _price(await read(contract.NewPrice), status.now_us())
            await opened.upkeep.set_price(price, who())
            return price
        case "POST", ["prices", "remove"]:
            gone: contract.PriceName = await read(contract.PriceName)
            await opened.upkeep.remove_price(gone.account, gone.model, who())
            return contract.Done(message="The price is removed; what was recorded with it stays.")
        case "POST", ["reprice"]:
            wanted: contract.Reprice = await read(contract.Reprice)
            found = await opened.upkeep.reprice(wanted.since_us, wanted.until_us, who(), unpriced_only=not wanted.all)
            return contract.Repriced(
                looked_at=found.looked_at,
                changed=found.changed,
                before_microusd=found.before_microusd,
                after_microusd=found.after_microusd,
            )
        case "GET", ["retention"]:
            return await _retention(opened)
        case "PUT", ["retention"]:
            chosen: contract.RetentionPolicy = await read(contract.RetentionPolicy)
            await opened.upkeep.choose(chosen.keep_days, chosen.keep_bytes, who(), opened.marks)
            return await _retention(opened)
        case "POST", ["retention", "run"]:
            trimmed = await opened.upkeep.trim(who())
            return contract.Trimmed(rows=trimmed.rows, freed_bytes=trimmed.freed_bytes)
    return None


async def export(status: Status, request: Incoming, arguments: dict[str, list[str]], who: Who) -> Stream:
    """The rows as a file, while they are read. The audit log says that they left, and how many, also when the reader went away."""
    opened = status.need()
    form = next((form for form in rows_out.FORMS if form == _last(arguments, "form", "csv")), None)
    if form is None:
        raise AppError("body_invalid", f"A file is one of {', '.join(rows_out.FORMS)}.", param="form")
    wanted = _filter(arguments)
    after: str | None = None
    rows, finished = 0, False

    def read() -> tuple[bytes, int, str | None]:
        with opened.threads.store.read() as connection:
            return rows_out.part(connection, form, wanted, after)

    first = await opened.threads.read(read)  # what is not understood is said before the answer begins
    stream = await request.stream(200, (), "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson")
    try:
        body, count, after = first
        body = rows_out.head(form) + body
        while True:
            if body:  # an empty piece would end the answer
                await stream.write(body)
            rows += count
            if after is None:
                break
            body, count, after = await opened.threads.read(read)
        finished = True
        await stream.end(b"")
    finally:
        opened.recorder.note(LedgerExported(form=form, rows=rows, finished=finished), who)
    return stream


async def _activity(opened: Opened, arguments: dict[str, list[str]]) -> contract.ActivityPage:
    wanted = _filter(arguments)
    limit = min(MOST_ROWS, max(1, _number(arguments, "limit", 100)))
    before, after = (_last(arguments, name, "") or None for name in ("before", "after"))

    def read() -> contract.ActivityPage:
        with opened.threads.store.read() as connection:
            found = search.find(connection, wanted, limit, before=before, after=after)
            return contract.ActivityPage(rows=tuple(found.rows), next=found.next)

    return await opened.threads.read(read)


async def _minutes(opened: Opened, arguments: dict[str, list[str]]) -> list[MinuteBar]:
    wanted = _filter(arguments)

    def read() -> list[MinuteBar]:
        with opened.threads.store.read() as connection:
            return minutes.per_minute(connection, wanted)

    return await opened.threads.read(read)


async def _row(opened: Opened, identifier: str) -> contract.ActivityRow:
    def read() -> contract.ActivityRow:
        with opened.threads.store.read() as connection:
            row, batch = ledger.one(connection, identifier), ledger.batch_of(connection, identifier)
            if row is None or batch is None:
                raise AppError("unknown_name", "This request is not in the ledger.", "A new one is recorded within a second.", param="id")
            return contract.ActivityRow(row=row, batch=batch, refusal=refusals.entry_of(connection, row))

    return await opened.threads.read(read)


async def _names(opened: Opened) -> contract.ActivityNames:
    def read() -> contract.ActivityNames:
        with opened.threads.store.read() as connection:
            clients, providers, models = search.names(connection)
            return contract.ActivityNames(clients=tuple(clients), providers=tuple(providers), models=tuple(models))

    return await opened.threads.read(read)


async def _usage(opened: Opened, arguments: dict[str, list[str]]) -> list[contract.UsageRow]:
    by = tuple(part for part in _last(arguments, "by", "day").split(",") if part)
    since_us = _number(arguments, "since_us", 0)
    until_us = _number(arguments, "until_us", int(time.time() * 1e6) + _DAY_US)
    only: dict[str, list[str]] = {name: arguments[name] for name in usage.PLAIN if name in arguments}

    def read() -> list[contract.UsageRow]:
        with opened.threads.store.read() as connection:
            return usage.usage(connection, by, since_us, until_us, None, only)

    return await opened.threads.read(read)


async def _retention(opened: Opened) -> contract.RetentionView:
    policy, held = await opened.upkeep.policy()
    return contract.RetentionView(
        keep_days=policy.keep_days,
        keep_bytes=policy.keep_bytes,
        file_bytes=held.file_bytes,
        free_bytes=held.free_bytes,
        oldest_us=held.oldest_us,
    )


def _filter(arguments: dict[str, list[str]]) -> Filter:
    def bound(name: str) -> int | None:
        return _number(arguments, name, 0) if name in arguments else None

    return Filter(
        since_us=bound("since_us"),
        until_us=bound("until_us"),
        clients=tuple(arguments.get("client", ())),
        providers=tuple(arguments.get("provider", ())),
        models=tuple(arguments.get("model", ())),
        statuses=tuple(arguments.get("status", ())),
        outcomes=tuple(arguments.get("outcome", ())),
        text=_last(arguments, "text", "")[:_LONGEST],
        id=_last(arguments, "id", ""),
    )


def _price(given: contract.NewPrice, now_us: int) -> OwnPrice:
    for name in ("input", "output", "cached", "cache_write"):
        text = getattr(given, name)
        if (text or name in ("input", "output")) and _PRICE.fullmatch(text) is None:
            raise AppError("body_invalid", "A price is dollars for a million tokens, like 2.50.", param=name)
    if not given.account or len(given.account) > _LONGEST or len(given.model) > _LONGEST:
        raise AppError("body_invalid", "A price belongs to a provider by its name.", param="account")
    return OwnPrice(
        account=given.account,
        model=given.model,
        input=given.input,
        output=given.output,
        cached=given.cached,
        cache_write=given.cache_write,
        set_us=now_us,
    )


def _last(arguments: dict[str, list[str]], name: str, default: str) -> str:
    return arguments[name][-1] if name in arguments else default


def _number(arguments: dict[str, list[str]], name: str, default: int) -> int:
    text = _last(arguments, name, "")
    return number(text, name) if text else default
