"""The engine as the keeper sees it: started, served, revived, given up, drained.

It gets the listening sockets at its start and everything else by asking: connections from the broker, secrets from the vault.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from app.core.errors import AppError
from app.keeper.broker import Broker
from app.keeper.consent import Consent
from app.keeper.listeners import Listeners
from app.keeper.revive import BackOff
from app.keeper.running import Running, Starter, answer, unknown
from app.keeper.stand_in import StandIn
from app.keeper.vault import Vault
from app.keeper.workers import Workers
from app.system.channel import Caller, Message
from app.system.logs import tail
from app.system.processes import exit_words

Report = dict[str, object]

DRAIN_S: Final = 5.0
_DELAYS_S: Final = (0, 1, 2, 4, 8)
_HOUR_US: Final = 3_600_000_000
_CRASHES_MAX: Final = 500


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
    ) -> None:
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
        self._now("starting")
        try:
            self.running = self._starter.start("engine", self._starter.environment("engine"), self._on_message, self._ended)
        except OSError as error:
            self._died(f"cannot be started ({error.strerror})")
            return
        self._on_line(f"the engine starts as process {self.running.child.pid}")
        boot = {"op": "boot", **self._boot, "restarts": self._restarts, "listeners": self._listeners.names()}
        try:
            self.running.child.channel.send(boot, *self._listeners.sockets())
        except OSError:
            return  # it is dead already; its end is on the way
        self.running.caller.start()
        self.tell_vault()

    def start_again(self) -> None:
        """A person asked for it, whatever happened before."""
        self._back_off.forgive()
        self._starter.events.cancel("engine")
        self.start()

    def tell_vault(self) -> None:
        """How the vault is, and the keys if they are here."""
        if self.running is not None and self._vault.asked:
            self._tell_vault(self.running.caller)

    def _tell_vault(self, caller: Caller) -> None:
        """From any thread."""
        caller.send("vault", self._vault.view.fields() | {"keys": self._vault.engine_keys()})

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

    def last_lines(self) -> list[str]:
        """Of its log. From any thread."""
        return tail(self._starter.log("engine"))

    def _ended(self, running: Running, code: int) -> None:
        if running is not self.running:
            return
        self.running = None
        running.child.channel.close()
        if lost := self._broker.engine_ended():
            self._watched.lost(lost)
        self._consent.engine_ended()
        self._on_line(f"the engine (process {running.child.pid}) ended: {exit_words(code)}")
        self._died(exit_words(code))

    def _died(self, words: str) -> None:
        delay_s = self._back_off.died(time.monotonic())
        self._restarts += 1
        self._crashes_us.append(_now_us())
        if delay_s is not None:
            self._now("crashed", next_s=delay_s, ended=words)
            self._starter.events.after("engine", delay_s, self.start)
        else:
            self._on_line(f"the engine is not started again: it ended {self._back_off.in_a_row} times in a row")
            self._stand_in = StandIn(self._listeners.sockets(), self._listeners.names(), self._workers)
            self._now("stopped", ended=words)

    def _now(
        self, state: Literal["starting", "up", "crashed", "stopped"], *, next_s: float | None = None, ended: str | None = None
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
        }
        self._on_report(self.report)

    def _ready(self, caller: Caller) -> None:
        if self.running is not None and self.running.caller is caller:
            self._now("up")
            self._watched.engine_up()  # after that: until then `tell` finds nobody

    def _on_message(self, caller: Caller, message: Message) -> None:
        """On the reading thread: quick answers at once, slow ones by a worker, the rest as events."""
        events, workers = self._starter.events, self._workers
        match message.get("op"):
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
