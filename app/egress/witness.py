"""Does what the operating system shows agree with what was written down? Pure: it compares, others look and record.

Three books: exchanges (the ledger), egress records (one for each connection the keeper dialled), the operating system's table. A socket
that none of our rules explains, a connection without an exchange, an exchange without a connection: each is a finding, and red.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from app.system.socket_table import Socket

_DNS: Final = 53
# A finding is about sockets that can carry something: what is closing belongs to nobody any more.
_QUIET: Final = frozenset({"closing", "accepting"})
TLS_OVERHEAD: Final = 32_768


@dataclass(frozen=True, slots=True)
class Known:
    """What explains a socket. kept: inodes of the keeper's connections, also of those being made. places: their `local remote` pairs,
    for systems without inodes. looking_up: the keeper asks the resolver just now."""

    keeper: int
    port: int
    kept: Set[int]
    places: Set[tuple[str, str]]
    listening: Set[int]
    listening_at: Set[str]
    looking_up: bool


def unexplained(sockets: Iterable[Socket], known: Known) -> list[Socket]:
    """The sockets that must not be there."""
    return [each for each in sockets if each.state not in _QUIET and not _explained(each, known)]


def _explained(each: Socket, known: Known) -> bool:
    if each.inode and (each.inode in known.kept or each.inode in known.listening):
        return True
    if (each.local, each.remote) in known.places or (each.state == "listening" and each.local in known.listening_at):
        return True
    if each.protocol == "tcp" and known.port in (each.local_port, each.remote_port) and _loopback(each.local) and _loopback(each.remote):
        return True  # a client of the gateway, or the keeper's question to its own port
    if each.pid == known.keeper and (each.remote_port == _DNS or (known.looking_up and each.protocol == "udp")):
        return True
    return not each.inode and _loopback(each.local) and _loopback(each.remote)  # Windows' socket pairs


def _loopback(place: str) -> bool:
    try:
        return ip_address(place.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Connection:
    """One egress record, as far as it is compared. used: exchanges that were sent on it, as the client counted them.

    other_out: bytes of requests that are no exchange (a test of an account, the first try of a repeated request). bytes: by the kernel;
    counted: whether it counts at all. closed: by us, in order; a connection that a crash ended is not compared.
    """

    number: int
    closed: bool
    used: int
    other_out: int
    bytes_out: int
    bytes_in: int
    tls: bool
    counted: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What the ledger says about one connection: how many exchanges, and their bytes."""

    exchanges: int
    bytes_out: int
    bytes_in: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """connection: its number. sentence: for a person."""

    connection: int
    sentence: str


def compare(records: Iterable[Connection], ledger: Mapping[int, Told]) -> list[Mismatch]:
    """Where egress records and ledger do not agree. Only what has ended is judged: the rest may still be on its way to the disk.

    The kernel counts everything, TLS included. Without TLS what went out must be accounted for to the byte; with it, but for a handshake
    and the records' frames.
    """
    found, known = list[Mismatch](), set[int]()
    for record in records:
        known.add(record.number)
        if not record.closed:
            continue
        told = ledger.get(record.number, Told(0, 0, 0))
        if told.exchanges < record.used:
            missing = record.used - told.exchanges
            found.append(Mismatch(record.number, f"{missing} of {record.used} requests on this connection are not in the ledger."))
            continue
        if told.exchanges > record.used:
            found.append(Mismatch(record.number, f"The ledger names {told.exchanges} requests, the connection carried {record.used}."))
            continue
        if not record.counted:
            continue
        if told.bytes_in > record.bytes_in:
            found.append(Mismatch(record.number, "The ledger names more bytes in than the operating system counted."))
        accounted = told.bytes_out + record.other_out
        extra = record.bytes_out - accounted - (accounted // 50 + TLS_OVERHEAD if record.tls else 0)
        if extra > 0:
            found.append(Mismatch(record.number, f"{extra} bytes went out that no exchange in the ledger accounts for."))
    found += [Mismatch(number, "The ledger names a connection that the keeper never made.") for number in sorted(ledger.keys() - known)]
    return found
