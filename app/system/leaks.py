"""Trying to get out, on purpose: to addresses that are reserved for examples and belong to nobody (RFC 5737, RFC 3849, RFC 6761).

Each attempt goes the whole way that a leak would go. If a layer were missing, a packet to such an address would leave, and the result
would say "got out". Python's ways are tried twice: past the tripwire, so that the kernel is what is tested, and, where the kernel refuses
nothing, with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

TCP: Final = ("192.0.2.1", 80)
UDP: Final = ("192.0.2.1", 53)
IPV6: Final = ("2001:db8::1", 443)
NAME: Final = "leak.invalid"
WAIT_S: Final = 1.0
_DARWIN: bool = sys.platform == "darwin"

# kernel, tripwire, keeper: who stopped it. reached: it got out (for the last row: it got through, as it must). absent: there is no such
# way in this program. stopped: it failed, but not by one of our refusals (no route, for example): nothing left, and nothing is proved.
Result = Literal["kernel", "tripwire", "keeper", "reached", "absent", "stopped"]

_KERNEL: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the self-test. process: who tried. must_pass: the one that has to succeed, or "all stopped" would prove nothing."""

    name: str
    process: str
    to: str
    result: Result
    after_us: int
    detail: str = ""
    must_pass: bool = False

    @property
    def good(self) -> bool:
        return (self.result == "reached") == self.must_pass

    def fields(self) -> dict[str, object]:
        return asdict(self)


Way = tuple[str, str, Callable[[], object]]
Around = Callable[[], contextlib.AbstractContextManager[None]]


def of_process(process: str, more: Iterable[Way], unwatched: Around, watched: Around, refused: type[OSError]) -> Iterator[Attempt]:
    """Every way out, from this process. more: ways that only it has. unwatched: without the tripwire. watched: with it, quietly.

    refused: what the tripwire raises.
    """
    for name, to, way in (*_WAYS, *more):
        yield attempt(name, process, to, way, unwatched, watched, refused)


def attempt(
    name: str,
    process: str,
    to: str,
    way: Callable[[], object],
    unwatched: Around,
    watched: Around,
    refused: type[OSError],
    *,
    past: bool = True,
) -> Attempt:
    """Try once. past: whether the kernel is to be tried first; the keeper, which it does not hold, stays behind its tripwire."""
    began = time.perf_counter_ns()
    result, detail = _try(way, unwatched if past and _kernel_holds() else watched, refused)
    return Attempt(name, process, to, result, (time.perf_counter_ns() - began) // 1000, detail)


def _kernel_holds() -> bool:
    """Whether a socket is refused to this process, so that trying without the tripwire sends nothing."""
    from app.system import sandbox  # noqa: PLC0415 - only the self-test asks

    own = sandbox.own()
    return own is not None and own.holds


def _try(way: Callable[[], object], around: Around, refused: type[OSError]) -> tuple[Result, str]:
    try:
        with around():
            way()
    except refused as error:
        return "tripwire", error.strerror or ""
    except ModuleNotFoundError:
        return "absent", "not part of this program"
    except TimeoutError:
        return "reached", "a packet left and nobody answered"
    except OSError as error:
        if error.errno in _KERNEL:
            return "kernel", os.strerror(error.errno)
        if isinstance(error, socket.gaierror):
            # The resolver hides why; that it had to give up at once, without a socket, is what its own numbers for "try again" mean.
            return ("kernel", "the resolver got no socket") if _kernel_holds() else ("stopped", str(error.strerror))
        return "stopped", error.strerror or type(error).__name__
    return "reached", ""


def _tcp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.settimeout(WAIT_S)
        made.connect(TCP)


def _udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"leak", UDP)


def _tcp6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as made:
        made.settimeout(WAIT_S)
        made.connect(IPV6)


def _look_up() -> None:
    socket.getaddrinfo(NAME, 443)


def _native() -> None:
    """As a library in C would: no audit hook sees it."""
    if os.name == "nt":
        raise ModuleNotFoundError
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.socket(int(socket.AF_INET), int(socket.SOCK_DGRAM), 0)
    if made < 0:
        raise OSError(ctypes.get_errno(), "socket")
    try:
        address = struct.pack("=H", int(socket.AF_INET)) + struct.pack("!H", UDP[1]) + socket.inet_aton(UDP[0]) + bytes(8)
        if _DARWIN:
            address = bytes([16, int(socket.AF_INET)]) + address[2:]
        if libc.sendto(made, b"leak", ctypes.c_size_t(4), 0, address, len(address)) < 0:
            raise OSError(ctypes.get_errno(), "sendto")
    finally:
        os.close(made)


def _program() -> None:
    """Start a program that would connect. Where programs may be started, what it can do is what counts: it inherits the lock."""
    import subprocess  # noqa: PLC0415 - only this needs it

    code = (
        f"import socket,sys\ntry:\n socket.create_connection({TCP!r}, {WAIT_S})\n"
        "except OSError as error:\n sys.exit(min(error.errno or 200, 255))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False, timeout=10, capture_output=True)
    if done.returncode:
        raise OSError(done.returncode if done.returncode < 200 else errno.ETIMEDOUT, "the program could not connect")


_WAYS: Final[tuple[Way, ...]] = (
    ("TCP, plain socket", f"{TCP[0]}:{TCP[1]}", _tcp),
    ("UDP datagram", f"{UDP[0]}:{UDP[1]}", _udp),
    ("IPv6", f"[{IPV6[0]}]:{IPV6[1]}", _tcp6),
    ("DNS look-up", NAME, _look_up),
    ("UDP, native code", f"{UDP[0]}:{UDP[1]}", _native),
    ("Child process", f"{TCP[0]}:{TCP[1]}", _program),
)
PLAIN: Final[tuple[Way, ...]] = (_WAYS[0], _WAYS[1], _WAYS[2], _WAYS[3])
