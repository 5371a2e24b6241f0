"""How a `ControlClient` reaches the engine: an HTTP client on a unix socket, or on loopback where the system has none.

Keys and passphrases go this way. So the folder of the socket is looked at before anything is opened, and on every connection the system
is asked who is at the other end before a byte is written: only a process of the same user is told anything.

httpx2's own unix transport is not used for connecting: it leaves the socket open when nobody listens (httpcore2 2.16,
`_backends/sync.py`), and it gives up at once when the listener's queue is full. Nor does its pool know a connection that another thread is
just making when it is closed; so the sockets are remembered here. Everything here is imported by the first question only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import httpcore2
import httpx2

from app.core.errors import AppError
from app.system import access_list, owners
from app.system.files import read_own
from app.system.peers import same_user

START_HINT: Final = "Open the Gatehouse window, or run: gatehouse serve"
_POOL: Final = 16
_CONTROL_FILE_MAX: Final = 4096
_REMOVE: Final = "Quit Gatehouse, take that folder away, then start Gatehouse again."
# What a question may raise. httpx2.InvalidURL, which a long name brings, is not one of its HTTPErrors, and neither is StreamError: that
# is an answer which another thread closed.
FAILURES: Final = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL)


def connect(control: Path) -> httpx2.Client:
    """A client for the engine behind `control`; it opens nothing yet. AppError when there is nothing, or when it is not this person's."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    _refuse_planted(control)
    # A context without any authority: nothing here speaks TLS, and the default one would read the system's whole store.
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if control.suffix != ".json":
        return httpx2.Client(base_url="http://gatehouse", transport=_Transport(bare, str(control)), trust_env=False)
    try:
        host, port, token = _place(read_own(control, _CONTROL_FILE_MAX))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise nothing_there() from error
    if host not in ("127.0.0.1", "::1"):
        raise AppError("peer_not_allowed", "The control file names a place that is not this machine.", "Quit Gatehouse and start it again.")
    name = f"[{host}]" if ":" in host else host
    return httpx2.Client(
        base_url=f"http://{name}:{port}",
        headers={"authorization": f"Bearer {token}"},
        transport=_Transport(bare),
        trust_env=False,
    )


def _place(content: bytes) -> tuple[str, int, str]:
    """Host, port and token of a control file; one of many exceptions when it was not written by an engine."""
    place = json.loads(content)
    host, port, token = str(place["host"]), int(place["port"]), str(place["token"])
    if not 0 < port < 65_536 or not (token.isascii() and token.isprintable()):
        raise ValueError("No engine writes this.")
    return host, port, token


def loopback(url: str) -> bytes | None:
    """What a listener of this machine answers to a GET with status 200; None when it does not. At most 4 KiB are read."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = httpx2.HTTPTransport(verify=bare, trust_env=False)
    try:
        with httpx2.Client(transport=transport, trust_env=False, timeout=3.0) as client, client.stream("GET", url) as response:
            if response.status_code != 200:
                return None
            body = b""
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > 4096:
                    break
            return body.strip()
    except FAILURES:
        return None


def nothing_there() -> AppError:
    return AppError("engine_absent", "No gateway is running for this data folder.", START_HINT)


def was_closed() -> AppError:
    return AppError("engine_absent", "The connection to the gateway was closed.")


def explain(error: Exception) -> AppError:
    """What a failed question (one of FAILURES) means: nobody listens, a stranger does, nobody answers, or the engine went away while it
    answered."""
    if isinstance(error.__cause__, StrangerError):
        return AppError("peer_not_allowed", "Another user of this machine listens there. Nothing was sent.", START_HINT)
    if isinstance(error, httpx2.InvalidURL):
        return AppError("body_invalid", "Something that was given is too long.", "Give less of it.")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return nothing_there()
    if isinstance(error, httpx2.TimeoutException):
        return AppError("engine_absent", "The gateway does not answer.", "Look at its log, or quit it and start it again.")
    return AppError("engine_absent", "The gateway closed the connection.", START_HINT)


class StrangerError(httpcore2.ConnectError):
    """A connection was made, but not to a process of this user. It is closed again, and nothing was written."""


def _refuse_planted(control: Path) -> None:
    """The channel must lie in a folder of ours that nobody else can have put there, or can exchange. AppError."""
    folder = control.parent
    try:
        facts = control.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise nothing_there() from error
    except OSError as error:
        raise AppError("peer_not_allowed", f"The control folder cannot be looked at ({error.strerror}).", _REMOVE) from error
    if os.name == "nt":
        reason = access_list.exposed(folder) or access_list.exposed(control)
    else:
        reason = owners.exposed(folder) or ("" if facts.st_uid == owners.own_uid() else "the channel in it belongs to another user")
    if reason:
        raise AppError("peer_not_allowed", f"The control folder is not used: {reason}. Nothing was sent.", _REMOVE)


class _Transport(httpx2.HTTPTransport):
    """path: the unix socket. Without one, the address in the question's URL is asked."""

    def __init__(self, bare: ssl.SSLContext, path: str | None = None) -> None:
        super().__init__(verify=bare, trust_env=False)
        self._sockets = Sockets()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=bare, max_connections=_POOL, max_keepalive_connections=_POOL, uds=path, network_backend=self._sockets
        )

    def close(self) -> None:
        super().close()
        self._sockets.close()


class Sockets(httpcore2.NetworkBackend):
    """Connects, and on `close` ends every connection there is, also one that another thread has not got hold of yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[_Stream] = set()
        self._closed = False

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return self._connect(socket.AddressFamily["AF_UNIX"], path, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return self._connect(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port), timeout)

    def _connect(self, family: int, address: str | tuple[str, int], timeout: float | None) -> httpcore2.NetworkStream:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(address)
            except BlockingIOError as error:  # the listener's queue is full: a unix socket says so instead of waiting
                sock.close()
                if until is not None and time.monotonic() > until:
                    raise httpcore2.ConnectTimeout(str(error)) from error
                time.sleep(0.01)
            except TimeoutError as error:
                sock.close()
                raise httpcore2.ConnectTimeout(str(error)) from error
            except OSError as error:
                sock.close()
                raise httpcore2.ConnectError(str(error)) from error
            else:
                return self._keep(sock)

    def _keep(self, sock: socket.socket) -> httpcore2.NetworkStream:
        """The connection, once it is known whom it is to. On POSIX a loopback one, which only a control file names, has no such mark."""
        if (os.name == "nt" or sock.family == socket.AddressFamily["AF_UNIX"]) and not same_user(sock):
            sock.close()
            raise StrangerError("Another user of this machine listens there.")
        with self._lock:
            if not self._closed:
                stream = _Stream(sock, self._forget)
                self._open.add(stream)
                return stream
        sock.close()
        raise httpcore2.ConnectError("This client was closed.")

    def _forget(self, stream: _Stream) -> None:
        with self._lock:
            self._open.discard(stream)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            streams = tuple(self._open)
        for stream in streams:
            stream.close()


class _Stream(httpcore2.NetworkStream):
    def __init__(self, sock: socket.socket, forget: Callable[[_Stream], None]) -> None:
        self._sock = sock
        self._forget = forget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._sock.settimeout(timeout)
            return self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._sock.settimeout(timeout)
            self._sock.sendall(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def close(self) -> None:
        # Closing a descriptor does not wake a thread that reads from it; shutting the connection down does.
        with contextlib.suppress(OSError):  # the other side was quicker
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._forget(self)

    def get_extra_info(self, info: str) -> Any:
        if info == "socket":
            return self._sock
        if info == "is_readable":
            return _readable(self._sock)
        return None


def _readable(sock: socket.socket) -> bool:
    """True when an idle connection has something to say, which can only be its end: it is not used again then."""
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
