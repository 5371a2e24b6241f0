"""A real local provider for tests and for the benchmark: it speaks OpenAI's two dialects, Anthropic's and Gemini's, and can misbehave.

    with upstream() as up:
        up.url                        http://127.0.0.1:PORT (OpenAI under /v1, Anthropic under /v1/messages, Gemini under /v1beta,
                                      Azure OpenAI under /openai)
        up.key                        the key it wants; anything else gets 401 in the provider's own shape
        up.requests                   what came: method, target, raw header pairs, body, connection number, when the other side left
        up.on("gpt-4o-mini", "429?retry-after=7", times=2)    misbehave for a model or a path, for so many requests or always

Model names choose the reply: any name gets a built-in one (`tests/provider_replies.py` has its options, `tests/scripted_replies.py` those
that depend on the request), `fault/NAME` goes wrong as `tests/misbehaviour.py` says, `recording/CASE` replays
`tests/recordings/DIALECT/CASE/`. With `upstream(strict=True)` it refuses what the real providers refuse (`tests/strict`), always so in the
dialects Responses and Gemini; `up.refused` has the reasons. What is wrong before a request exists is made by `refused_port()` and
`black_hole()`.

It runs in a thread with a loop of its own, so synchronous tests can use it. As a process: `python -m tests.upstream --port 0 --json`
prints one line with its address and serves until its input ends or it is terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Iterator

from tests import provider_replies as replies
from tests.provider_connection import RECORDINGS, Request, Scripted, Serving, State

__all__ = ["KEY", "RECORDINGS", "Request", "Upstream", "black_hole", "refused_port", "upstream"]

KEY = "sk-upstream-0123456789abcdefghijklmnopqrstuvwxyz-Canary"


class Upstream:
    """The server as a test sees it. All methods may be called from any thread."""

    def __init__(self, state: State, loop: asyncio.AbstractEventLoop, host: str, port: int, scheme: str) -> None:
        self._state = state
        self._loop = loop
        self.host = host
        self.port = port
        self.scheme = scheme

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def key(self) -> str:
        return self._state.key or ""

    @property
    def requests(self) -> list[Request]:
        return self._state.requests

    @property
    def last(self) -> Request:
        return self._state.requests[-1]

    @property
    def refused(self) -> list[tuple[Request, str]]:
        """What the real provider would not have accepted, and why."""
        return self._state.refused

    @property
    def connections(self) -> int:
        """How many connections were ever made."""
        return self._state.opened

    @property
    def open_connections(self) -> int:
        return len(self._state.connections)

    def on(self, where: str, fault: str, times: int | None = None) -> None:
        """Misbehave when a request names this model, or has this path (with its `/`), `times` times or always."""
        self._do(lambda: self._state.scripted.__setitem__(where, Scripted(fault, times)))

    def behave(self) -> None:
        """Forget everything `on` asked for."""
        self._do(self._state.scripted.clear)

    def set_key(self, key: str | None) -> None:
        """Want another key, or none."""
        self._do(lambda: setattr(self._state, "key", key))

    def close_connections(self) -> None:
        """End every open connection in good order, as a provider does with those unused for a minute."""

        def end_all() -> None:
            for connection in list(self._state.connections):
                connection.fin()

        self._do(end_all)

    def wait_requests(self, count: int, timeout_s: float = 5.0) -> list[Request]:
        """Wait until at least `count` requests have come."""
        self.wait(lambda: len(self._state.requests) >= count, timeout_s, f"{count} requests")
        return self._state.requests

    def wait_gone(self, request: Request, timeout_s: float = 5.0) -> float:
        """Wait until the other side has left in the middle of that reply; the time it did, time.monotonic()."""
        self.wait(lambda: request.gone_at is not None, timeout_s, "the other side to leave")
        assert request.gone_at is not None
        return request.gone_at

    def wait_answered(self, request: Request, timeout_s: float = 5.0) -> float:
        self.wait(lambda: request.answered_at is not None, timeout_s, "the reply to be out")
        assert request.answered_at is not None
        return request.answered_at

    def wait(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._state.changed:
            if not self._state.changed.wait_for(is_so, timeout_s):
                raise AssertionError(f"the upstream waited {timeout_s:g} s for {what}")

    def _do(self, what: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@contextlib.contextmanager
def upstream(
    *,
    key: str | None = KEY,
    models: tuple[str, ...] = replies.MODELS,
    record: bool = True,
    strict: bool = False,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[Upstream]:
    """A running server; key None accepts any. On the way out it raises what went wrong inside it, so that no fault stays hidden."""
    loop = _new_loop()
    state = State(key, record, models, strict)
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=4096)
    loop.set_exception_handler(lambda _, facts: state.troubles.append(facts.get("exception") or RuntimeError(facts["message"])))
    server = loop.run_until_complete(loop.create_server(lambda: Serving(state), sock=listening, ssl=tls, backlog=4096))
    up = Upstream(state, loop, f"[{host}]" if ":" in host else host, listening.getsockname()[1], "https" if tls else "http")
    thread = threading.Thread(target=loop.run_forever, name="upstream", daemon=True)
    thread.start()
    try:
        yield up
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server, state), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
    if state.troubles:
        raise state.troubles[0]


async def _stop(server: asyncio.Server, state: State) -> None:
    server.close()
    for connection in list(state.connections):
        connection._ended = True
        connection.transport.abort()
    for task in list(state.tasks):
        task.cancel()
    if state.tasks:
        await asyncio.wait(list(state.tasks))
    while state.connections:
        await asyncio.sleep(0.001)
    await server.wait_closed()


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which every connection is refused, held so that nobody else gets it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 at which a connection is neither made nor refused: its queue is full and nobody takes from it. Linux."""
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(8):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening.getsockname()[1]


def _until_told() -> None:
    """Until the pipe that is our input ends, so that no server outlives its benchmark; without a pipe, until a signal."""
    kind = os.fstat(0).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        while os.read(0, 4096):
            pass
    else:
        threading.Event().wait()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--no-key", action="store_true", help="accept any key")
    parser.add_argument("--record", action="store_true", help="keep the requests (memory grows)")
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    given = parser.parse_args(arguments)
    with upstream(key=None if given.no_key else given.key, record=given.record, host=given.host, port=given.port) as up:
        facts = {"url": up.url, "port": up.port, "pid": os.getpid(), "key": up.key}
        print(json.dumps(facts) if given.json else up.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            _until_told()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
