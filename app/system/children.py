"""Starting our other processes: each with a constructed environment, one channel, and nothing else of ours."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.system.channel import Channel, pair
from app.system.logs import open_for_append, rotate
from app.system.processes import started_at


def own_command(verb: str) -> list[str]:
    """How to start another process of this program: frozen, the program itself; else this interpreter without what surrounds it.

    `-I`: no variable and no folder of the person's or the current one adds a module. `-S`: nothing in a folder of packages runs by being
    there (`.pth`, `sitecustomize`). Where packages are, the environment says (`environment.module_folders`).
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, verb]
    return [sys.executable, "-I", "-S", "-X", "utf8", str(Path(__file__).resolve().parents[1] / "__main__.py"), verb]


class Child:
    """A started process, its channel, and a thread that waits for its end: no zombie is ever left.

    `on_exit(code)` is called once, on that thread; a negative code is the signal that ended it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        on_exit: Callable[[int], None],
        inherited: Sequence[int] = (),
    ) -> None:
        """Start it. OSError when it cannot be started. What it prints goes to the end of `log`. inherited: descriptors that it gets under
        the same numbers (POSIX)."""
        channel, theirs = pair()
        self.channel: Final[Channel] = channel
        rotate(log)
        try:
            output = open_for_append(log)
            try:
                self._process: Final = _popen([*command], dict(environment), output, theirs, inherited)
            finally:
                os.close(output)
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.pid: Final = self._process.pid
        self.channel.peer_pid = self.pid
        self.started: Final = started_at(self.pid) or ""
        self.log: Final = log
        self._on_exit = on_exit
        self._ended = threading.Event()
        threading.Thread(target=self._wait, name=f"wait-{self.pid}", daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended."""
        return self._ended.wait(timeout_s)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self, own_s: float, asked_s: float = 1) -> None:
        """Wait `own_s` for it to end by itself; then ask it and wait `asked_s`; then make it."""
        if self.wait(own_s):
            return
        self.terminate()
        if self.wait(asked_s):
            return
        self.kill()
        self.wait(5)

    def _signal(self, number: int) -> None:
        if not self._ended.is_set():
            self._process.send_signal(number)  # does nothing when the process has been waited for

    def _wait(self) -> None:
        code = self._process.wait()
        self._ended.set()
        self._on_exit(code)


def _popen(
    command: list[str], environment: dict[str, str], output: int, theirs: socket.socket, inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    if sys.platform == "win32":
        started = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        if started.stdin is not None:
            with started.stdin as line:
                line.write(base64.b64encode(theirs.share(started.pid)) + b"\n")
    else:
        number = theirs.fileno()
        started = subprocess.Popen(
            [*command, "--channel", str(number)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[number, *inherited],
            cwd="/",  # keeps no folder busy that somebody wants to unmount
            start_new_session=True,  # Ctrl-C in a terminal is for the keeper, which ends its children in order
        )
    return started
