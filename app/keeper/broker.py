"""The only way out: a connected socket to a declared destination, and to nothing else.

A dial is: 1 the account's declaration; 2 the addresses of its host; 3 a verdict on every one of them; 4 a connection to one of those very
addresses; 5 the socket handed over, a duplicate kept for counting. No proxy, no redirect, no second look-up in between. An account marked
as local stays where it was first reached: in a foreign network the same name is another machine, and plain http does not tell them apart.

The list of declarations belongs to the keeper, not to the engine, which only names accounts: a destination that is not as before needs a
person's grant (`consent`). Without one it is held: nothing is looked up for it, and it is shown. Every change of the list is told to
`on_change`.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Protocol

from app.core.errors import AppError
from app.core.names import check_account_name
from app.core.records import Destination, Scheme
from app.core.wishes import place
from app.egress.guard import classify, judge, literal
from app.egress.tripwire import permitted
from app.system.names import resolve
from app.system.socket_table import inode
from app.system.sockets import byte_counts, prepare_outgoing

Change = Literal["added", "removed"]

DIAL_S: Final = 10.0  # look-up and connection together
_NEXT_ADDRESS_S: Final = 0.25  # RFC 8305, section 5: when the first address is slow, the next one is tried beside it
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)  # epoll costs 20 us more for one socket
_DECLARED_MAX: Final = 500
_NO_PLACE: Final = "A destination is https or http, a host name and a port."
_UNDER_WAY: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, 10035})  # the last is Windows' own
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, 10024})


@dataclass(frozen=True, slots=True)
class Dialled:
    """connection: its number until `closed`. sock: connected, non-blocking; ours stays open for counting."""

    connection: int
    sock: socket.socket
    address: str
    resolve_ms: float
    connect_ms: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dial that was not made. target: the destination, or the account's name when it has none. rule: the guard's word."""

    account: str
    target: str
    address: str
    rule: str
    sentence: str
    at_us: int

    def fields(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sockets:
    """What explains a socket in the system's table: number of the connection by inode, and by its two ends; 0 while it is being made."""

    inodes: dict[int, int]
    places: dict[tuple[str, str], int]
    looking_up: bool


class Consents(Protocol):
    """Who decides what may be declared, as `consent.Consent` does."""

    def permit(self, account: str, destination: Destination) -> str: ...
    def held(self, account: str, destination: Destination) -> None: ...
    def let_go(self, account: str) -> None: ...


@dataclass(slots=True)
class _Held:
    """A destination that waits for a person. told: a dial for it was refused and written down."""

    destination: Destination
    told: bool = False


@dataclass(slots=True)
class Making:
    """The sockets of connections that are not made yet, by inode."""

    inodes: set[int] = field(default_factory=set)


class Broker:
    """own_port: the gateway's; a destination there would be ourselves. Safe from any thread; `dial` blocks, so give it a worker.

    on_change(change, account, destination, by): by is who wanted it, as `consent` said; "" for what the engine let go by itself.

    on_refused: a dial was refused. on_asked(name, addresses): the resolver was asked. Both on the thread that dials or looks up.
    opened: connections made by this keeper. first: the number of the first one.
    """

    def __init__(
        self,
        own_port: int,
        on_change: Callable[[Change, str, Destination, str], None],
        log: Callable[[str], None],
        *,
        consent: Consents,
        on_refused: Callable[[Refusal], None] = lambda refusal: None,
        on_asked: Callable[[str, int], None] = lambda name, found: None,
    ) -> None:
        self._own_port: Final = own_port
        self._on_change: Final = on_change
        self._consent: Final = consent
        self._log: Final = log
        self._on_refused: Final = on_refused
        self._on_asked: Final = on_asked
        self._making: Final = Making()
        self.opened = 0
        self.first = 1
        self._lock: Final = threading.Lock()
        self._declared: dict[str, Destination] = {}
        self._pinned: dict[str, frozenset[str]] = {}  # by local account: the addresses it had when it was first reached
        self._held: dict[str, _Held] = {}  # what waits for a person, by account; it goes nowhere meanwhile
        self._active: set[str] = set()  # declared by the engine that runs now; the rest is remembered from the one before
        self._kept: dict[int, socket.socket] = {}
        self._made: dict[int, dict[str, object]] = {}
        self._last = 0
        self._engine = 0
        self._lookups: dict[tuple[str, bool], _Lookup] = {}

    def declare(self, account: object, scheme: object, host: object, port: object, local: object) -> bool:
        """Allow this account this destination, if a person wanted that; otherwise it is held, and the account goes nowhere.

        Whether it may be dialled now. AppError url_invalid, name_invalid; destination_held when there is no room to hold it. The same
        again changes nothing and is not announced.
        """
        destination, name = _destination(scheme, host, port, local), account if isinstance(account, str) else ""
        check_account_name(name)
        with self._lock:
            before, held = self._declared.get(name), self._held.get(name)
            if before is None and len(self._declared) >= _DECLARED_MAX:
                raise AppError("url_invalid", f"More than {_DECLARED_MAX} destinations cannot be declared.")
        by = "" if before == destination else self._consent.permit(name, destination)
        if before == destination or by:
            self._allow(name, destination, by)
            if held is not None:
                self._consent.let_go(name)
            return True
        with self._lock:
            self._active.discard(name)
            self._held.pop(name, None)
        if held is None or held.destination != destination:
            self._consent.held(name, destination)
        with self._lock:
            self._held[name] = _Held(destination, told=held is not None and held.destination == destination and held.told)
        return False

    def confirm(self, account: str, where: str, by: str) -> bool:
        """A person wants what is held for this account, if it is `where`: it may be dialled from now on. Whether it was that."""
        with self._lock:
            held = self._held.get(account)
            if held is None or place(held.destination) != where:
                return False
        self._allow(account, held.destination, by)
        return True

    def _allow(self, account: str, destination: Destination, by: str) -> None:
        with self._lock:
            before = self._declared.get(account)
            self._declared[account] = destination
            self._active.add(account)
            self._held.pop(account, None)
            if before != destination:
                self._pinned.pop(account, None)
        if before != destination:
            if before is not None:
                self._on_change("removed", account, before, by)
            self._on_change("added", account, destination, by)

    def withdraw(self, account: object) -> None:
        with self._lock:
            before = self._declared.pop(account, None) if isinstance(account, str) else None
            held = self._held.pop(str(account), None)
            self._active.discard(str(account))
            self._pinned.pop(str(account), None)
        if held is not None:
            self._consent.let_go(str(account))
        if before is not None:
            self._on_change("removed", str(account), before, "")

    def dial(self, account: object, *, purpose: object = "exchange", noted: bool = True) -> Dialled:
        """A connection for `account`. purpose: what the engine says it is for. noted: a refusal is written down and told.

        AppError destination_held, destination_refused, provider_unreachable, provider_timeout, too_many_connections."""
        with self._lock:
            engine = self._engine
            destination = self._declared.get(account) if isinstance(account, str) and account in self._active else None
            held = self._held.get(account) if isinstance(account, str) and destination is None else None
        # 1. the declaration
        if held is not None:
            raise self._not_yet(str(account), held)
        if destination is None:
            if noted:
                self._log(f"dial refused: nothing declares {str(account)[:200]!r}")
                self._refuse(str(account), str(account), "", "undeclared", "No account of that name has declared a destination.")
            raise AppError("destination_refused", "No account of that name has declared a destination.", "Add the provider again.")
        started = time.monotonic()
        # 2. the addresses  3. the verdicts
        addresses = self._allowed(str(account), destination, self._addresses(destination, started + DIAL_S))
        addresses = self._where_it_was(str(account), destination, addresses)
        resolved = time.monotonic()
        # 4. the connection
        try:
            sock, address = connect(addresses, destination.port, started + DIAL_S, self._making)
        except AppError:
            raise
        except OSError as error:
            raise _failed(destination, error) from None
        resolve_ms, connect_ms = (resolved - started) * 1000, (time.monotonic() - resolved) * 1000
        # 5. a number, and our duplicate
        with self._lock:
            if engine != self._engine:
                self._making.inodes.discard(inode(sock))
                sock.close()  # the engine that asked is gone
                raise AppError("destination_refused", "The engine that asked for this connection has ended.")
            self._last += 1
            self.opened += 1
            self._kept[self._last] = sock
            number = self._last
            self._made[number] = {
                "connection": number, "opened_us": time.time_ns() // 1000, "purpose": str(purpose)[:20], "account": str(account),
                "host": destination.host, "port": destination.port, "local": destination.local, "address": address,
                "resolve_us": round(resolve_ms * 1000), "connect_us": round(connect_ms * 1000),
            }  # fmt: skip
            self._making.inodes.discard(inode(sock))
            if destination.local and destination == self._declared.get(str(account)):
                self._pinned.setdefault(str(account), frozenset(addresses))
        return Dialled(number, sock, address, resolve_ms, connect_ms)

    def closed(self, connection: object) -> tuple[int, int] | None:
        """The connection is no longer used: bytes out and in as the kernel counted, and our duplicate is dropped."""
        with self._lock:
            sock = self._kept.pop(connection, None) if isinstance(connection, int) else None
            if isinstance(connection, int):
                self._made.pop(connection, None)
        if sock is None:
            return None
        counts = byte_counts(sock)
        _drop(sock)
        return counts

    def engine_ended(self) -> list[dict[str, object]]:
        """Drop every duplicate, or the providers would never see the end; nothing can be dialled until it is declared again.

        Returns the connections that ended so, with what the kernel counted: the engine may have died before it wrote them down.
        """
        with self._lock:
            self._engine += 1
            kept, self._kept = self._kept, {}
            made, self._made = self._made, {}
            self._active.clear()
            self._held.clear()
        for number, sock in kept.items():
            counts = byte_counts(sock)
            made[number] |= {"bytes_out": counts[0] if counts else 0, "bytes_in": counts[1] if counts else 0, "counted": counts is not None}
            _drop(sock)
        return list(made.values())

    def kept(self) -> int:
        with self._lock:
            return len(self._kept)

    def live(self) -> list[tuple[int, int, int]]:
        """What the kernel counted so far on the connections that are open: number, bytes out, bytes in."""
        with self._lock:
            kept = list(self._kept.items())
        return [(number, *counts) for number, sock in kept if (counts := byte_counts(sock)) is not None]

    def number_after(self, number: object) -> None:
        """Numbers of connections go on after this one, so that they are never used twice in one ledger."""
        if isinstance(number, int) and 0 <= number < 1 << 43:
            with self._lock:
                if number > self._last:
                    self._last = number
                    if not self.opened:
                        self.first = number + 1

    def declared(self) -> list[dict[str, object]]:
        """What may be dialled now: account and destination."""
        with self._lock:
            return [
                {"account": account, "destination": str(self._declared[account]), "local": self._declared[account].local}
                for account in sorted(self._active)
            ]

    def try_undeclared(self, account: str) -> None:
        """For the self-test: a dial that nothing declares, without noting it as somebody's attempt. AppError `destination_refused`."""
        self.closed(self.dial(account, noted=False).connection)

    def try_metadata(self) -> None:
        """For the self-test: a cloud's metadata address, as if it were declared. AppError `destination_refused`."""
        self._allowed("", Destination("http", "169.254.169.254", 80, local=True), ["169.254.169.254"], noted=False)

    def sockets(self) -> Sockets:
        """The connections that exist or are being made at this moment."""
        with self._lock:
            kept = list(self._kept.items())
            inodes = dict.fromkeys(tuple(self._making.inodes), 0)
            looking_up = bool(self._lookups)
        places: dict[tuple[str, str], int] = {}
        for number, sock in kept:
            try:
                if known := inode(sock):
                    inodes[known] = number
                else:
                    places[_place(sock.getsockname()), _place(sock.getpeername())] = number
            except OSError:
                continue  # closed meanwhile, or by the far end
        return Sockets(inodes, places, looking_up)

    def _not_yet(self, account: str, held: _Held) -> AppError:
        """The first refusal is written down; the others are the same."""
        sentence = f"{place(held.destination)} waits for your confirmation; nothing was looked up and nothing was sent."
        with self._lock:
            told, held.told = held.told, True
        if not told:
            self._log(f"dial refused for {account}: {sentence}")
            self._refuse(account, str(held.destination), "", "held", sentence)
        return AppError("destination_held", sentence, "Confirm it in the Gatehouse window, or run: gatehouse confirm")

    def _refuse(self, account: str, target: str, address: str, rule: str, sentence: str) -> None:
        self._on_refused(Refusal(account[:200], target[:300], address[:60], rule, sentence, time.time_ns() // 1000))

    def _allowed(self, account: str, destination: Destination, addresses: list[str], *, noted: bool = True) -> list[str]:
        """The addresses that may be dialled. AppError `destination_refused`.

        On the internet one wrong address condemns the name: honest providers have none. A server in the person's network often has
        link-local and public ones too: those are left out.
        """
        refusal, rule, where = "", "", ""
        allowed = []
        for address in addresses:
            verdict = judge(destination, address)
            if verdict.allowed and not (destination.port == self._own_port and classify(address) == "loopback"):
                allowed.append(address)
            elif not refusal:
                itself = f"{destination} is Gatehouse itself: requests would go round in circles."
                refusal, rule, where = (itself, "itself", address) if verdict.allowed else (verdict.sentence, verdict.rule, address)
        if refusal and not (allowed and destination.local):
            if noted:
                self._log(f"dial refused: {refusal}")
                self._refuse(account, str(destination), where, rule, refusal)
            raise AppError("destination_refused", refusal, "Check the provider's address.")
        return allowed

    def _where_it_was(self, account: str, destination: Destination, addresses: list[str]) -> list[str]:
        """Those of the addresses that a local account had when it was first reached. AppError `destination_refused` when there are none."""
        with self._lock:
            pinned = self._pinned.get(account, frozenset(addresses))
        if kept := [address for address in addresses if address in pinned]:
            return kept
        there, here = ", ".join(sorted(pinned)), ", ".join(addresses)
        refusal = f"{destination.host} was at {there} and is now at {here}, which may be another machine."
        self._log(f"dial refused: {refusal}")
        self._refuse(account, str(destination), addresses[0], "moved", refusal)
        raise AppError("destination_refused", refusal, "If you moved the server, quit Gatehouse and start it again.")

    def _addresses(self, destination: Destination, deadline: float) -> list[str]:
        """What the host is, or what its name stands for. Dials for one name share a look-up: a stuck resolver costs one thread."""
        if (spelled := literal(destination.host)) is not None:
            return [spelled]
        key = (destination.host, destination.local)
        with self._lock:
            lookup = self._lookups.get(key)
            if lookup is None:
                lookup = self._lookups[key] = _Lookup(threading.Event())
                threading.Thread(target=self._look_up, args=(key, lookup), name="look-up", daemon=True).start()
        if not lookup.done.wait(max(0.0, deadline - time.monotonic())):
            raise AppError("provider_timeout", f"The name {destination.host} was not found in {DIAL_S:.0f} s.", "Check your connection.")
        if not lookup.addresses:
            raise AppError(
                "provider_unreachable", f"The name {destination.host} cannot be found.", "Check the address and your internet connection."
            )
        return lookup.addresses

    def _look_up(self, key: tuple[str, bool], lookup: _Lookup) -> None:
        host, local = key
        try:
            with permitted():
                lookup.addresses = resolve(host, search=local)
        except OSError:
            lookup.addresses = []
        finally:
            with self._lock:
                del self._lookups[key]
            lookup.done.set()
            self._on_asked(host, len(lookup.addresses or ()))


@dataclass(slots=True)
class _Lookup:
    done: threading.Event
    addresses: list[str] | None = None


def connect(addresses: list[str], port: int, deadline: float, making: Making | None = None) -> tuple[socket.socket, str]:
    """A connected non-blocking socket and its `address:port`. Addresses are tried in order, the two families taking turns, each beside the
    ones before that have not answered yet. OSError of the last failure; AppError `provider_timeout` at the deadline (monotonic).

    making: where the sockets are noted while they are being connected.
    """
    making = Making() if making is None else making
    own: set[int] = set()
    left, failure = _taking_turns(addresses), OSError(errno.EADDRNOTAVAIL, "no address")
    next_start = 0.0
    with _Selector() as selector:
        try:
            while left or selector.get_map():
                now = time.monotonic()
                if now >= deadline:
                    raise AppError("provider_timeout", f"Nothing answered at {', '.join(addresses)} port {port} in {DIAL_S:.0f} s.")
                if left and (now >= next_start or not selector.get_map()):
                    next_start = now + _NEXT_ADDRESS_S
                    try:
                        own.add(_start(selector, left.pop(0), port, making))
                    except OSError as error:
                        failure = error
                    continue
                for key, _ in selector.select(min(deadline, next_start if left else deadline) - now):
                    sock: socket.socket = key.data[0]
                    selector.unregister(sock)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        own.discard(inode(sock))  # the caller's, until it has written it down
                        return sock, key.data[1]
                    sock.close()
                    failure = OSError(code, "connection failed")
        finally:
            for key in list(selector.get_map().values()):
                key.data[0].close()
            making.inodes -= own
    raise failure


def _start(selector: selectors.BaseSelector, address: str, port: int, making: Making) -> int:
    """Its inode."""
    v6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        prepare_outgoing(sock)
        known = inode(sock)
        making.inodes.add(known)
        with permitted():
            code = sock.connect_ex((address, port))
        if code not in _UNDER_WAY:
            raise OSError(code, "connection failed")
        selector.register(sock, selectors.EVENT_WRITE, (sock, f"[{address}]:{port}" if v6 else f"{address}:{port}"))
    except BaseException:
        making.inodes.discard(inode(sock))
        sock.close()
        raise
    return known


def _taking_turns(addresses: list[str]) -> list[str]:
    """RFC 8305, section 4: the families alternate, beginning with the one the system put first."""
    first_is_v6 = bool(addresses) and ":" in addresses[0]
    first = [address for address in addresses if (":" in address) == first_is_v6]
    second = [address for address in addresses if (":" in address) != first_is_v6]
    turns = []
    for i in range(max(len(first), len(second))):
        turns += first[i : i + 1] + second[i : i + 1]
    return turns


def _destination(scheme: object, host: object, port: object, local: object) -> Destination:
    known: Scheme | None = "https" if scheme == "https" else "http" if scheme == "http" else None
    if (
        known is None
        or not isinstance(host, str)
        or not 0 < len(host) <= 253
        or not (host.isascii() and host.isprintable())  # what is announced is what is dialled: no letter that looks like another
        or any(character in " /\\@?#%" for character in host)
        or not isinstance(port, int)
        or not 0 < port < 65536
        or not isinstance(local, bool)
    ):
        raise AppError("url_invalid", _NO_PLACE)
    named = Destination(known, host.rstrip(".").lower(), port, local)
    try:
        there = Destination.of(str(named), local=local)  # a person must be able to say the same
    except ValueError:
        there = None
    if there != named:
        raise AppError("url_invalid", _NO_PLACE)
    return named


def _place(address: Any) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def _failed(destination: Destination, error: OSError) -> AppError:
    if error.errno in _NO_DESCRIPTOR:
        return AppError("too_many_connections", "This machine has no free connection left.", "Try again when fewer requests are running.")
    if error.errno in (errno.ETIMEDOUT, 10060):
        return AppError("provider_timeout", f"{destination} does not answer.")
    if error.errno in (errno.ECONNREFUSED, 10061):
        hint = "Is the server started?" if destination.local else "The provider may be down; try again later."
        return AppError("provider_unreachable", f"Nothing listens at {destination}.", hint)
    return AppError("provider_unreachable", f"{destination} cannot be reached ({errno.errorcode.get(error.errno or 0, 'unknown')}).",
                    "Check your connection.")  # fmt: skip


def _drop(sock: socket.socket) -> None:
    """End the connection itself, also if a descriptor of it is still open elsewhere, and close ours."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # already ended by the other side
    finally:
        sock.close()
