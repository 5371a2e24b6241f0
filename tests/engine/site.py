"""A server for tests of the HTTP side: real sockets, a loop of its own."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading

from app.engine import safety
from app.engine.exchange import error_body
from app.engine.room import Room
from app.engine.server import Limits, Peer, Server
from app.engine.web import Incoming, Reply, Stream

BODY_LIMIT = 1 << 20


class Site:
    """A server that answers every allowed request with the size of its body, on a loop of its own."""

    def __init__(
        self, limits: Limits, admits: Peer | None = None, loop: asyncio.AbstractEventLoop | None = None, room: Room | None = None
    ) -> None:
        self.limits = limits
        self.room = room or Room()
        self.admits = admits
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.loop = loop or asyncio.new_event_loop()
        self.cancelled, self.listening = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    async def _handle(self, request: Incoming) -> Reply | Stream:
        safety.check(request, safety.allowed_hosts(self.port))
        if key := request.headers.get("x-api-key"):
            request.belongs_to(key)
        if request.path == "/hang":
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.path == "/stream":
            stream = await request.stream(200, (), "text/event-stream")
            await stream.write(b"data: 1\n\n")
            await stream.end(b"data: 2\n\n")
            return stream
        if request.path == "/broken":
            raise RuntimeError("secret detail")
        body = await request.body(BODY_LIMIT, 1.0, 1_000)
        if request.path == "/headers":
            return Reply(200, json.dumps({"headers": sorted(name for name, _ in request.pairs())}).encode())
        return Reply(200, b'{"size":%d}' % len(body))

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen())
        self.loop.run_forever()

    async def _listen(self) -> None:
        self.server = Server(self._handle, error_body, self.limits, self.admits, self.room)
        await self.server.listen([self.listener])
        self.listening.set()

    def __enter__(self) -> Site:
        self.thread.start()
        assert self.listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(0.2), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def send(self, data: bytes, wait_s: float = 3.0) -> bytes:
        """All that comes back until the server closes, or until it is quiet for `wait_s`."""
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(wait_s)
            got = b""
            try:
                sock.sendall(data)
                while part := sock.recv(65536):
                    got += part
                    if b"content-length" in got.lower() and got.endswith(b"}"):
                        sock.settimeout(0.3)
                got += b"<closed>"
            except TimeoutError:
                got += b"<open>"
            except OSError:
                got += b"<reset>"
            return got


def head(site: Site, *lines: str, method: str = "POST", path: str = "/x", host: str | None = None) -> bytes:
    host = f"127.0.0.1:{site.port}" if host is None else host
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


JSON = "Content-Type: application/json"


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
