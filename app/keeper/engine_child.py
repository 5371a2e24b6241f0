"""The engine as the keeper sees it: started, served, revived, given up, drained.

It gets the listening sockets at its start and everything else by asking: connections from the broker, secrets from the vault. At each
tick it is looked at: one that stands still is ended and started again, which counts apart from its own ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

from app.core.errors import AppError
from app.core.stuck import Stuck, advice
from app.keeper import stand_in
from app.keeper.broker import Broker
from app.keeper.consent import Consent
from app.keeper.listeners import Listeners
from app.keeper.revive import BackOff
from app.keeper.running import Running, Starter, answer, unknown
from app.keeper.stand_in import StandIn
from app.keeper.vault import Vault
from app.keeper.watchdog import Patience, Question, Standstill, Watchdog
from app.keeper.workers import Workers
from app.system import shared_page
from app.system.channel import Caller, Message
from app.system.effort import effort, passed_s, thread_seconds
from app.system.logs import tail
from app.system.processes import exit_words
from app.system.shared_page import Page

Report = dict[str, object]

DRAIN_S: Final = 5.0
_DELAYS_S: Final = (0, 1, 2, 4, 8)
_HOUR_US: Final = 3_600_000_000
_CRASHES_MAX: Final = 500
_STUCK_MAX: Final = 20
_WAITS_S: Final = 5.0  # a client is not kept waiting longer for the next engine
_BETWEEN_S: Final = 0.2
_UNSEEN_LOOKS: Final = 3  # one that just ended is not seen either


class Watched(Protocol):
    """What of the network is told to, and asked of, the keeper's watch."""

    def locked(self, role: str, message: Message) -> None: ...
    def reported(self, message: Message) -> None: ...
    def engine_up(self) -> None: ...
    def dialled(self) -> None: ...
    def lost(self, connections: list[dict[str, object]]) -> None: ...
    def facts(self) -> dict[str, object]: ...
    def try_to_leak(self) -> dict[str, object]: ...


class EngineChild:
    """on_report: a new state, for the window. on_settled: it acted on the vault's answer, whatever that was. on_line: something
    for keeper.log. The others: what the engine asks of the keeper.

    Methods are for the deciding thread, except those that say otherwise.
    """

    def __init__(
        self,
        starter: Starter,
        listeners: Listeners,
        boot: Mapping[str, object],
        broker: Broker,
        consent: Consent,
        vault: Vault,
        workers: Workers,
        *,
        on_report: Callable[[Report], None],
        on_settled: Callable[[], None],
        on_line: Callable[[str], None],
        on_show: Callable[[], None],
        on_quit: Callable[[str], None],
        watched: Watched,
        patience: Patience,
        folder: Path,
    ) -> None:
        """folder: private, for the page where memory without a name needs a file."""
        self._patience: Final = patience
        self._folder: Final = folder
        self._watched: Final = watched
        self._starter: Final = starter
        self._listeners: Final = listeners
        self._boot: Final = boot
        self._broker: Final = broker
        self._consent: Final = consent
        self._vault: Final = vault
        self._workers: Final = workers
        self._on_report: Final = on_report
        self._on_settled: Final = on_settled
        self._on_line: Final = on_line
        self._on_show: Final = on_show
        self._on_quit: Final = on_quit
        self._back_off: Final = BackOff(_DELAYS_S)
        self._restarts = 0
        self._crashes_us: deque[int] = deque(maxlen=_CRASHES_MAX)
        self._stuck_back_off: Final = BackOff(patience.pauses_s, patience.steady_s, goes_on=True)
        self._stuck: deque[Stuck] = deque(maxlen=_STUCK_MAX)
        self._noted: set[int] = set()
        self._watchdog: Watchdog | None = None
        self._ending: tuple[Running, Stuck] | None = None
        self._page: Page | None = None
        self._hearing = False
        self._unseen = 0
        self._stand_in: StandIn | None = None
        self.running: Running | None = None
        self.report: Report = {}

    def start(self) -> None:
        if self.running is not None:
            return
        if self._stand_in is not None:
            self._stand_in.stop()
            self._stand_in = None
        self._back_off.started(time.monotonic())
        self._stuck_back_off.started(time.monotonic())
        self._now("starting")
        page = self._new_page()
        inherited = () if page is None else page.inherited
        try:
            self.running = self._starter.start("engine", self._starter.environment("engine"), self._on_message, self._ended, inherited)
        except OSError as error:
            self._died(f"cannot be started ({error.strerror})")
            return
        self._on_line(f"the engine starts as process {self.running.child.pid}")
        boot = {"op": "boot", **self._boot, "restarts": self._restarts, "listeners": self._listeners.names()}
        boot |= {"page": None if page is None else page.name, "stuck": self._stuck_fields()}
        try:
            self.running.child.channel.send(boot, *self._listeners.sockets())
        except OSError:
            return  # it is dead already; its end is on the way
        self.running.caller.start()
        self.tell_vault()

    def look(self) -> None:
        """At each tick: one that stands still is ended."""
        running, watchdog = self.running, self._watchdog
        if running is None or watchdog is None:
            return
        computed = effort(running.child.pid)
        self._unseen = self._unseen + 1 if computed is None else 0
        if self._unseen == _UNSEEN_LOOKS:
            self._on_line("this system does not show what the engine computes: one that stands still would not be ended")
        found = watchdog.look(passed_s(), computed, hearing=self._hearing)
        if isinstance(found, Question):
            running.caller.send("ping", {"number": found.number})
        elif isinstance(found, Standstill):
            stuck = self._describe(running, found)
            if not watchdog.waits:
                return  # it came to its end in this very moment
            self._watchdog = None
            self._ending = running, stuck
            self._on_line(f"{stuck.sentence()} It had computed for {stuck.cpu_s} s of them; process {running.child.pid}")
            running.child.kill()

    def _describe(self, running: Running, found: Standstill) -> Stuck:
        """What it was at is its own word; which of several things it was, the system says. What changes meanwhile does not stand still."""
        first, before = self._read_page(), thread_seconds(running.child.pid)
        time.sleep(_BETWEEN_S)
        second, after = self._read_page(), thread_seconds(running.child.pid)
        entries = shared_page.lasting(first, second)
        entries.sort(key=lambda one: before.get(one.thread, 0) - after.get(one.thread, 0))  # it stays as it is where none is known
        said = [dict(zip(("request", "client", "endpoint", "model"), one.fields, strict=False)) for one in entries]
        also = [one["request"] for one in said[1:] if one.get("request")]
        fields = {"at_us": _now_us(), "silent_s": round(found.silent_s), "cpu_s": round(found.cpu_s), "also": also}
        return Stuck.of((said[0] if said else {}) | fields)

    def _read_page(self) -> bytes:
        return b"" if self._page is None else self._page.read()

    def _new_page(self) -> Page | None:
        """A page for the engine that is started, so that one that is still ending writes on its own."""
        if self._page is not None:
            self._page.close()
        self._page = None
        try:
            self._page = Page(self._folder)
        except OSError as error:
            self._on_line(f"an engine that stands still cannot be asked what it was at: {error.strerror}")
        return self._page

    def _stuck_fields(self) -> list[dict[str, object]]:
        """The newest last. noted: it is in the audit log."""
        return [one.fields() | {"noted": one.at_us in self._noted} for one in self._stuck]

    def start_again(self) -> None:
        """A person asked for it, whatever happened before."""
        self._back_off.forgive()
        self._stuck_back_off.forgive()
        self._starter.events.cancel("engine")
        self.start()

    def tell_vault(self) -> None:
        """How the vault is, and the keys if they are here."""
        if self.running is not None and self._vault.asked:
            self._tell_vault(self.running.caller)

    def _tell_vault(self, caller: Caller) -> None:
        """From any thread."""
        caller.send("vault", self._vault.view.fields() | {"keys": self._vault.engine_keys(), "runs": self._vault.runs()})

    def tell(self, op: str, fields: dict[str, object]) -> bool:
        """A push. False when no engine is there to hear it."""
        running = self.running
        if running is None or self.report.get("state") != "up":
            return False
        running.caller.send(op, fields)
        return True

    def drain(self, reason: str) -> None:
        """Its orderly end, at most `DRAIN_S`, then the other kind."""
        self._starter.events.cancel("engine")
        if self._stand_in is not None:
            self._stand_in.stop()
        if self.running is not None:
            self.running.end("drain", {"reason": reason}, DRAIN_S)
        if self._page is not None:
            self._page.close()
            self._page = None

    def last_lines(self) -> list[str]:
        """Of its log. From any thread."""
        return tail(self._starter.log("engine"))

    def _ended(self, running: Running, code: int) -> None:
        if running is not self.running:
            return
        self.running = self._watchdog = None
        running.child.channel.close()
        if lost := self._broker.engine_ended():
            self._watched.lost(lost)
        self._consent.engine_ended()
        self._on_line(f"the engine (process {running.child.pid}) ended: {exit_words(code)}")
        ending, self._ending = self._ending, None
        if ending is not None and ending[0] is running:
            self._ended_stuck(ending[1])
        else:
            self._died(exit_words(code))

    def _ended_stuck(self, stuck: Stuck) -> None:
        """Ended by us: it does not count as an end of its own, and is never given up for this."""
        delay_s = self._stuck_back_off.died(time.monotonic()) or 0.0
        self._restarts += 1
        self._stuck.append(stuck)
        self._noted &= {one.at_us for one in self._stuck}
        if again := advice(self._stuck):
            self._on_line(again)
        if delay_s >= _WAITS_S:
            self._on_line(f"the engine stood still {self._stuck_back_off.in_a_row} times in a row: it is started again in {delay_s:g} s")
            self._stand_in = StandIn(self._listeners.sockets(), self._listeners.names(), self._workers, stand_in.stuck(delay_s))
        self._now("crashed", next_s=delay_s, ended=stuck.sentence(), unanswering=True)
        self._starter.events.after("engine", delay_s, self.start)

    def _died(self, words: str) -> None:
        delay_s = self._back_off.died(time.monotonic())
        self._restarts += 1
        self._crashes_us.append(_now_us())
        if delay_s is not None:
            self._now("crashed", next_s=delay_s, ended=words)
            self._starter.events.after("engine", delay_s, self.start)
        else:
            self._on_line(f"the engine is not started again: it ended {self._back_off.in_a_row} times in a row")
            self._stand_in = StandIn(self._listeners.sockets(), self._listeners.names(), self._workers, stand_in.FAILED)
            self._now("stopped", ended=words)

    def _now(
        self,
        state: Literal["starting", "up", "crashed", "stopped"],
        *,
        next_s: float | None = None,
        ended: str | None = None,
        unanswering: bool = False,
    ) -> None:
        now_us = _now_us()
        self.report = {
            "state": state,
            "restarts": self._restarts,
            "next_s": next_s,
            "exit": ended,
            "log": [] if ended is None else self.last_lines(),
            "at_us": now_us,
            "crashes_us": [at_us for at_us in self._crashes_us if at_us > now_us - _HOUR_US],
            "unanswering": unanswering,
            "stuck": [one.fields() for one in self._stuck if one.at_us > now_us - _HOUR_US],
        }
        self._on_report(self.report)

    def _ready(self, caller: Caller) -> None:
        if self.running is not None and self.running.caller is caller:
            self._watchdog = Watchdog(self._patience)
            self._now("up")
            self._watched.engine_up()  # after that: until then `tell` finds nobody

    def _on_message(self, caller: Caller, message: Message) -> None:
        """On the reading thread."""
        self._hearing = True
        try:
            self._hear(caller, message)
        finally:
            self._hearing = False

    def _hear(self, caller: Caller, message: Message) -> None:
        """Quick answers at once, slow ones by a worker, the rest as events."""
        events, workers = self._starter.events, self._workers
        match message.get("op"):
            case "alive":
                watchdog, running = self._watchdog, self.running
                if watchdog is not None and running is not None and running.caller is caller:
                    watchdog.answered(message.get("number"))
            case "stuck_noted":
                events.post(lambda: self._noted.update(one.at_us for one in self._stuck if one.at_us == message.get("at_us")))
            case "dial":
                workers.run(lambda: self._dial(caller, message))
            case "closed":
                counts = self._broker.closed(message.get("connection"))
                caller.reply(message, {"bytes_out": counts and counts[0], "bytes_in": counts and counts[1]})
            case "declare":
                answer(caller, message, lambda: self._declare(message))
            case "may_declare":
                answer(caller, message, lambda: self._consent.may_declare(message))
            case "change":
                answer(caller, message, lambda: self._consent.change(message))
            case "settings":
                answer(caller, message, lambda: self._consent.settings(message))
            case "withdraw":
                answer(caller, message, lambda: self._broker.withdraw(message.get("account")))
            case "secret_get" | "secret_put" | "secret_remove" | "audit_get" | "audit_put" | "unlock" as op:
                workers.run(lambda: answer(caller, message, lambda: self._secret(op, message, caller)))
            case "runs_sealed":
                workers.run(lambda: answer(caller, message, self._vault.runs_sealed))
            case "forget":
                workers.run(self._vault.forget)
            case "settled":
                events.post(self._on_settled)
            case "locks":
                self._watched.locked("engine", message)
            case "tripped":
                self._watched.reported(message)
            case "number_after":
                self._broker.number_after(message.get("number"))
                caller.reply(message)
            case "network":
                workers.run(lambda: answer(caller, message, self._watched.facts))
            case "try_to_leak":
                workers.run(lambda: answer(caller, message, self._watched.try_to_leak))
            case "ready":
                events.post(lambda: self._ready(caller))
            case "show":
                events.post(self._on_show)
                caller.reply(message)
            case "quit":
                reason = str(message.get("reason", ""))[:100]
                events.post(lambda: self._on_quit(reason))
                caller.reply(message)
            case _:
                unknown(caller, message)

    def _dial(self, caller: Caller, request: Message) -> None:
        """On a worker."""
        try:
            dialled = self._broker.dial(request.get("account"), purpose=request.get("purpose", "exchange"))
        except AppError as error:
            caller.refuse(request, error)
            return
        except Exception as error:  # noqa: BLE001 - the edge of the thread: nobody must wait for nothing
            caller.refuse(request, AppError("internal", f"The keeper met an error of its own ({type(error).__name__})."))
            return
        times: dict[str, object] = {"resolve_ms": round(dialled.resolve_ms, 3), "connect_ms": round(dialled.connect_ms, 3)}
        if not caller.reply(request, {"connection": dialled.connection, "address": dialled.address} | times, dialled.sock):
            self._broker.closed(dialled.connection)  # the asker is gone
        self._watched.dialled()

    def _declare(self, message: Message) -> dict[str, object]:
        active = self._broker.declare(*(message.get(name) for name in ("account", "scheme", "host", "port", "local")))
        return {"held": not active}

    def _secret(self, op: str, message: Message, caller: Caller) -> dict[str, object] | None:
        """On a worker: what the vault answers."""
        match op:
            case "secret_get":
                return {"secret": self._vault.secret_get(message.get("name"))}
            case "secret_put":
                return {"place": self._vault.secret_put(message.get("name"), message.get("secret"))}
            case "secret_remove":
                self._vault.secret_remove(message.get("name"))
                return None
            case "audit_get":
                return {"text": self._vault.audit_get(message.get("item"))}
            case "audit_put":
                return {"place": self._vault.audit_put(message.get("item"), message.get("text"))}
            case _:
                passphrase = message.get("passphrase") if isinstance(message.get("passphrase"), str) else None
                if passphrase is None or self._vault.view.mode != "passphrase":
                    self._consent.may_ask()  # a dialog on the person's screen; who gives the passphrase is a person
                view = self._vault.open(prompt=True, passphrase=passphrase)
                self._tell_vault(caller)  # before the answer, so that whoever asked finds the engine as it was told
                return view.fields()


def _now_us() -> int:
    return time.time_ns() // 1000
