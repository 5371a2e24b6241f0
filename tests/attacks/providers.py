"""F: a hostile provider, and what a crash may cost."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable

from tests.attacks import wire
from tests.attacks.judge import MB, both, every, growth, stalled
from tests.attacks.processes import family
from tests.attacks.registry import BOUNDS, COUNTED, OTHERS, Seen, Skip, attack
from tests.attacks.stage import Stage
from tests.attacks.upstream import Asked

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _endless(first: bytes, piece: bytes, most: int = 96 * MB) -> Callable[[Asked], Iterable[bytes]]:
    def pieces(_: Asked) -> Iterable[bytes]:
        yield first
        for _number in range(most // len(piece)):
            yield piece

    return pieces


@attack(
    "F1",
    "a provider whose head, body, line or event never ends, or is a bomb",
    promise=BOUNDS,
    expected="an error, bounded memory; others served",
    fresh=True,
)
def endless(stage: Stage) -> Seen:
    """96 MB each of header, headers, event, chunks and nothing; 200 MB of zeros in 200 KB of gzip."""
    bomb = gzip.compress(bytes(200 * MB), 9)
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    cases: dict[str, tuple[Callable[[Asked], Iterable[bytes]], bool]] = {
        "header": (_endless(HEAD + b"X: ", b"a" * 65_536), False),
        "headers": (_endless(HEAD, b"X: y\r\n" * 8_000), False),
        "status line": (_endless(b"HTTP/1.1 200 ", b"O" * 65_536), False),
        "early hints": (_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000, 24 * MB), False),
        "event": (_endless(stream + b"data: ", b"a" * 65_536), True),
        "chunk extension": (_endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"a" * 65_536), False),
        "trailer": (_endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ", b"a" * 65_536), False),
        "body": (_endless(HEAD + b"\r\n", b" " * 65_536), False),
        "gzip bomb": (lambda _: [HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb], False),
        "gzip bomb as an error": (lambda _: [HEAD.replace(b"200 OK", b"400 No") + b"Content-Encoding: gzip\r\n\r\n" + bomb], False),
    }
    rows = []
    for name, (answer, streams) in cases.items():
        stage.upstreams["oa"].answer = answer
        with stage.watch() as watch:
            status = stage.chat("oa/m", 30, stream=streams).status
        seen = both(growth(watch.grown, 160 * MB), stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s, watch.missed))
        rows.append(
            (name, seen.held and (status >= 400 or streams or name in ("body", "trailer", "chunk extension")), f"{status}; {seen.observed}")
        )
    return every(rows, "faults")


@attack(
    "F2",
    "replies with two lengths, a hidden second reply, 101, 999, split headers, cookies",
    promise=OTHERS,
    expected="an error, or cleaned; no other client's answer",
)
def replies(stage: Stage) -> Seen:
    """What a provider says beyond its answer must not become the next client's answer, nor set anything in a browser."""
    body = json.dumps({"id": "c", "choices": [], "said": "first"}).encode()
    hidden = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nsmuggled-reply"
    size = b"Content-Length: %d\r\n" % len(body)
    cases = {
        "two lengths": HEAD + size + b"Content-Length: 5\r\n\r\n" + body + hidden,
        "second reply": HEAD + size + b"\r\n" + body + hidden,
        "length and chunks": HEAD + size + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + hidden,
        "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + hidden,
        "999": b"HTTP/1.1 999 X\r\n" + size + b"\r\n" + body,
        "no status": b"HTTP/1.1\r\n\r\n" + body,
        "204 with a body": b"HTTP/1.1 204 No\r\n" + size + b"\r\n" + body + hidden,
        "cookies": HEAD + b"Set-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\nServer: theirs\r\nAlt-Svc: h3\r\n" + size + b"\r\n" + body,
        "folded": HEAD + b"X-Request-Id: a\r\n Set-Cookie: b\r\n" + size + b"\r\n" + body,
        "nothing": b"",
        "garbage": os.urandom(64),
    }
    rows = []
    for name, answer in cases.items():
        stage.upstreams["oa"].answer = lambda _, answer=answer: [answer]
        got = stage.chat("oa/m", 20)
        stage.upstreams["oa"].answer = None
        after = stage.chat("oa/m", 20)
        bad = [
            header
            for header, value in got.headers
            if header in ("set-cookie", "access-control-allow-origin", "alt-svc") or value == "theirs"
        ]
        whole = b"smuggled" not in got.raw + after.raw and got.status != 0 and not 100 <= got.status < 200
        rows.append((name, whole and not bad, f"{got.status} {bad}"))
    return every(rows, "replies")


@attack(
    "F3",
    "the engine killed again and again under load",
    promise=COUNTED,
    expected="each acknowledged answer is in the ledger, once",
    short=False,
)
def killed(stage: Stage) -> Seen:
    """SIGKILL to every process under the first one, ten times, while four clients ask. What they saw answered must be in the export."""
    seen: list[str] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                got = stage.chat("gatehouse/echo", 5)
            except OSError:
                time.sleep(0.05)
                continue
            if got.status == 200:
                seen.append(got.header("x-gatehouse-call-id"))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    killed_now = 0
    for _ in range(10):
        time.sleep(1.2)
        for pid in family(stage.gateway.pid)[1:]:
            os.kill(pid, signal.SIGKILL)
            killed_now += 1
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join(20)
    if not seen or not stage.alive(30):
        raise Skip(f"{len(seen)} answers, and the gateway did not come back: too busy a machine, or it gave up reviving")
    lines = stage.gateway.cli("export", "-", "--form", "jsonl").stdout.splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    missing = set(seen) - set(ids)
    return every([
        ("missing", not missing, f"{len(missing)} of {len(seen)}"), ("twice", len(ids) == len(set(ids)), "some"),
        ("killed", killed_now >= 5, str(killed_now)),
    ], "measures")  # fmt: skip


@attack("F4", "50 clients that leave in the middle", promise=BOUNDS, expected="nothing is left of them")
def leaving(stage: Stage) -> Seen:
    """Half of a head, half of a body, and no wish to read the answer."""
    with stage.watch() as watch:
        body = wire.chat("gatehouse/echo", "a" * 100_000)
        whole = wire.head(stage.port, "POST", "/v1/chat/completions", [
            ("Authorization", f"Bearer {stage.key}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
        ]) + body  # fmt: skip
        for number in range(50):
            with wire.connect(stage.port) as sock:
                sock.sendall(whole[: len(whole) * (number + 1) // 50])
        time.sleep(1)
    return both(growth(watch.grown, 60 * MB), stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s, watch.missed))
