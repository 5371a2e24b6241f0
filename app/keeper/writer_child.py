"""The child that writes one export. It has the open files of that one task and a stream to whoever asked, and can open nothing else.

What arrives on the stream is parsed here and nowhere else (`core.frames`). The first message is `boot {kind, files | paths, ...}` with the
stream; then it says what it found of its locks, and what its tripwire refused, and how it ended, which is its last word:

    locks {...}     tripped {...}
    ended {why: whole | cancelled | gone | silent | malformed | disk, errno, bytes}

`gone`: the stream was cut. `silent`: nothing came for a minute. The end of the channel is the end of the child.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.core.exports import Kind, kind_of
from app.core.frames import Parser
from app.egress import tripwire
from app.egress.tripwire import Trip
from app.system import sandbox, sink
from app.system.channel import Channel, inherited

SILENCE_S: Final = 60.0
_AT_ONCE: Final = 1 << 18


def run(arguments: Sequence[str]) -> int:
    """The `writer` child: exit code 0 when it said how it ended, 2 when it was not started by the keeper."""
    try:
        channel = inherited(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    received = channel.receive()
    if received is None:
        return 2
    boot, streams = received
    kind = kind_of(boot.get("kind"))
    if boot.get("op") != "boot" or kind is None or len(streams) != 1:
        return 2
    if (locks := sandbox.own()) is not None:
        channel.send({"op": "locks"} | locks.fields())
    if (wire := tripwire.armed()) is not None:
        wire.attach(lambda trip: _report(channel, trip))
    threading.Thread(target=_end_with, args=(channel,), name="keeper", daemon=True).start()
    silence_s = float(boot.get("silence_s", SILENCE_S))
    channel.send({"op": "ended", **take(kind, _numbers(boot), streams[0], silence_s)})
    return 0


def take(kind: Kind, numbers: list[int], stream: socket.socket, silence_s: float) -> dict[str, object]:
    """Write what comes, and say how it ended."""
    parser = Parser(kind.count)
    stream.settimeout(silence_s)
    try:
        while True:
            try:
                data = stream.recv(_AT_ONCE)
            except TimeoutError:
                return _ended("silent")
            except OSError:
                data = b""
            if not data:
                return _ended("gone")
            for number, piece in parser.feed(data):
                sink.write(numbers[number], piece)
            if parser.cancelled:
                return _ended("cancelled")
            if parser.ended is not None:
                return _ended("whole", size=sink.finish(kind, numbers))
    except ValueError:
        return _ended("malformed")
    except OSError as error:
        return _ended("disk", error.errno or 0)


def _numbers(boot: Mapping[str, Any]) -> list[int]:
    """The descriptors that came with the process; on Windows the files are opened here, for nothing but writing."""
    return [int(number) for number in boot.get("files", ())] or [os.open(path, os.O_WRONLY | _BINARY) for path in boot["paths"]]


_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


def _ended(why: str, number: int = 0, size: int = 0) -> dict[str, object]:
    return {"why": why, "errno": number, "bytes": size}


def _report(channel: Channel, trip: Trip) -> None:
    with contextlib.suppress(OSError):  # the keeper is gone, and we soon are
        channel.send({"op": "tripped"} | trip.fields())


def _end_with(channel: Channel) -> None:
    while channel.receive() is not None:
        pass
    os._exit(1)
