"""An export as the window sees it: this process can write no file, so it gives the bytes to a child of the keeper, which can write only
those. The path is judged, and the name given, by the keeper (`keeper.writers`).
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from app.core import frames
from app.core.errors import AppError
from app.core.exports import Name
from app.system.channel import rebuilt

# The disk may be slow, and a child that hears nothing for a minute gives up.
_PATIENCE_S: Final = 300.0
_VERDICT_MAX: Final = 65_536


class Asks(Protocol):
    """The keeper's end, as `system.channel.Caller` offers it."""

    def call(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30
    ) -> tuple[dict[str, Any], list[socket.socket]]: ...


class Writing:
    """A file or folder that is being written for us. Leaving the `with` block without `end` cancels it: nothing is kept then."""

    def __init__(self, keeper: Asks, kind: Name, target: Path) -> None:
        """AppError as the keeper puts it: name_taken, name_invalid, data_folder, too_many_connections."""
        _, streams = keeper.call("export", {"kind": kind, "path": str(target)})
        if len(streams) != 1:
            for each in streams:
                each.close()
            raise _lost()
        self._stream: Final = streams[0]
        self._stream.settimeout(_PATIENCE_S)
        self._ended = False

    def send(self, number: int, piece: bytes) -> None:
        """What comes next in a file (`core.exports`). AppError where it is over already, as on a full disk."""
        for part in frames.cut(piece):
            if self._is_over():
                raise self._verdict() or _lost()
            self._send(frames.frame(number, part))

    def end(self) -> None:
        """Wait until it has its name. AppError when it is not kept."""
        self._send(frames.frame(frames.END, b""))
        self._ended = True
        if (error := self._verdict()) is not None:
            raise error

    def _is_over(self) -> bool:
        """Whether there is a verdict already."""
        self._stream.settimeout(0)
        try:
            self._stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._stream.settimeout(_PATIENCE_S)
        return True

    def _send(self, frame: bytes) -> None:
        try:
            self._stream.sendall(frame)
        except OSError:
            raise self._verdict() or _lost() from None

    def _verdict(self) -> AppError | None:
        """The keeper's last line; None when the export is kept."""
        said = b""
        try:
            while len(said) < _VERDICT_MAX and (data := self._stream.recv(4096)):
                said += data
            verdict = json.loads(said)
            return None if "kept" in verdict else rebuilt(verdict["error"])
        except TimeoutError:
            return AppError("internal", "The disk takes too long.", "What you exported may still appear: look into the folder later.")
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return _lost()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._ended:
            with contextlib.suppress(OSError):
                self._stream.sendall(frames.frame(frames.CANCEL, b""))
                while self._stream.recv(4096):  # until it is gone
                    pass
        self._stream.close()


def _lost() -> AppError:
    return AppError("internal", "The process that writes the file ended.", "Nothing was kept. Try again.")
