"""What left, what was refused, and which names were asked: the second of the three books.

One row for each connection the keeper dialled, keyed by its number, which is never used twice in one ledger; exchanges name the same
number. A refused attempt is a row, too, and so is a name that the resolver was asked for (per quarter of an hour).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from app.core.records import HIDDEN, DestinationUse, EgressRecord, NameAsked, RefusedAttempt
from app.store import days
from app.store.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


_FIELDS: Final = (
    "connection", "opened_us", "closed_us", "purpose", "account", "host", "port", "local", "address", "tls", "issuer", "spki", "resolve_us",
    "connect_us", "used", "other_out", "bytes_out", "bytes_in", "counted",
)  # fmt: skip
_PUT: Final = f"INSERT OR REPLACE INTO egress ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"  # noqa: S608 - our own names
_PAGE: Final = f"SELECT {', '.join(_FIELDS)} FROM egress WHERE opened_us >= ? AND connection < ? ORDER BY connection DESC LIMIT ?"  # noqa: S608
_SINCE: Final = f"SELECT {', '.join(_FIELDS)} FROM egress WHERE connection >= ? ORDER BY connection"  # noqa: S608
_REFUSED: Final = """INSERT INTO refusals (at_us, process, what, target, account, address, rule, sentence, stack, count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_REFUSALS: Final = """SELECT at_us, process, what, target, account, address, rule, sentence, stack, count FROM refusals
WHERE at_us >= ? ORDER BY id DESC LIMIT ?"""
_NAME: Final = """INSERT INTO names (quarter, name, times, found, last_us) VALUES (?, ?, 1, ?, ?)
ON CONFLICT DO UPDATE SET times = times + 1, found = excluded.found, last_us = max(last_us, excluded.last_us)"""
_ASKED: Final = (
    "SELECT name, sum(times), max(found), max(last_us) FROM names WHERE quarter >= ? AND last_us >= ? GROUP BY name ORDER BY name"
)
_USES: Final = """SELECT host, port, local, count(*), sum(bytes_out), sum(bytes_in), max(coalesce(closed_us, opened_us))
FROM egress WHERE opened_us >= ? GROUP BY host, port, local ORDER BY host, port"""
_ISSUERS: Final = """SELECT issuer, spki, tls FROM egress WHERE host = ? AND port = ? AND spki != '' ORDER BY connection DESC LIMIT 1"""
_FIRST_SPKI: Final = "SELECT spki, issuer FROM egress WHERE host = ? AND port = ? AND spki != '' ORDER BY connection LIMIT 1"
_LEDGER: Final = """SELECT connection, count(*), sum(bytes_out), sum(bytes_in) FROM exchanges
WHERE id >= ? AND connection >= ? GROUP BY connection"""
_REMOVED: Final = f"""
SELECT coalesce(sum(removed_headers), 0), coalesce(sum(removed_headers > 0 OR instr(dropped, '{HIDDEN}') > 0), 0),
    coalesce(sum((length(dropped) - length(replace(dropped, '{HIDDEN}', ''))) / {len(HIDDEN)}), 0)
FROM exchanges WHERE id >= ?"""  # noqa: S608 - a constant of ours
# Its own record of a connection may have been lost in a crash, the exchanges on it were replayed: they are among the newest ones.
_LAST: Final = """
SELECT max(coalesce((SELECT max(connection) FROM egress), 0),
    coalesce((SELECT max(connection) FROM (SELECT connection FROM exchanges ORDER BY id DESC LIMIT 10000)), 0))"""


def put(connection: Connection, records: Iterable[EgressRecord]) -> None:
    """Write or overwrite the rows of these connections."""
    rows = [tuple(getattr(record, name) for name in _FIELDS) for record in records]
    if rows:
        connection.exec_driver_sql(_PUT, rows)


def refuse(connection: Connection, attempts: Iterable[RefusedAttempt]) -> None:
    rows = [
        (a.at_us, a.process, a.what, a.target, a.account, a.address, a.rule, a.sentence, json.dumps(list(a.stack)), a.count)
        for a in attempts
    ]
    if rows:
        connection.exec_driver_sql(_REFUSED, rows)


def ask(connection: Connection, names: Iterable[tuple[str, int, int]]) -> None:
    """names: (name, addresses found, when)."""
    rows = [(days.quarter_of(at_us), name, found, at_us) for name, found, at_us in names]
    if rows:
        connection.exec_driver_sql(_NAME, rows)


def page(connection: Connection, since_us: int, limit: int, before: int = 1 << 62) -> list[EgressRecord]:
    """Newest first."""
    return [_record(row) for row in connection.exec_driver_sql(_PAGE, (since_us, before, limit))]


def since(connection: Connection, first: int) -> list[EgressRecord]:
    """From this connection on, in order."""
    return [_record(row) for row in connection.exec_driver_sql(_SINCE, (first,))]


def refusals(connection: Connection, since_us: int, limit: int) -> list[RefusedAttempt]:
    """Newest first."""
    return [
        RefusedAttempt(
            at_us=at_us, process=process, what=what, target=target, account=account, address=address, rule=rule, sentence=sentence,
            stack=tuple(json.loads(stack)), count=count,
        )
        for at_us, process, what, target, account, address, rule, sentence, stack, count in connection.exec_driver_sql(
            _REFUSALS, (since_us, limit)
        )
    ]  # fmt: skip


def names(connection: Connection, since_us: int) -> list[NameAsked]:
    """By name. Times are counted by the quarter of an hour, so the first quarter may hold some from before."""
    return [
        NameAsked(name=name, times=times, found=found, last_us=last_us)
        for name, times, found, last_us in connection.exec_driver_sql(_ASKED, (days.quarter_of(since_us), since_us))
    ]


def uses(connection: Connection, since_us: int) -> list[DestinationUse]:
    """What each destination was used for, summed; with the certificate seen last and whether its key is the one seen first."""
    found = []
    for host, port, local, count, bytes_out, bytes_in, last_us in connection.exec_driver_sql(_USES, (since_us,)).all():
        newest = connection.exec_driver_sql(_ISSUERS, (host, port)).first()
        oldest = connection.exec_driver_sql(_FIRST_SPKI, (host, port)).first()
        found.append(
            DestinationUse(
                host=host, port=port, local=bool(local), connections=count, bytes_out=bytes_out, bytes_in=bytes_in, last_us=last_us,
                issuer=newest[0] if newest else "", tls=newest[2] if newest else "",
                issuer_changed=bool(newest and oldest and newest[0] != oldest[1]),
            )
        )  # fmt: skip
    return found


def ledger(connection: Connection, first: int, from_id: bytes) -> dict[int, tuple[int, int, int]]:
    """What the ledger says about connections from `first` on: exchanges, bytes out, bytes in. from_id: no older call ids are read."""
    found = connection.exec_driver_sql(_LEDGER, (from_id, first))
    return {int(number): (int(count), int(bytes_out), int(bytes_in)) for number, count, bytes_out, bytes_in in found if number is not None}


def last_number(connection: Statements) -> int:
    """The highest number any connection ever had here."""
    return next(int(row[0]) for row in connection.exec_driver_sql(_LAST))


def removed(connection: Connection, from_id: bytes) -> tuple[int, int, int]:
    """What was taken out before it left, since then: headers, exchanges they were taken from, identifiers in bodies."""
    row = connection.exec_driver_sql(_REMOVED, (from_id,)).one()
    return int(row[0]), int(row[1]), int(row[2])


def _record(row: Iterable[object]) -> EgressRecord:
    told = dict(zip(_FIELDS, row, strict=True))
    told["local"], told["counted"] = bool(told["local"]), bool(told["counted"])
    return EgressRecord(**told)  # type: ignore[arg-type] # the columns are STRICT
