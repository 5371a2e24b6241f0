"""What the keeper itself knows of the network: who is locked, what was tried, which sockets the system shows. Told to the engine, which
keeps it, and written to the keeper's own log. Where the kernel holds the engine's files (Landlock), no code in it can change that log;
elsewhere only its own good will keeps it from that.

A look at the system's table is taken every second while a connection is open, and every ten otherwise. Looks that came too late or
failed are gaps, and gaps are told.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from app.core.errors import AppError
from app.egress.tripwire import Trip
from app.egress.witness import Known, unexplained
from app.keeper import leaks
from app.keeper.broker import Broker, Refusal
from app.keeper.listeners import Listeners
from app.system import sandbox, socket_table
from app.system.sandbox import Locks

BUSY_S: Final = 1.0
QUIET_S: Final = 10.0
_LATE_S: Final = 5.0
_WAITING_MAX: Final = 200
_KEPT_MAX: Final = 200

Tell = Callable[[str, dict[str, object]], bool]


class Watch:
    """tell(op, fields): a push to the engine; False while there is none, and the push is kept for the next one. Safe from any thread."""

    def __init__(
        self,
        broker: Broker,
        listeners: Listeners,
        found: tuple[str, ...],
        pids: Callable[[], dict[str, int]],
        tell: Tell,
        log: Callable[[str], None],
        window: Callable[[], list[object]],
        waiting: Callable[[], dict[str, object]],
    ) -> None:
        self._waiting_for: Final = waiting
        self._window: Final = window
        self._broker: Final = broker
        self._listeners: Final = listeners
        self._found: Final = found
        self._pids: Final = pids
        self._tell: Final = tell
        self._log: Final = log
        self._lock: Final = threading.Lock()
        self._looking: Final = threading.Lock()
        self._locks: dict[str, Locks] = {}
        self._waiting: deque[tuple[str, dict[str, object]]] = deque(maxlen=_WAITING_MAX)
        self._changes: deque[dict[str, object]] = deque(maxlen=_KEPT_MAX)
        self._strangers: dict[tuple[int, str, str, str], dict[str, object]] = {}
        self._listening: set[str] = set()  # places at which something listens that the keeper did not make, at the last look
        self._seen: set[int] = set()  # of the connections that are open; numbers are never used twice
        self._seen_ended = 0
        self._hidden: tuple[str, ...] = ()
        self._gaps: deque[dict[str, object]] = deque(maxlen=_KEPT_MAX)
        self._looks = 0
        self._looked_us = 0
        self._wake: Final = threading.Event()
        self._stopped: bool = False
        self._started_us: Final = _now_us()
        if (own := sandbox.own()) is not None:
            self._locks["keeper"] = own

    def start(self) -> None:
        threading.Thread(target=self._live, name="witness", daemon=True).start()

    # what comes in

    def locked(self, role: str, message: dict[str, Any]) -> None:
        """The child of this role says what it measured of its own locks. It speaks for nobody else, and the system is asked, too."""
        try:
            locks = Locks.of(message)
        except ValueError:
            return
        if locks.role != role or locks.pid != self._pids().get(role):
            self._log(f"the {role} speaks of locks that are not its own")
            return
        locks = sandbox.seen_from_outside(locks)
        with self._lock:
            self._locks[locks.role] = locks
        left = f"; not refused: {', '.join(locks.open)}" if locks.open else ""
        why = f" ({locks.seccomp})" if locks.seccomp else ""
        self._log(f"the {locks.role} (process {locks.pid}) is {locks.level}{why}{left}")
        self._wake.set()

    def tripped(self, trip: Trip) -> None:
        self._log(f"tripwire: the {trip.process} tried {trip.what} {trip.target} (x{trip.count}): {' < '.join(trip.stack[:6])}")
        self._push("tripped", trip.fields())

    def reported(self, message: dict[str, Any]) -> None:
        """A trip of a child, as it came."""
        try:
            self.tripped(Trip.of(message))
        except ValueError:
            self._log("a child sent a report that is none")

    def refused(self, refusal: Refusal) -> None:
        self._push("refusal", refusal.fields())

    def asked(self, name: str, found: int) -> None:
        self._push("asked", {"name": name, "found": found, "at_us": _now_us()})

    def told(self, op: str, fields: dict[str, object]) -> None:
        """What a person is to decide, or has decided, with the time of now."""
        self._push(op, fields | {"at_us": _now_us()})

    def changed(self, change: str, account: str, destination: str, *, by: str, as_before: bool) -> None:
        """by: who wanted it; "" for what the engine let go by itself."""
        with self._lock:
            fields: dict[str, object] = {
                "change": change, "account": account, "destination": destination, "by": by, "as_before": as_before,
                "at_us": _now_us(),
            }  # fmt: skip
            self._changes.append(fields)

    def dialled(self) -> None:
        """A connection was made: look soon, so that it is seen."""
        self._wake.set()

    def lost(self, connections: list[dict[str, object]]) -> None:
        """Connections that ended with the engine. For the next one, which has their records or is told of them now."""
        self._push("lost", {"connections": connections})

    def engine_up(self) -> None:
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque(maxlen=_WAITING_MAX)
        for op, fields in waiting:
            self._push(op, fields)

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    # what goes out

    def facts(self) -> dict[str, object]:
        """Everything, for the engine's Network view. Looks once more first."""
        self.look()
        pids = self._pids()
        listening: list[dict[str, object]] = [
            {"address": address, "process": "engine", "kind": "gateway"} for address in self._listeners.addresses
        ]
        listening.append({"address": self._listeners.control, "process": "engine", "kind": "control"})
        with self._lock:
            listening += [
                {"address": local, "process": fields["process"], "kind": "unexplained"}
                for (_, _, local, _), fields in self._strangers.items()
                if local in self._listening
            ]
            processes = [
                {
                    "role": role,
                    "pid": pid,
                    "locks": None if (locks := self._locks.get(role)) is None or locks.pid != pid else locks.fields(),
                }
                for role, pid in pids.items()
            ]
            return {
                "started_us": self._started_us,
                "environment": list(self._found),
                "processes": processes,
                "listening": listening,
                "declared": self._broker.declared(),
                "waiting": self._waiting_for(),
                "changes": list(self._changes),
                "first": self._broker.first,
                "opened": self._broker.opened,
                "open": self._broker.kept(),
                "live": self._broker.live(),
                "seen": self._seen_ended + len(self._seen),
                "looks": self._looks,
                "looked_us": self._looked_us,
                "hidden": list(self._hidden),
                "unexplained": list(self._strangers.values()),
                "gaps": list(self._gaps),
            }

    def try_to_leak(self) -> dict[str, object]:
        """The self-test's part of keeper and window: what they tried, and what became of it. Takes seconds at worst."""
        attempts: list[object] = [*leaks.of_keeper(self._broker, self._listeners.port)]
        try:
            attempts += self._window()
        except AppError as error:
            attempts.append(leaks.failed("window", error.sentence()))
        return {"attempts": attempts}

    def look(self) -> None:
        """Compare the system's table with what the keeper made. One at a time: two would count an ended connection twice."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        roles = {pid: role for role, pid in self._pids().items()}
        for pid, role in list(roles.items()):
            if role != "keeper":  # what the keeper starts besides are its children and the person's browser
                roles |= dict.fromkeys(socket_table.children(pid), f"{role}'s child")
        before = self._broker.sockets()
        table = socket_table.look(roles)
        after = self._broker.sockets()
        listening = [*self._listeners.gateway]
        known = Known(
            keeper=os.getpid(),
            port=self._listeners.port,
            kept=before.inodes.keys() | after.inodes.keys(),
            places=before.places.keys() | after.places.keys(),
            listening={socket_table.inode(sock) for sock in listening if sock.fileno() >= 0},
            listening_at=set(self._listeners.addresses),
            looking_up=before.looking_up or after.looking_up,
        )
        strangers = unexplained(table.sockets, known)
        numbers = before.inodes | after.inodes
        places = before.places | after.places
        with self._lock:
            self._looks += 1
            self._looked_us = _now_us()
            self._hidden = (*sorted({roles[pid] for pid in table.hidden}), *(f"the table {name}" for name in table.unread))
            for each in table.sockets:
                if number := numbers.get(each.inode, 0) or places.get((each.local, each.remote), 0):
                    self._seen.add(number)
            ended = self._seen - set(after.inodes.values()) - set(after.places.values())
            self._seen -= ended
            self._seen_ended += len(ended)
            self._listening = {each.local for each in strangers if each.state == "listening"}
            new = []
            for each in strangers:
                key = (each.pid, each.protocol, each.local, each.remote)
                if key not in self._strangers and len(self._strangers) < _KEPT_MAX:
                    self._strangers[key] = {
                        "process": roles.get(each.pid, "?"), "pid": each.pid, "protocol": each.protocol, "local": each.local,
                        "remote": each.remote, "at_us": self._looked_us,
                    }  # fmt: skip
                    new.append(self._strangers[key])
        for fields in new:
            self._log(f"unexplained socket: {fields['protocol']} {fields['local']} to {fields['remote']} of the {fields['process']}")
            self._push("unexplained", fields)

    def note_gap(self, last: float, now: float, wait_s: float) -> float:
        """Whether the look at `now` came later after the one before than `wait_s` allows; returns `now`, the next one's `last`."""
        if now - last > wait_s + _LATE_S:
            with self._lock:
                self._gaps.append({"from_us": int(last * 1e6), "until_us": int(now * 1e6)})
        return now

    def _push(self, op: str, fields: dict[str, object]) -> None:
        if not self._tell(op, fields):
            with self._lock:
                self._waiting.append((op, fields))

    def _live(self) -> None:
        last = time.time()
        while True:
            wait_s = BUSY_S if self._broker.kept() else QUIET_S
            self._wake.wait(wait_s)
            if self._stopped:
                return
            self._wake.clear()
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the thread's edge: a witness that has died looks like one that sees nothing
                self._log(f"the system's table could not be read ({type(error).__name__}: {error})")
            else:
                last = self.note_gap(last, time.time(), wait_s)
            time.sleep(0.05)  # a burst of new connections is one look


def _now_us() -> int:
    return time.time_ns() // 1000
