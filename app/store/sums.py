"""Whether the sums that are shown follow from the rows of the ledger: what is there and what retention took are the rollups, whole days
are sums of these, and each row is where a filter looks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.store import checkpoints, daily, days, families, floors, taken, words
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, select_from
from app.verifier import BadInputError, Verdict

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.judging import Scope
    from app.store.ledger import Pinned

# The handler is called after so many steps of the database: some milliseconds.
_STEPS: Final = 200_000
_ALIKE: Final = " AND ".join(f"f.{name} = e.{name}" for name in families.COLUMNS)
_LOST: Final = f"""
SELECT e.id FROM exchanges e LEFT JOIN families f ON {_ALIKE} LEFT JOIN family_rows r ON r.family = f.id AND r.exchange = e.id
WHERE r.exchange IS NULL LIMIT 1"""  # noqa: S608 - our words alone
_COUNTS: Final = "SELECT (SELECT count(*) FROM exchanges), (SELECT count(*) FROM family_rows)"
_NEGATIVE: Final = ", ".join(f"-{name} AS {name}" for name in ROLLUP_SUMS)
_DAY_KEY: Final = ("ahead", "day", *ROLLUP_KEY[1:])
_DAYS: Final = f"""
SELECT s.ahead, (r.quarter + s.ahead) / {days.QUARTERS_A_DAY} AS day, {", ".join(f"r.{name}" for name in ROLLUP_KEY[1:] + ROLLUP_SUMS)}
FROM day_spans s JOIN rollups r ON r.quarter >= s.first AND r.quarter < s.until"""  # noqa: S608 - our words alone
_WORDLESS: Final = """
SELECT client FROM (SELECT client, account, kind, model FROM rollups UNION SELECT client, account, kind, model FROM taken)
WHERE client NOT IN (SELECT id FROM words) OR account NOT IN (SELECT id FROM words) OR kind NOT IN (SELECT id FROM words)
   OR model NOT IN (SELECT id FROM words) LIMIT 1"""


def check(connection: Connection, scope: Scope, verdict: Verdict) -> None:
    """All of it, when everything was read; nothing otherwise. The first thing that is wrong is a finding of the kind "sums"."""
    if scope.since:
        return
    _note(connection, verdict)
    rows = int(connection.exec_driver_sql("SELECT count(*) FROM exchanges").scalar_one())
    try:
        with _telling(connection, lambda: scope.told(rows)):
            for wrong in (_taken, _rollups, _whole_days, _families, _words):
                if sentence := wrong(connection):
                    verdict.find("sums", verdict.seq, sentence)
                    return
    except BadInputError:
        verdict.find("sums", verdict.seq, "What was signed of the sums cannot be read.")
    except OverflowError:
        verdict.find("sums", verdict.seq, "Sums of the ledger are too large to be added: somebody wrote them.")


def _note(connection: Connection, verdict: Verdict) -> None:
    """From where on what retention took is signed: what it took before that is as it was found then."""
    with suppress(BadInputError):
        first = next((record for record in checkpoints.chained(connection) if record.what == floors.LEDGER), None)
        if first is not None and first.claim.get("sums") != taken.NOTHING:
            verdict.notes.append(
                f"Sums of rows that retention took before entry {first.seq} are as they were found then; nothing covers them."
            )


def as_found(connection: Connection, rows: Pinned) -> Pinned:
    """Take the rollups for right and count everything else anew, for a person who goes on from what was found; `rows` with the digest of
    what then was taken. Needs a writing transaction; some seconds for a million rows."""
    taken.count(connection)
    daily.mend(connection)
    families.count(connection)
    return replace(rows, sums=taken.digest(connection))


def _taken(connection: Connection) -> str:
    if not (known := floors.known(connection)).sums or taken.digest(connection, known.upto if known.cut else 0, known.cut) == known.sums:
        return ""
    return "The sums of what retention took are not those that were signed."


def _rollups(connection: Connection) -> str:
    statement = taken.difference(
        taken.rows_sums(connection),
        select_from("taken", ROLLUP_KEY + ROLLUP_SUMS),
        f"SELECT {', '.join(ROLLUP_KEY)}, {_NEGATIVE} FROM rollups",  # noqa: S608 - our words alone
    )
    found = connection.exec_driver_sql(f"{statement} ORDER BY quarter LIMIT 1").first()
    if found is None:
        return ""
    client = words.texts(connection, [found[1]])[found[1]]
    return f"The sums of {client!r} on {days.label(found[0] // days.QUARTERS_A_DAY)} are not those of its rows: {_off(found[5:])}."


def _whole_days(connection: Connection) -> str:
    if connection.exec_driver_sql("SELECT 1 FROM day_spans LIMIT 1").first() is None:
        return ""  # they wait to be counted anew, and nobody is answered from them
    statement = taken.difference(_DAYS, f"SELECT {', '.join(_DAY_KEY)}, {_NEGATIVE} FROM daily", keys=_DAY_KEY)  # noqa: S608 - our words
    found = connection.exec_driver_sql(f"{statement} ORDER BY day LIMIT 1").first()
    if found is None:
        return ""
    client = words.texts(connection, [found[2]])[found[2]]
    return f"The sums of {client!r} on {days.label(found[1])} by whole days are not those by quarters of an hour: {_off(found[6:])}."


def _off(sums: Any) -> str:
    """What the first of the sums is off by. The statement takes away what is kept from what follows from the rows."""
    name, off = next((name, off) for name, off in zip(ROLLUP_SUMS, sums, strict=True) if off)
    return f"{name.replace('_', ' ')} {'too low' if off > 0 else 'too high'} by {abs(off):,}"


def _families(connection: Connection) -> str:
    rows, placed = connection.exec_driver_sql(_COUNTS).one()
    if rows == placed and connection.exec_driver_sql(_LOST).first() is None:
        return ""
    return f"Of {rows:,} rows, {placed:,} are where a search looks for them, and not each in its place: a search would miss or add some."


def _words(connection: Connection) -> str:
    if connection.exec_driver_sql(_WORDLESS).first() is not None:
        return "Sums are kept of something that has no name."
    number, different = connection.exec_driver_sql("SELECT count(*), count(DISTINCT text) FROM words").one()
    return "" if number == different else "Names of clients, accounts or models are kept twice."


@contextmanager
def _telling(connection: Connection, told: Callable[[], None]) -> Iterator[None]:
    """While the database works for long, tell how far it is; what that raises ends the work and is raised here. OverflowError."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - 150 ms that the start has no need of

    raised: list[BaseException] = []

    def tell() -> int:
        try:
            told()
        except BaseException as error:  # noqa: BLE001 - it is raised again below, where the database is not in between
            raised.append(error)
        return int(bool(raised))

    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(tell, _STEPS)
    try:
        yield
    except DBAPIError as error:
        if raised:
            raise raised[0] from None
        if "overflow" in str(error.orig):
            raise OverflowError from None
        raise
    finally:
        driver.set_progress_handler(None, 0)
