"""The keeper: what a double click starts. One instance, the ports, the children, and their end.

Everything that happens becomes an event, and one thread, the main one, decides (`events`). What may block, a dial or a keyring, runs on
workers and answers whoever asked. So there is no state with two writers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app import __version__
from app.core.errors import AppError
from app.core.records import Destination
from app.egress import tripwire
from app.keeper.broker import Broker, Change, Refusal
from app.keeper.consent import BEFORE, STEERED, Consent
from app.keeper.engine_child import EngineChild, Report
from app.keeper.events import Events
from app.keeper.grants import Grants
from app.keeper.listeners import open_listeners
from app.keeper.proof import Prover
from app.keeper.remembered import Remembered
from app.keeper.running import Starter
from app.keeper.vault import Vault, Wanted
from app.keeper.watch import Watch
from app.keeper.watchdog import Patience
from app.keeper.window_child import WindowChild
from app.keeper.workers import Workers
from app.keeper.writers import Writers
from app.system import bytecode, environment, sandbox, socket_table
from app.system.channel import problem
from app.system.children import Child, own_command
from app.system.folders import unusable
from app.system.instance import Instance, Running, acquire
from app.system.logs import CAN_ROTATE_WHILE_WRITTEN, Claims, Log, recent, rotate
from app.system.paths import Paths, temporary_folder
from app.system.processes import allow_many_descriptors

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_RUNNING: Final = 3

_PROOF_S: Final = 3.0
_VAULT_AGAIN_S: Final = 20.0
_LOG_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How it is started. port 0: any free one. port_fixed: that port or none; else the next free one will do. vault: `auto` is what the
    data folder says, and for a new one the system's keyring.

    window: without one it is `serve`. command: how the child of a name is started. patience: with an engine that does not answer.
    """

    data_dir: Path
    port: int = 4141
    port_fixed: bool = False
    vault: Wanted = "auto"
    passphrase_file: Path | None = None
    window: bool = True
    command: Callable[[str], Sequence[str]] = own_command
    patience: Patience = field(default_factory=Patience)


def run(options: Options) -> int:
    """Keep the gateway until somebody quits it. Exit code 0 after that, 1 when the engine failed for good, 3 when another already runs.

    AppError when it cannot start: data_folder, port_taken, vault_passphrase, vault_denied.
    """
    found = environment.scrub()
    allow_many_descriptors()
    bytecode.renew(Path(__file__).parents[1])  # before there is a channel or a key
    sandbox.lock("keeper")
    tripwire.arm("keeper")
    # 1. the folder; a session has its data in one that ends with it
    session = options.vault == "session"
    paths = Paths(temporary_folder(), named=options.data_dir) if session else Paths(options.data_dir)
    try:
        paths.prepare()
        # 2. the one instance
        instance = acquire(paths, {"op": "show" if options.window else "ping", "display": environment.display(os.environ)})
        if isinstance(instance, Running):
            return _already(instance, options)
        # 3. everything else
        with contextlib.closing(instance):
            if instance.ephemeral_left is not None:
                Paths(instance.ephemeral_left).remove_temporary()
            paths.move_in()
            return Keeper(options, paths, instance, found).run()
    finally:
        if session:
            paths.remove_temporary()


class Keeper:
    """One run. Every method is for the main thread, except those that say otherwise."""

    def __init__(self, options: Options, paths: Paths, instance: Instance, found: tuple[str, ...]) -> None:
        try:
            self._log: Final = Log(paths.logs / "keeper.log")
        except OSError as error:
            raise unusable(paths.logs, error) from None
        self._claims: Final = Claims(self._log.line)
        self._options: Final = options
        self._paths: Final = paths
        self._instance: Final = instance
        self._found: Final = found
        self._events: Final = Events()
        self._workers: Final = Workers()
        self._starter: Final = Starter(options.command, paths, self._events)
        self._listeners: Final = open_listeners(paths, options.port, fixed=options.port_fixed)
        self._proven = self._settled = self._said_ready = False
        self._exit: int | None = None
        self._reason = "an error of its own"
        self._failure: AppError | None = None
        self._ending = False

        listeners, secret, post = self._listeners, os.urandom(32), self._events.post
        place: dict[str, object] = {
            "data_dir": os.fspath(paths.data_dir),
            "control": listeners.control,
            "control_token": listeners.token,
            "port": listeners.port,
            "addresses": listeners.addresses,
            "port_note": listeners.note,
        }
        session = options.vault == "session"
        self._prover: Final = Prover(listeners.port, secret, lambda wrong: post(lambda: self._proved(wrong)))
        self._vault: Final = Vault(
            paths,
            options.vault,
            start_child=self._start_vault_child,
            on_change=lambda: post(self._vault_changed),
            on_hint=lambda: self._workers.run(self._look_at_vault),
        )
        self._remembered: Final = Remembered(
            None if session else paths.data_dir / "declared.json", self._vault.remembering_key, self._log.line
        )
        self._consent: Final = Consent(
            Grants(self._log.line, self._waiting_changed, claim=self._claims.line),
            self._remembered,
            self._activate,
            self._withdraw,
            self._tell_soon,
            self._log.line,
        )
        self._broker: Final = Broker(
            listeners.port,
            self._declared,
            self._claims.line,
            consent=self._consent,
            on_refused=self._refused,
            on_asked=self._asked,
        )
        self._watch: Final = Watch(
            self._broker,
            listeners,
            found,
            self._pids,
            self._tell_engine,
            self._claims.line,
            self._leaks_of_the_window,
            self._consent.waiting,
        )
        self._engine: Final = EngineChild(
            self._starter,
            listeners,
            place | {"runtime_dir": os.fspath(paths.runtime), "proof_secret": secret.hex(), "ephemeral": session},
            self._broker,
            self._consent,
            self._vault,
            self._workers,
            on_report=self._engine_reported,
            on_settled=self._engine_settled,
            on_line=self._log.line,
            on_show=lambda: self._window.show(os.environ),
            on_quit=lambda reason: self._quit(f"asked by the engine: {reason}"),
            watched=self._watch,
            patience=options.patience,
            folder=paths.runtime,
        )
        self._writers: Final = Writers(
            self._start_writer_child,
            (paths.data_dir, options.data_dir, paths.runtime),
            os.environ,
            self._claims.line,
            changed=lambda: post(self._record),
            on_tripped=self._watch.reported,
        )
        self._window: Final = WindowChild(
            self._starter,
            place | {"tray": True, "version": __version__, "environment": list(found)},
            self._consent,
            on_shown=self._window_shown,
            on_gone=self._window_gone,
            on_say=self._say,
            on_line=self._claims.line,
            on_start_engine=self._engine.start_again,
            on_quit=self._quit,
            logs=self._logs,
            on_locks=lambda message: self._watch.locked("window", message),
            on_tripped=self._watch.reported,
            workers=self._workers,
            writers=self._writers,
        )
        if (wire := tripwire.armed()) is not None:
            wire.attach(self._watch.tripped)
        self._watch.start()

    def run(self) -> int:
        self._log.line(f"Gatehouse {__version__} starts as process {os.getpid()} on {', '.join(self._listeners.addresses)}")
        if self._found:
            self._log.line(f"not passed on: {', '.join(self._found)}")
        try:
            passphrase = self._passphrase()
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
                if number := getattr(signal, name, None):
                    signal.signal(number, self._on_signal)
            if self._listeners.note:
                self._say(self._listeners.note)
            self._instance.serve(self._on_second_launch)
            self._vault_changed() if self._vault.asked else self._workers.run(lambda: self._open_vault(passphrase))
            self._engine.start()
            if self._options.window:
                self._window.show(os.environ)
            self._tick()
            self._events.run()
        finally:
            self._shut_down()
        if self._failure is not None:
            raise self._failure
        return EXIT_OK if self._exit is None else self._exit

    def _tick(self) -> None:
        self._engine.look()
        self._vault.close_idle()
        if self._vault.watch_due():
            self._workers.run(self._vault.keep_watch)
        for log in self._paths.logs.glob("*.log") if CAN_ROTATE_WHILE_WRITTEN else ():
            rotate(log)
        self._events.after("tick", self._options.patience.tick_s, self._tick)

    # the end

    def _on_signal(self, number: int, frame: object) -> None:
        """Between any two steps of the main thread. The first asks for an orderly end, the next one, during that, for one at once."""
        del frame
        if self._ending:
            for running in (self._engine.running, self._window.running):
                if running is not None:
                    running.child.kill()
        self._events.post(lambda: self._quit(f"signal {signal.Signals(number).name}"))

    def _quit(self, reason: str, code: int = EXIT_OK) -> None:
        if self._exit is None:
            self._log.line(f"quits: {reason}")
            self._reason, self._exit = reason, code
            self._events.stop()

    def _shut_down(self) -> None:
        """Engine first, so that it can drain while the rest still serves it; then the window; then the keys. No process is left."""
        self._ending = True
        self._instance.stop_serving()
        self._engine.drain(self._reason)
        self._window.end()
        self._writers.close()
        self._vault.close()
        self._broker.engine_ended()
        self._watch.stop()
        self._prover.stop()
        self._listeners.close(self._paths)
        self._log.line("ended")

    # the engine

    def _engine_reported(self, report: Report) -> None:
        self._window.tell("engine", report)
        self._record()
        if report["state"] == "starting":
            return
        self._prover.now()
        if report["state"] == "stopped" and self._window.running is None:
            self._say(f"The engine ended several times in a row, the last time: {report['exit']}. Its last lines:")
            for line in self._engine.last_lines()[-5:]:
                self._say(f"  {line}")
            self._quit("the engine failed for good", EXIT_FAILED)

    def _logs(self) -> dict[str, list[str]]:
        """From any thread. Ours first: it says how the engine ended, which the engine itself may have had no time to write."""
        return {path.name: recent(path, _LOG_LINES) for path in (self._log.path, self._starter.log("engine"))}

    def _declared(self, change: Change, account: str, destination: Destination, by: str) -> None:
        """On the engine's reading thread, or on that of whoever confirmed it: the list of destinations changed. Announced by us."""
        as_before = by == BEFORE and change == "added"
        wished = change == "added" and not as_before  # as often as a person says; the rest as often as the engine likes
        (self._log if wished else self._claims).line(f"destination {change}{f' ({by})' if by else ''}: {account} -> {destination}")
        self._watch.changed(change, account, str(destination), by=by, as_before=as_before)
        if as_before:
            return
        also = [each["account"] for each in self._broker.declared() if each["destination"] == str(destination)]
        fields: dict[str, object] = {"change": change, "account": account, "destination": str(destination), "at_us": _now_us()}
        fields["also"] = [other for other in also if other != account]
        self._events.post(lambda: self._window.tell("declared", fields))
        try:
            (self._remembered.add if change == "added" else self._remembered.remove)(account, destination)
        except AppError as error:
            self._log.line(f"the list of destinations could not be written: {error}")

    def _activate(self, account: str, where: str, by: str) -> bool:
        """From any thread: a person confirmed it."""
        return self._broker.confirm(account, where, by)

    def _withdraw(self, account: str) -> None:
        """From any thread: a person removed it."""
        self._broker.withdraw(account)

    def _tell_soon(self, op: str, fields: dict[str, object]) -> None:
        """From any thread: the engine hears it, this one or the next."""
        self._watch.told(op, fields)

    def _waiting_changed(self) -> None:
        """From any thread: what waits for a person is different."""
        self._events.post(lambda: self._window.tell("waiting", self._consent.waiting()))

    def _refused(self, refusal: Refusal) -> None:
        """On the thread that dials."""
        self._watch.refused(refusal)

    def _asked(self, name: str, found: int) -> None:
        """On the thread that looks up."""
        self._watch.asked(name, found)

    def _pids(self) -> dict[str, int]:
        """Our processes by role. From any thread."""
        found = {"keeper": os.getpid()}
        for role, running in (("engine", self._engine.running), ("window", self._window.running)):
            if running is not None:
                found[role] = running.child.pid
        found |= {f"vault {number}": child.pid for number, child in enumerate(self._vault.children(), 1)}
        return found | {f"writer {number}": child.pid for number, child in enumerate(self._writers.children(), 1)}

    def _tell_engine(self, op: str, fields: dict[str, object]) -> bool:
        """From any thread."""
        return self._engine.tell(op, fields)

    def _leaks_of_the_window(self) -> list[object]:
        """On a worker: what the window found when it tried to get out; [] when there is none."""
        running = self._window.running
        if running is None:
            return []
        found = running.caller.call("try_to_leak", timeout_s=20)[0].get("attempts")
        return found if isinstance(found, list) else []

    def _proved(self, wrong: str) -> None:
        self._window.tell("proof", {"ok": not wrong, "message": wrong, "at_us": _now_us()})
        self._proven = self._proven or not wrong
        self._say_ready()

    def _engine_settled(self) -> None:
        self._settled = True
        self._say_ready()

    def _say_ready(self) -> None:
        """Once: our own listener proved itself, and the engine acted on the vault's first answer, whatever that was."""
        if self._said_ready or not (self._proven and self._settled and self._vault.asked):
            return
        self._said_ready = True
        if not self._options.window:
            with contextlib.suppress(OSError):
                print(f"ready http://127.0.0.1:{self._listeners.port} keys={self._vault.view.word()}", flush=True)  # noqa: T201 - scripts wait for it
        self._say_locked()

    # the vault

    def _passphrase(self) -> str | None:
        if self._options.passphrase_file is None:
            return None
        try:
            return self._options.passphrase_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            raise AppError("vault_passphrase", "The passphrase file cannot be read.", "Check --passphrase-file.") from None

    def _open_vault(self, passphrase: str | None) -> None:
        """On a worker, at the start. Never prompts."""
        try:
            self._vault.open(prompt=False, passphrase=passphrase)
        except AppError as error:
            failure = error
            self._events.post(lambda: self._fail(failure))
            return
        self._vault.keep_watch()

    def _look_at_vault(self) -> None:
        """On a worker: the keyring may be another than it was. Never prompts."""
        self._vault.look()
        self._events.post(self._look_later)

    def _look_later(self) -> None:
        """A keyring that is closed is looked at again: not every system tells when it opens."""
        if self._vault.view.closed:
            self._events.after("vault", _VAULT_AGAIN_S, lambda: self._workers.run(self._look_at_vault))

    def _fail(self, error: AppError) -> None:
        self._failure = error
        self._quit(str(error), EXIT_FAILED)

    def _start_vault_child(self) -> Child:
        """On a worker."""
        child = Child(self._options.command("vault"), self._starter.environment("vault"), self._starter.log("vault"), lambda code: None)
        self._events.post(self._record)
        return child

    def _start_writer_child(self, files: Sequence[int]) -> Child:
        """On a worker."""
        command, given = self._options.command("writer"), self._starter.environment("writer")
        return Child(command, given, self._starter.log("writer"), lambda code: None, files)

    def _vault_changed(self) -> None:
        view = self._vault.view
        self._log.line(f"vault: {view.mode}, {view.state}, {view.place}")
        self._engine.tell_vault()
        self._look_later()
        self._say_ready()
        self._say_locked()

    def _say_locked(self) -> None:
        view = self._vault.view
        if self._said_ready and self._vault.asked and view.state != "ready":
            self._say(view.message)

    # the window, and others who start us

    def _window_shown(self) -> None:
        self._record()
        self._window.tell("engine", self._engine.report)
        self._window.tell("waiting", self._consent.waiting())
        self._prover.every_s = _PROOF_S
        self._prover.now()

    def _window_gone(self) -> None:
        self._record()
        self._prover.every_s = None

    def _on_second_launch(self, question: dict[str, Any]) -> dict[str, object]:
        """On the instance's thread: another launch asks who we are, and may want to see the window on its own display; or the command line
        says what a person wants."""
        try:
            if question.get("op") in STEERED and self._is_ours(question.get("peer")):
                self._claims.line(f"refused: one of our own processes wants to speak for a person ({question.get('op')})")
                raise AppError("peer_not_allowed", "This is for the person's own programs.")
            # A child of the window that outlived it asks here, too: the log must not say that the person typed it.
            by = "command line" if not sandbox.more_locked(question.get("peer")) else "command line, from a locked process"
            answer = self._consent.steer(by, question)
        except AppError as error:
            return {"error": problem(error)}
        if answer is not None:
            return answer
        if question.get("op") == "show":
            display = question.get("display")
            asked_from = {str(name): str(value) for name, value in display.items()} if isinstance(display, dict) else {}
            if self._is_ours(question.get("peer")) or sandbox.more_locked(question.get("peer")):
                asked_from = environment.display(os.environ)  # it does not choose: on a screen elsewhere a window has no lock
            self._events.post(lambda: self._window.show(asked_from))
        return {"port": self._listeners.port, "version": __version__}

    def _is_ours(self, pid: object) -> bool:
        """One of our children, or of theirs. Where the kernel locks them, none gets as far as to ask."""
        children = [child for role, child in self._pids().items() if role != "keeper"]
        return pid in children or any(pid in socket_table.children(child) for child in children)

    def _record(self) -> None:
        """Who runs, for a keeper that has to take over from a dead one."""
        running = [each.running.child for each in (self._engine, self._window) if each.running is not None]
        children = [[child.pid, child.started] for child in running + self._vault.children() + self._writers.children()]
        self._instance.record(children, self._paths.data_dir if self._options.vault == "session" else None)

    def _say(self, text: str) -> None:
        """To the log, and to the person who started us in a terminal."""
        self._log.line(text)
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def _already(other: Running, options: Options) -> int:
    """A window was asked to show itself; a second `serve` is told why it cannot."""
    if options.window:
        return EXIT_OK
    where = f"http://127.0.0.1:{other.facts.get('port')}"
    print(f"Gatehouse already runs for this data folder: process {other.pid}, {where}.", file=sys.stderr, flush=True)  # noqa: T201
    return EXIT_RUNNING


def _now_us() -> int:
    return time.time_ns() // 1000
