"""`gatehouse export`, `reprice`, `retention` and `price`: taking the ledger out, working costs out again, and how long rows stay."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from app.cli import OK, text
from app.cli.verbs import show
from app.control.client import ControlClient
from app.control.contract import OwnPrice, RetentionPolicy, RetentionView, RowFilter
from app.core.errors import AppError
from app.core.exports import KINDS
from app.system import sink
from app.system.sink import Sink

_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_LATEST_US: Final = 1 << 53
_ROW: Final = {"csv": b"\r\nreq_", "jsonl": b'{"id":"req_'}


def perform_export(options: Namespace, client: ControlClient) -> int:
    form = options.form or ("jsonl" if options.file.endswith((".jsonl", ".ndjson")) else "csv")
    since, until = _period(options)
    only = RowFilter(
        since_us=since,
        until_us=until,
        clients=tuple(options.client),
        providers=tuple(options.provider),
        models=tuple(options.model),
        statuses=tuple(options.status),
    )
    if options.file == "-":
        for piece in client.export(form, only):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return OK
    target = Path(options.file).expanduser()
    with sink.new(target, KINDS["requests"]) as file:
        rows = _copy(client, form, only, file, watched=sys.stderr.isatty() and not options.json)
        file.finish()
        file.keep()
    show(options, {"file": target.name, "form": form, "rows": rows}, f"{rows:,} requests are in {target.name}, which only you can read.")
    return OK


def _copy(client: ControlClient, form: str, only: RowFilter, file: Sink, *, watched: bool) -> int:
    rows, tail, mark = 0, b"", _ROW[form]
    for piece in client.export(form, only):
        file.write(0, piece)
        # Each row begins with its id; the end of the last piece may hold the beginning of a mark.
        together = tail + piece
        rows += together.count(mark)
        tail = together[-(len(mark) - 1) :]
        if watched:
            print(f"\r{rows:,} requests", end="", file=sys.stderr, flush=True)  # noqa: T201
    if watched:
        print(file=sys.stderr)  # noqa: T201
    return rows


def perform_reprice(options: Namespace, client: ControlClient) -> int:
    since, until = _period(options)
    found = client.reprice(since or 0, _LATEST_US if until is None else until, everything=options.all)
    words = f"{found.looked_at:,} requests were looked at; {found.changed:,} cost something else now: "
    words += f"{text.money(found.before_microusd)} before, {text.money(found.after_microusd)} now."
    show(options, found, words if found.changed else f"{found.looked_at:,} requests were looked at; none costs anything else.")
    return OK


def retention_show(options: Namespace, client: ControlClient) -> int:
    return _retention(options, client.retention())


def retention_set(options: Namespace, client: ControlClient) -> int:
    """What the person did not say stays, and is not asked for: what the engine says that it is would be granted with the rest."""
    chosen = RetentionPolicy(keep_days=options.days, keep_bytes=None if options.size is None else _size(options.size))
    return _retention(options, client.set_retention(chosen))


def retention_run(options: Namespace, client: ControlClient) -> int:
    done = client.run_retention()
    show(options, done, f"{done.rows:,} requests are gone, their sums stay; {done.freed_bytes / 1e6:,.1f} MB went back to the disk.")
    return OK


def price_set(options: Namespace, client: ControlClient) -> int:
    model = "" if options.model == "-" else options.model
    price = client.set_price(
        OwnPrice(
            account=options.account,
            model=model,
            input=options.input,
            output=options.output,
            cached=options.cached,
            cache_write=options.cache_write,
        )
    )
    what = f"{options.account}/{model}" if model else f"all models of {options.account}"
    show(options, price, f"From now on {what} costs: {price.words()}. For what was recorded before: gatehouse reprice")
    return OK


def price_list(options: Namespace, client: ControlClient) -> int:
    own = client.prices()
    unpriced = [row for row in client.usage(("provider", "model")) if row.unpriced]
    rows: list[tuple[str, ...]] = [
        (one.account, one.model or "(all)", one.input, one.output, one.cached, one.cache_write, "") for one in own
    ]
    rows += [(*row.key, "", "", "", "", f"{row.unpriced:,} unpriced") for row in unpriced]
    head = ("PROVIDER", "MODEL", "INPUT", "OUTPUT", "CACHED", "CACHE WRITE", "")
    answer = {"own": own, "unpriced": [{"account": row.key[0], "model": row.key[1], "requests": row.unpriced} for row in unpriced]}
    show(options, answer, text.table(head, rows, "cdef") if rows else "Everything has a price of the price file.")
    return OK


def price_remove(options: Namespace, client: ControlClient) -> int:
    done = client.remove_price(options.account, "" if options.model == "-" else options.model)
    show(options, done, done.message)
    return OK


def _retention(options: Namespace, view: RetentionView) -> int:
    facts = [
        ("age", f"{view.keep_days:,} days" if view.keep_days else "no limit"),
        ("size", f"{view.keep_bytes / 1e6:,.0f} MB" if view.keep_bytes else "no limit"),
        ("now", f"{view.file_bytes / 1e6:,.1f} MB, {view.free_bytes / 1e6:,.1f} MB of it free"),
        ("oldest", text.when(view.oldest_us)),
    ]
    show(options, view, text.facts(facts))
    return OK


def _size(given: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([kmg]?)b?", given.lower())
    if found is None:
        raise AppError("body_invalid", "A size is a number, with K, M or G.", "Like 500M or 2G; 0 is no limit.")
    return int(found[1]) * _UNITS[found[2]]


def _period(options: Namespace) -> tuple[int | None, int | None]:
    return _midnight_us(options.since), _midnight_us(options.until and options.until + timedelta(days=1))


def _midnight_us(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time()).astimezone().timestamp() * 1e6)
