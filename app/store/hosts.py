"""Which hosts were connected to: connections and bytes per host and quarter of an hour, as the keeper counted them."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from app.core.records import HostView
from app.store import days, words

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ADD: Final = """
INSERT INTO hosts (quarter, host, local, connections, bytes_out, bytes_in, last_us) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET connections = connections + excluded.connections, bytes_out = bytes_out + excluded.bytes_out,
    bytes_in = bytes_in + excluded.bytes_in, last_us = max(last_us, excluded.last_us)"""
_SINCE: Final = """
SELECT text, local, sum(connections), sum(bytes_out), sum(bytes_in), max(last_us)
FROM hosts JOIN words ON words.id = hosts.host WHERE quarter >= ? AND quarter < ? GROUP BY text, local ORDER BY max(last_us) DESC, text"""


def record(connection: Connection, host: str, local: bool, connections: int, bytes_out: int, bytes_in: int, at_us: int) -> None:
    """Add to the counts of `host`. `local`: of an account the person marked as local."""
    number = words.numbers(connection, (host,))[host]
    connection.exec_driver_sql(_ADD, (days.quarter_of(at_us), number, local, connections, bytes_out, bytes_in, at_us))


def today(connection: Connection, now_us: int, zone: tzinfo | None = None) -> list[HostView]:
    """The hosts of the local day so far, the last used first."""
    now = days.quarter_of(now_us)
    found = connection.exec_driver_sql(_SINCE, (days.start_of_day(zone, now), days.end_of_day(zone, now)))
    return [
        HostView(host=host, local=bool(local), connections=connections, bytes_out=bytes_out, bytes_in=bytes_in, last_us=last_us)
        for host, local, connections, bytes_out, bytes_in, last_us in found
    ]
