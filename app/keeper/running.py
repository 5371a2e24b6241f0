"""A child as the keeper has it: the process, the line to it, and what to do when either ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.keeper.events import Events
from app.system import environment
from app.system.channel import Caller, Message
from app.system.children import Child
from app.system.paths import Paths

OnMessage = Callable[[Caller, Message], None]
OnEnd = Callable[["Running", int], None]

# A child that lost its line ends by itself within five seconds; past this it hangs.
_DEAF_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class Starter:
    """How children are started: `command(verb)` with their output in the logs, their end told to `events`."""

    command: Callable[[str], Sequence[str]]
    paths: Paths
    events: Events

    def environment(self, verb: environment.Child, display: Mapping[str, str] | None = None) -> dict[str, str]:
        """As `environment.constructed`, with the one folder in which a child of this kind may change files: where it really is, because
        a child that locks itself opens nothing through a link, and the data folder may be one of the person's own."""
        place = self.paths.data_dir.resolve()
        folders = {"engine": place / self.paths.engine.name, "gui": place / self.paths.window.name, "vault": place}
        return environment.constructed(verb, os.environ, display, folder=folders.get(verb))

    def start(self, verb: str, environment: dict[str, str], on_message: OnMessage, on_end: OnEnd, inherited: Sequence[int] = ()) -> Running:
        """A child whose line is made but not yet read: send it `boot`, then start the caller. OSError when it cannot be started.

        on_message runs on the child's reading thread; sockets that come with a message are closed, we want none. on_end is an event.
        inherited: descriptors that it gets.
        """
        made: list[Running] = []

        def ended(code: int) -> None:
            self.events.post(lambda: on_end(made[0], code))

        child = Child(self.command(verb), environment, self.log(verb), ended, inherited)

        def hear(message: Message, sockets: list[socket.socket]) -> None:
            for sent in sockets:
                sent.close()
            on_message(caller, message)

        def deaf() -> None:
            self.events.post(lambda: self.events.after(f"deaf-{child.pid}", _DEAF_S, child.kill))

        caller = Caller(child.channel, hear, deaf, verb)
        made.append(Running(child, caller))
        return made[0]

    def log(self, verb: str) -> Path:
        return self.paths.logs / f"{verb}.log"


@dataclass(frozen=True, slots=True)
class Running:
    child: Child
    caller: Caller

    def end(self, last_word: str, fields: dict[str, object], patience_s: float) -> None:
        """Say the last word, wait, and see to it that the process ends."""
        self.caller.send(last_word, fields)
        self.child.end(patience_s)
        self.child.channel.close()


def answer(caller: Caller, request: Message, work: Callable[[], dict[str, object] | None]) -> None:
    """Reply with what `work` returns, or with its AppError. An error of our own is answered too: nobody must wait for nothing."""
    try:
        caller.reply(request, work())
    except AppError as error:
        caller.refuse(request, error)
    except Exception as error:  # noqa: BLE001 - the edge of the thread; the text may hold a secret, so only its kind is told
        caller.refuse(request, AppError("internal", f"The keeper met an error of its own ({type(error).__name__})."))


def unknown(caller: Caller, request: Message) -> None:
    caller.refuse(request, AppError("internal", "The keeper does not know this request."))
