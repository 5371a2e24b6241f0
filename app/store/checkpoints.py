"""The signed records over the audit log (`app.verifier` says what they hold): kept, and found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from app import verifier
from app.store.statements import Statements
from app.verifier import BadInputError, Record, Tree

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_AT_ONCE: Final = 1_000
_ALL: Final = "SELECT body, signature FROM checkpoints WHERE number >= ? ORDER BY number"
_ONE: Final = "SELECT body, signature FROM checkpoints WHERE number = ?"
_NEWEST: Final = "SELECT body, signature FROM checkpoints ORDER BY number DESC LIMIT 1"
_LASTING: Final = "SELECT body, signature FROM checkpoints WHERE lasting = 1 AND number <= ? ORDER BY number DESC"
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1  # numbers
_SEALING: Final = "SELECT body, signature FROM checkpoints WHERE seq >= ? ORDER BY seq, number LIMIT 1"


def add(connection: Connection, record: Record, tree: Tree) -> None:
    """Keep a record, and the edge of the tree at it."""
    lasting = int(record.kind in verifier.LASTING)
    connection.exec_driver_sql(
        "INSERT INTO checkpoints (number, seq, lasting, body, signature) VALUES (?, ?, ?, ?, ?)",
        (record.number, record.seq, lasting, record.body, record.signature),
    )
    connection.exec_driver_sql("INSERT OR REPLACE INTO tree_edge VALUES (1, ?, ?)", (tree.size, b"".join(tree.edge())))


def rows(connection: Connection, after: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Body and signature of every record in order, as they lie there; or of those after that number."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_ALL, (_LEAST if after is None else after + 1,))
        while found := cursor.fetchmany(_AT_ONCE):
            yield from found
    finally:
        cursor.close()


def one(connection: Connection, number: int) -> Record | None:
    return _record(connection, _ONE, number)


def newest(connection: Connection) -> Record | None:
    """BadInputError when it is no record any more."""
    return _record(connection, _NEWEST)


def signed_upto(connection: Statements) -> int:
    """The newest entry that a signature covers, as the newest record's place says; 0 for none."""
    return next((int(row[0]) for row in connection.exec_driver_sql("SELECT seq FROM checkpoints ORDER BY number DESC LIMIT 1")), 0)


def count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM checkpoints").scalar_one())


def sealing(connection: Connection, seq: int) -> Record | None:
    """The first record whose signature covers entry `seq`."""
    return _record(connection, _SEALING, seq)


def newest_of(connection: Connection, *kinds: str) -> Record | None:
    """The newest lasting record of one of `kinds`."""
    return next((record for record in lasting(connection) if record.kind in kinds), None)


def lasting(connection: Connection, upto: int = _MOST) -> Iterator[Record]:
    """The lasting records up to that number, the newest first. BadInputError at one that is none any more."""
    for body, signature in connection.exec_driver_sql(_LASTING, (upto,)):
        yield Record.of(body, signature)


def chained(connection: Connection) -> Iterator[Record]:
    """The lasting records that the newest record leads to, each by the digest that the one after it names, the newest first, back to the
    last beginning. Where the newest is good, nobody put another among them. BadInputError when one is not there any more."""
    record = newest(connection)
    if record is None:
        return
    wanted = record.digest if record.kind in verifier.LASTING else record.last
    for record in lasting(connection):
        if record.digest == wanted:
            yield record
            wanted = record.last
    if wanted:
        raise BadInputError("a lasting record is missing")


def newest_claim(connection: Connection, what: str) -> Record | None:
    """The newest claim of that name (`sealing.claim`)."""
    return next((record for record in lasting(connection) if record.what == what), None)


def newest_lasting(connection: Connection) -> Record | None:
    return newest_of(connection, *verifier.LASTING)


def beginning(connection: Connection) -> tuple[int, int, bytes, tuple[bytes, ...]]:
    """The entry before the tree's first leaf; and where the entries begin after the last prune: number, hash, and the tree's edge."""
    opening = newest_of(connection, "restore", "genesis")
    pruned = newest_of(connection, "prune")
    start = 0 if opening is None else opening.base
    if pruned is not None and (opening is None or pruned.number > opening.number):
        return start, pruned.base, pruned.base_head, pruned.edge
    return (start, start, verifier.GENESIS if opening is None else opening.base_head, ())


def edge(connection: Connection) -> Tree | None:
    """The remembered tree at the newest record; None when there is none or it is not the one that was signed."""
    row = connection.exec_driver_sql("SELECT size, edge FROM tree_edge").first()
    record = newest(connection)
    if row is None or record is None:
        return None
    try:
        tree = Tree(row[0], [row[1][place : place + 32] for place in range(0, len(row[1]), 32)])
    except (ValueError, TypeError):
        return None
    start = beginning(connection)[0]
    return tree if tree.size == record.seq - start and tree.root() == record.root else None


def _record(connection: Connection, statement: str, *values: object) -> Record | None:
    row = connection.exec_driver_sql(statement, values).first()
    return None if row is None else Record.of(row[0], row[1])
