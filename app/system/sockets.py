"""Sockets as each system wants them made: listening ones that nobody can share, outgoing ones, and the kernel's byte counts."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

_BACKLOG: Final = 1024
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES, 10048, 10013})  # the numbers are Windows' own for the two

# linux/tcp.h, struct tcp_info: tcpi_bytes_received at 128, tcpi_bytes_sent at 200 (since 4.19), tcpi_bytes_retrans at 208.
_LINUX_TCP_INFO: Final = 11
# xnu bsd/netinet/tcp.h, struct tcp_connection_info: 4 bytes, 13 fields of 32 bits, then of 64 bits: txpackets (at 56), txbytes,
# txretransmitbytes, rxpackets, rxbytes.
_DARWIN_TCP_CONNECTION_INFO: Final = 0x106


# Windows has had unix sockets since 2018, but Python does not offer them there.
HAS_UNIX: Final = hasattr(socket, "AF_UNIX") and sys.platform != "win32"


class PortTakenError(Exception):
    """Somebody else listens there."""


def listen(host: str, port: int) -> socket.socket | None:
    """A listening TCP socket on one loopback address, never shared. None where the machine lacks the family. PortTakenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        if sys.platform == "win32":
            # Without it another program may bind the same port later and take over our clients (Microsoft, "Using SO_EXCLUSIVEADDRUSE").
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            if sys.platform == "darwin" and port and _answers(family, host, port):
                raise PortTakenError  # there, SO_REUSEADDR would let us bind beside somebody who listens on all addresses
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or old connections would keep the port from us for a minute
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno in _TAKEN:
            raise PortTakenError from None
        return None  # EADDRNOTAVAIL, EAFNOSUPPORT: IPv6 is off
    except PortTakenError:
        made.close()
        raise
    return made


def listen_unix(path: Path) -> socket.socket:
    """A listening unix socket, mode 0600; what is left of an earlier one is replaced. OSError as bind(2)."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "no unix sockets here")
    path.unlink(missing_ok=True)
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.bind(os.fspath(path))
        path.chmod(0o600)  # the folder is 0700, so there is no moment in which another user could connect
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def prepare_outgoing(sock: socket.socket) -> None:
    """Small requests leave at once; a far end that vanished is noticed after about two minutes of silence."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if name == "TCP_KEEPALIVE" and sys.platform != "darwin":
            continue  # macOS' name for the idle time
        if (option := getattr(socket, name, None)) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def byte_counts(sock: socket.socket) -> tuple[int, int] | None:
    """Payload bytes this connection has sent (each once) and received, as the kernel counted; None where it does not tell."""
    counts: tuple[int, int] | None = None
    with contextlib.suppress(OSError, struct.error):
        if sys.platform == "linux":
            info = sock.getsockopt(socket.IPPROTO_TCP, _LINUX_TCP_INFO, 256)
            sent, again = struct.unpack_from("=QQ", info, 200)
            (received,) = struct.unpack_from("=Q", info, 128)
            counts = sent - again, received
        elif sys.platform == "darwin":
            info = sock.getsockopt(socket.IPPROTO_TCP, _DARWIN_TCP_CONNECTION_INFO, 256)
            sent, again, _, received = struct.unpack_from("=QQQQ", info, 64)
            counts = sent - again, received
    return counts


def _answers(family: int, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
