"""Load on one side: `burst` with wrk where it is installed (else with our own generator), `streams` and `generate` always with our own.

The request is what the official Python SDK sends for a short chat, with all its headers. Keys go into a file that only this user can
read or through a pipe, never into an argument.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.bench.generator import Job
from tests.bench.processes import python, running

PATH = "/v1/chat/completions"
HEADERS = {
    "accept": "application/json",
    "content-type": "application/json",
    "user-agent": "OpenAI/Python 2.0.0",
    "x-stainless-arch": "x64",
    "x-stainless-async": "false",
    "x-stainless-lang": "python",
    "x-stainless-os": "Linux",
    "x-stainless-package-version": "2.0.0",
    "x-stainless-read-timeout": "600",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.12.0",
}
BODY_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Side:
    """One way to the upstream. name: gateway, nginx or direct. prefix: what this side wants before the model's name."""

    name: str
    port: int
    key: str = field(repr=False)
    prefix: str = ""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Ask:
    """model: with the upstream's options. body_bytes: length of the whole body, reached with a longer prompt."""

    model: str = "gpt-4o-mini"
    stream: bool = False
    body_bytes: int = BODY_BYTES

    def body(self, side: Side) -> bytes:
        said = {"role": "user", "content": ""}
        whole: dict[str, object] = {
            "model": side.prefix + self.model,
            "messages": [{"role": "system", "content": "You are a careful assistant who answers in one sentence."}, said],
            "temperature": 0.2,
        }
        if self.stream:
            whole["stream"] = True
        missing = self.body_bytes - len(json.dumps(whole))
        said["content"] = ("What follows from this? " * (missing // 24 + 1))[: max(1, missing)]
        return json.dumps(whole).encode()

    def headers(self, side: Side) -> dict[str, str]:
        return {**HEADERS, "authorization": f"Bearer {side.key}"}

    def request(self, side: Side) -> bytes:
        body = self.body(side)
        head = {"host": side.host, **self.headers(side), "content-length": str(len(body))}
        return f"POST {PATH} HTTP/1.1\r\n".encode() + b"".join(f"{n}: {v}\r\n".encode() for n, v in head.items()) + b"\r\n" + body


@dataclass(frozen=True, slots=True)
class Burst:
    """What a generator saw. first: until the first piece of the body. interval: between events of one stream. 0: not measured."""

    requests: int
    errors: dict[str, int]
    seconds: float
    p50_us: float
    p99_us: float
    worst_us: float = 0.0
    first_p50_us: float = 0.0
    first_p99_us: float = 0.0
    interval_p50_us: float = 0.0
    interval_p99_us: float = 0.0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class RefusedError(Exception):
    """A figure that must not be printed, and why."""


def burst(side: Side, ask: Ask, connections: int, seconds: float) -> Burst:
    """As many requests as go, for that long (wrk counts in whole seconds). RefusedError when anything went wrong."""
    return _clean(
        _wrk(side, ask, connections, seconds) if seconds >= 1 and shutil.which("wrk") else _generated(side, ask, connections, seconds)
    )


def generate(side: Side, ask: Ask, connections: int, seconds: float) -> Burst:
    """RefusedError when anything went wrong."""
    return _clean(_generated(side, ask, connections, seconds))


def streams(side: Side, ask: Ask, count: int, spread_s: float, at: Callable[[str, int], None]) -> Burst:
    """`count` streams at once, begun over `spread_s`. `at(moment, events so far)` is called at "steady" and "ending". RefusedError."""
    return _clean(_generated(side, ask, count, 0.0, spread_s, at))


def _clean(seen: Burst) -> Burst:
    if seen.errors:
        raise RefusedError("errors: " + ", ".join(f"{count} x {what}" for what, count in seen.errors.items()))
    if not seen.requests:
        raise RefusedError("no request was answered")
    return seen


def _generated(
    side: Side, ask: Ask, connections: int, seconds: float, spread_s: float = 0.0, at: Callable[[str, int], None] | None = None
) -> Burst:
    job = Job(side.port, ask.request(side), connections, seconds, spread_s)
    with running(python("tests.bench.generator")) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(job))
        process.stdin.close()
        for line in process.stdout:
            said = json.loads(line)
            moment, events = said.pop("moment"), said.pop("events")
            if moment == "done":
                return Burst(**said)
            if at is not None:
                at(moment, events)
    raise RefusedError("the load generator broke")


_LUA = """
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
done = function(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %%d %%d %%d %%d %%d %%d %%.1f %%.1f %%.1f %%.1f", summary.requests, summary.duration,
    e.connect, e.read, e.write, e.status, e.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def _wrk(side: Side, ask: Ask, connections: int, seconds: float) -> Burst:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in ask.headers(side).items())
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
        script = Path(folder) / "ask.lua"
        script.touch(mode=0o600)
        script.write_text(_LUA % (ask.body(side).decode(), headers))
        words = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(script)]
        done = subprocess.run([*words, f"http://{side.host}{PATH}"], capture_output=True, text=True, timeout=seconds + 60, check=False)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RefusedError(f"wrk failed: {(done.stderr or done.stdout).strip()[:200]}")
    requests, micros, *wrong, p50, p99, worst = (float(word) for word in found[1].split())
    kinds = ("connect", "read", "write", "status", "timeout")
    errors = {kind: int(count) for kind, count in zip(kinds, wrong, strict=True) if count}
    return Burst(int(requests), errors, micros / 1e6, p50, p99, worst)
