"""Is it really our engine that answers at our port? A nonce goes in, and its HMAC under a secret of this run must come out.

Asked over a plain socket at our own loopback address, as a client would: what answers here answers the person's programs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import threading
from collections.abc import Callable
from typing import Final

from app.egress.tripwire import permitted

_TIMEOUT_S: Final = 3.0
_REPLY_MAX: Final = 8192


def ask(port: int, secret: bytes) -> str:
    """ "" when our listener answered with the right HMAC, else what is wrong, in one sentence."""
    nonce = os.urandom(16).hex()
    request = f"GET /health/proof?nonce={nonce} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAccept: text/plain\r\n\r\n"
    reply = b""
    try:
        with permitted():
            made = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
        with made as sock:
            sock.sendall(request.encode("ascii"))
            while len(reply) < _REPLY_MAX and (block := sock.recv(_REPLY_MAX)):
                reply += block
    except TimeoutError:
        return f"Port {port} did not answer in {_TIMEOUT_S:.0f} s."
    except OSError:
        return f"Port {port} does not answer."
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        return f"Port {port} answered, but not as Gatehouse does."
    expected = hmac.digest(secret, nonce.encode("ascii"), hashlib.sha256).hex()
    if not hmac.compare_digest(body.strip(), expected.encode("ascii")):
        return f"Port {port} answered, but could not prove that it is Gatehouse."
    return ""


class Prover:
    """Asks on a thread of its own whenever `now` is called, and every three seconds while `every_s` is set; tells `on_answer`."""

    def __init__(self, port: int, secret: bytes, on_answer: Callable[[str], None]) -> None:
        self.every_s: float | None = None
        self._port: Final = port
        self._secret: Final = secret
        self._on_answer: Final = on_answer
        self._wake = threading.Event()
        self._stopped = False
        threading.Thread(target=self._live, name="proof", daemon=True).start()

    def now(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def _live(self) -> None:
        while True:
            asked = self._wake.wait(self.every_s)
            self._wake.clear()
            if self._stopped:
                return
            if asked or self.every_s is not None:
                self._on_answer(ask(self._port, self._secret))
