"""The window as the keeper sees it: shown, told, revived, let go. It may be missing; the gateway does not depend on it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Final

from app.core.errors import AppError
from app.keeper.consent import STEERED, Consent
from app.keeper.links import link
from app.keeper.revive import BackOff
from app.keeper.running import Running, Starter, answer, unknown
from app.keeper.workers import Workers
from app.keeper.writers import Writers
from app.system import environment
from app.system.channel import Caller, Message
from app.system.desktop import open_page
from app.system.logs import tail
from app.system.processes import exit_words

END_S: Final = 2.0
_DELAYS_S: Final = (0, 1, 2)


class WindowChild:
    """boot: what it is told first. on_shown: a window came up. on_gone: there is none any more. on_say: a line for the person who
    started us. on_start_engine, on_quit: what the person clicked. logs: the last lines of each log, by the file's name. on_locks,
    on_tripped: what it measured of its locks, and what its tripwire refused; both on the reading thread. writers: who writes for it.

    Methods are for the deciding thread, except those that say otherwise.
    """

    def __init__(
        self,
        starter: Starter,
        boot: Mapping[str, object],
        consent: Consent,
        *,
        on_shown: Callable[[], None],
        on_gone: Callable[[], None],
        on_say: Callable[[str], None],
        on_line: Callable[[str], None],
        on_start_engine: Callable[[], None],
        on_quit: Callable[[str], None],
        logs: Callable[[], Mapping[str, list[str]]],
        on_locks: Callable[[Message], None],
        on_tripped: Callable[[Message], None],
        workers: Workers,
        writers: Writers,
    ) -> None:
        self._workers: Final = workers
        self._writers: Final = writers
        self._on_locks: Final = on_locks
        self._on_tripped: Final = on_tripped
        self._starter: Final = starter
        self._consent: Final = consent
        self._boot: Final = boot
        self._on_shown: Final = on_shown
        self._on_gone: Final = on_gone
        self._on_say: Final = on_say
        self._on_line: Final = on_line
        self._on_start_engine: Final = on_start_engine
        self._on_quit: Final = on_quit
        self._logs: Final = logs
        self._back_off: Final = BackOff(_DELAYS_S)
        self._display: dict[str, str] = {}
        self.running: Running | None = None

    def show(self, asked_from: Mapping[str, str]) -> None:
        """Bring it to the front, starting it if there is none. asked_from: the environment of the one who asks."""
        if self.running is not None:
            self.tell("show", {})
            return
        if not environment.has_display(asked_from):
            self._on_say("There is no display: the gateway runs without a window.")
            return
        self._display = environment.display(asked_from)
        self._starter.events.cancel("window")
        self._back_off.forgive()
        self._start()

    def tell(self, op: str, fields: dict[str, object]) -> None:
        """Nothing happens when there is no window."""
        if self.running is not None:
            self.running.caller.send(op, fields)

    def end(self) -> None:
        self._starter.events.cancel("window")
        if self.running is not None:
            self.running.end("quit", {}, END_S)

    def _environment(self) -> dict[str, str]:
        return self._starter.environment("gui", self._display)

    def _start(self) -> None:
        if self.running is not None:
            return
        self._back_off.started(time.monotonic())
        try:
            self.running = self._starter.start("gui", self._environment(), self._on_message, self._ended)
        except OSError as error:
            self._on_say(f"The window cannot be started: {error.strerror}. The gateway runs without it.")
            return
        self._on_line(f"the window starts as process {self.running.child.pid}")
        self.tell("boot", dict(self._boot))
        self.running.caller.start()
        self._on_shown()

    def _ended(self, running: Running, code: int) -> None:
        if running is not self.running:
            return
        self.running = None
        running.child.channel.close()
        self._on_line(f"the window (process {running.child.pid}) ended: {exit_words(code)}")
        self._on_gone()
        if code == 0:
            return  # closed by the person: the gateway goes on, and another launch opens it again
        if code == -signal.SIGTERM:
            self._on_quit("the window was asked to end")
            return
        delay_s = self._back_off.died(time.monotonic())
        if delay_s is not None:
            self._starter.events.after("window", delay_s, self._start)
            return
        self._on_say(
            "The window ended several times in a row; the gateway runs without it. Start Gatehouse again to open it. Its last lines:"
        )
        for line in tail(self._starter.log("gui"), 5):
            self._on_say(f"  {line}")

    def _on_message(self, caller: Caller, message: Message) -> None:
        """On the reading thread."""
        match message.get("op"):
            case "quit":
                reason = str(message.get("reason", ""))[:100]
                self._starter.events.post(lambda: self._on_quit(f"asked in the window: {reason}"))
            case "start_engine":
                self._starter.events.post(self._on_start_engine)
            case "open_link":
                answer(caller, message, lambda: self._open_link(message.get("name")))
            case op if op in STEERED:
                answer(caller, message, lambda: self._consent.steer("window", message))
            case "export":
                self._workers.run(lambda: self._export(caller, message))
            case "locks":
                self._on_locks(message)
            case "tripped":
                self._on_tripped(message)
            case "log":
                caller.reply(message, {"files": [{"name": name, "lines": lines} for name, lines in self._logs().items()]})
            case _:
                unknown(caller, message)

    def _export(self, caller: Caller, request: Message) -> None:
        """On a worker: the reply brings the stream on which the window gives what is to be written."""
        try:
            stream = self._writers.begin(request.get("kind"), request.get("path"))
        except AppError as error:
            caller.refuse(request, error)
            return
        except Exception as error:  # noqa: BLE001 - the edge of the thread: nobody must wait for nothing
            caller.refuse(request, AppError("internal", f"The keeper met an error of its own ({type(error).__name__})."))
            return
        with stream:
            caller.reply(request, {}, stream)

    def _open_link(self, name: object) -> None:
        """On the reading thread."""
        url = link(name)
        self._on_line(f"opens {url} in the browser")
        if not open_page(url, self._environment()):
            raise AppError("unknown_name", "This system has no way to open a page.", f"Open {url} yourself.")
