"""A child that does what a test says: it stands for the engine or the window, at the keeper's own interface.

Started as `puppet.py SOCKET VERB --channel N`. It connects to the test's unix socket, says which verb it is, forwards every message of
the keeper as a JSON line, ends at `drain` or `quit` unless it is stubborn, and obeys lines: `{"send": MESSAGE}`, `{"exit": CODE}`,
`{"kill": SIGNAL}`, `{"print": TEXT}`, `{"answer": true}` (the proof, at the listening sockets), `{"socket": N, "write": TEXT}`,
`{"socket": N, "hex": BYTES}`, `{"socket": N, "read": COUNT}`, `{"socket": N, "end": true}`, `{"instance": PATH, "ask": QUESTION}` (at the
keeper's own socket), `{"spin": true}` (compute for ever, on a thread), `{"page": HEX}` (on the page that it shares with the keeper).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import mmap
import os
import signal
import socket
import sys
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.system.channel import Channel, inherited
from app.system.shared_page import writable


class Puppet:
    def __init__(self, wires: socket.socket, channel: Channel) -> None:
        self.wires = wires
        self.channel = channel
        self.sockets: list[socket.socket] = []
        self.boot: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.stubborn = False
        self.page: mmap.mmap | None = None

    def tell(self, line: dict[str, Any]) -> None:
        with self.lock:
            self.wires.sendall(json.dumps(line).encode() + b"\n")

    def hear(self) -> None:
        while (received := self.channel.receive()) is not None:
            message, sockets = received
            if message.get("op") == "boot":
                self.boot = message
            numbers = list(range(len(self.sockets), len(self.sockets) + len(sockets)))
            self.sockets += sockets
            self.tell({"message": message, "sockets": numbers})
            if message.get("op") in ("drain", "quit") and not self.stubborn:
                os._exit(0)
        self.tell({"eof": True})
        os._exit(9)  # what a real child does: nothing is left to do without the keeper

    def answer(self) -> None:
        """Serve the proof on every listening socket of ours, one connection after the other."""
        for name, listener in zip(self.boot["listeners"], self.sockets, strict=False):
            if name == "gateway":
                threading.Thread(target=self.serve, args=(listener,), daemon=True).start()

    def serve(self, listener: socket.socket) -> None:
        listener.setblocking(True)
        secret = bytes.fromhex(self.boot["proof_secret"])
        while True:
            client, _ = listener.accept()
            with client:
                client.settimeout(5)
                request = client.recv(4096).decode()
                nonce = parse_qs(urlsplit(request.split()[1]).query).get("nonce", [""])[0] if request else ""
                body = hmac.digest(secret, nonce.encode(), hashlib.sha256).hex()
                client.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())

    def obey(self, order: dict[str, Any]) -> None:
        match order:
            case {"send": dict(message)}:
                self.channel.send(message)
            case {"exit": int(code)}:
                os._exit(code)
            case {"kill": int(number)}:
                os.kill(os.getpid(), number)
            case {"ignore": int(number)}:
                signal.signal(number, signal.SIG_IGN)
                self.tell({"done": "ignore"})
            case {"stubborn": bool(stubborn)}:
                self.stubborn = stubborn
                self.tell({"done": "stubborn"})
            case {"print": str(text)}:
                print(text, file=sys.stderr, flush=True)
                self.tell({"done": "print"})
            case {"answer": True}:
                self.answer()
                self.channel.send({"op": "ready"})
                with contextlib.suppress(OSError):  # a test may have killed the keeper by now
                    self.channel.send({"op": "settled"})
            case {"spin": True}:
                threading.Thread(target=spin, daemon=True).start()
            case {"page": str(text)}:
                self.page = self.page or writable(self.boot["page"])
                assert self.page is not None
                data = bytes.fromhex(text)
                self.page[: len(data)] = data
                self.tell({"done": "page"})
            case {"socket": int(number), "write": str(text)}:
                self.sockets[number].setblocking(True)
                self.sockets[number].sendall(text.encode())
            case {"socket": int(number), "hex": str(data)}:
                self.sockets[number].setblocking(True)
                self.sockets[number].sendall(bytes.fromhex(data))
            case {"socket": int(number), "read": int(count)}:
                self.sockets[number].setblocking(True)
                self.tell({"read": self.sockets[number].recv(count).decode()})
            case {"instance": str(path), "ask": dict(question)}:
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.connect(path)
                    asking.sendall(json.dumps(question).encode() + b"\n")
                    self.tell({"answer": json.loads(asking.makefile().readline() or "{}")})
            case {"socket": int(number), "end": True}:
                self.sockets[number].shutdown(socket.SHUT_RDWR)
                self.sockets[number].close()


def spin() -> None:
    while True:
        pass


def main() -> None:
    wires = socket.socket(socket.AF_UNIX)
    wires.connect(sys.argv[1])
    puppet = Puppet(wires, inherited(sys.argv[3:]))
    puppet.tell({"verb": sys.argv[2], "pid": os.getpid(), "environment": dict(os.environ)})
    threading.Thread(target=puppet.hear, daemon=True).start()
    for line in wires.makefile():
        puppet.obey(json.loads(line))
    os._exit(8)  # the test is gone


if __name__ == "__main__":
    main()
