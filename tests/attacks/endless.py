"""A: things that never end, sent by somebody without a key, or with one."""

from __future__ import annotations

import threading
import time

from tests.attacks import wire
from tests.attacks.judge import MB, both, bounded, every, stalled
from tests.attacks.registry import BOUNDS, NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage

PATH = "/v1/chat/completions"
PIECE = b"a" * 65_536


def _chunked(stage: Stage) -> bytes:
    return wire.head(stage.port, "POST", PATH, [
        ("Authorization", f"Bearer {stage.key}"), ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"),
    ])  # fmt: skip


def _one(stage: Stage, first: bytes, piece: bytes, most: int = 48 * MB) -> Seen:
    with stage.watch() as watch:
        poured = wire.pour(stage.port, first, piece, most, 12)
    return bounded(poured.taken, poured.refused, watch.grown, 40 * MB)


@attack("A20", "an endless header value, no key", promise=BOUNDS, expected="431 near 32 KB", fresh=True)
def value(stage: Stage) -> Seen:
    """One connection, one header that never ends. Counting must not stop once the first header is whole."""
    first = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\nX-A: 1\r\nX-Long: ".encode()
    return _one(stage, first, PIECE)


@attack("A21", "the same on 20 connections at once, no key", promise=BOUNDS, expected="431 each; others are served")
def values(stage: Stage) -> Seen:
    """Any user of the machine could do this. Memory and the waiting of an honest client are measured."""
    first = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\nX-A: 1\r\nX-Long: ".encode()
    poured: list[wire.Poured] = []
    with stage.watch() as watch:
        threads = [threading.Thread(target=lambda: poured.append(wire.pour(stage.port, first, PIECE, 24 * MB, 12))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    taken = max(one.taken for one in poured)
    return both(
        bounded(taken, all(one.refused for one in poured), watch.grown, 80 * MB),
        stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s, watch.missed),
    )


@attack(
    "A22",
    "an endless header name, an endless line of small headers, an endless request line, no key",
    promise=BOUNDS,
    expected="431 or 400",
)
def heads(stage: Stage) -> Seen:
    """The other places in a head that can be made endless, without a key."""
    good = f"Host: 127.0.0.1:{stage.port}\r\n"
    cases = {
        "header name": (f"GET / HTTP/1.1\r\n{good}X-", PIECE),
        "small headers": (f"GET / HTTP/1.1\r\n{good}", b"X: y\r\n" * 8_000),
        "headers without a value": (f"GET / HTTP/1.1\r\n{good}", b"X:\r\n" * 8_000),
        "first header": ("GET / HTTP/1.1\r\nHost: ", PIECE),
        "blanks before a value": (f"GET / HTTP/1.1\r\n{good}X:", b" " * 65_536),
        "request line": ("GET /", PIECE),
        "method": ("G", PIECE.upper()),
        "empty lines": ("", b"\r\n" * 32_768),
        "second request on a connection": (f"GET /health/liveliness HTTP/1.1\r\n{good}\r\nGET / HTTP/1.1\r\n{good}X: ", PIECE),
    }
    rows = []
    for name, (first, piece) in cases.items():
        with stage.watch() as watch:
            poured = wire.pour(stage.port, first.encode(), piece, 24 * MB, 8, answered=name.startswith("second"))
        seen = bounded(poured.taken, poured.refused, watch.grown, 40 * MB)
        rows.append((name, seen.held, seen.observed))
    return every(rows, "endless parts")


@attack("A23", "trailers without end, with a key", promise=BOUNDS, expected="refused near 32 KB")
def trailers(stage: Stage) -> Seen:
    """After the last chunk, headers may follow. They need a limit as well: one long value, and many short ones."""
    body = wire.chat("gatehouse/echo")
    start = _chunked(stage) + b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    rows = []
    for name, first, piece in (
        ("one value", start + b"X-T: ", PIECE),
        ("many", start, b"X-T: y\r\n" * 8_000),
        ("one name", start + b"X", PIECE),
    ):
        seen = _one(stage, first, piece)
        rows.append((name, seen.held, seen.observed))
    return every(rows, "endless trailers")


@attack("A24", "an endless chunk extension and chunk size, with a key", promise=NOT_PROMISED, expected="refused")
def chunk_parts(stage: Stage) -> Seen:
    """Bytes of framing are bytes that arrive: nothing is kept of them, but without a limit they are free of charge."""
    start, rows = _chunked(stage), []
    for name, first, piece in (("extension", b"5;x=", PIECE), ("size", b"", b"0" * 65_536)):
        seen = _one(stage, start + first, piece, 24 * MB)
        rows.append((name, seen.held, seen.observed))
    return every(rows, "endless parts")


@attack("A28", "a rain of chunks of 1 byte, each with 8,000 bytes of extension, with a key", promise=NOT_PROMISED, expected="refused")
def extensions(stage: Stage) -> Seen:
    """No part of it is endless, and the body grows; still nearly all that arrives is counted nowhere."""
    piece = b"1;" + b"x" * 8_000 + b"\r\na\r\n"
    with stage.watch() as watch:
        poured = wire.pour(stage.port, _chunked(stage), piece, 64 * MB, 12)
    return Seen(poured.refused and poured.taken < 48 * MB and watch.grown < 40 * MB, f"{poured.taken / MB:.0f} MB taken")


@attack("A27", "an endless chunked body, with a key and without", promise=BOUNDS, expected="413 at 32 MB; 401 at once")
def body(stage: Stage) -> Seen:
    """No length is announced, so bytes must be counted as they come."""
    rows = []
    for name, start, most in (
        ("with", _chunked(stage), 48 * MB),
        ("without", _chunked(stage).replace(stage.key.encode(), b"sk-gh-wrong"), 16 * MB),
    ):
        with stage.watch() as watch:
            poured = wire.pour(stage.port, start, b"10000\r\n" + PIECE + b"\r\n", 64 * MB, 12)
        fine = poured.refused and poured.taken < most and watch.grown < 110 * MB
        rows.append((name, fine, f"{poured.taken / MB:.0f} MB taken, memory {watch.grown / MB:+.0f} MB"))
    return every(rows, "bodies")


@attack("A25", "5 GB announced", promise=BOUNDS, expected="413 before the body comes")
def announced(stage: Stage) -> Seen:
    """Whether a key is there or not, nothing of such a body is taken."""
    rows = []
    for name, key, path in (("with a key", stage.key, PATH), ("without", "", PATH), ("to a health path", "", "/health/liveliness")):
        headers = [("Content-Type", "application/json"), ("Content-Length", str(5 << 30))]
        first = wire.head(stage.port, "POST", path, [*headers, *([("Authorization", f"Bearer {key}")] if key else [])])
        poured = wire.pour(stage.port, first, PIECE, 48 * MB, 8)
        rows.append((name, poured.refused and poured.taken < 16 * MB, f"{poured.taken / MB:.1f} MB taken, {poured.said[:12]!r}"))
    return every(rows, "announcements")


@attack("A26", "300 heads that never end, slowly, no key", promise=BOUNDS, expected="dropped after 10 s; others are served", short=False)
def slow_heads(stage: Stage) -> Seen:
    """A byte of a header every second keeps a connection busy for ever, unless somebody looks at the clock."""
    first = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\nX: ".encode()
    with stage.watch() as watch:
        socks = list(wire.opened(stage.port, 300))
        for sock in socks:
            sock.sendall(first)
        gone, end = 0, time.monotonic() + 25
        while time.monotonic() < end and gone < len(socks):
            time.sleep(1)
            gone = 0
            for sock in socks:
                try:
                    sock.sendall(b"a")
                except OSError:
                    gone += 1
        for sock in socks:
            sock.close()
    rows = [("slow heads", gone == 300, f"{gone} of 300 dropped within 25 s")]
    served = stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s, watch.missed)
    return every([*rows, ("others", served.held, served.observed)], "measures")
