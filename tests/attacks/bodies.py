"""A: bodies that cost more memory than they have bytes."""

from __future__ import annotations

import socket
import threading
import time

from tests.attacks import wire
from tests.attacks.judge import MB, both, every, growth, stalled
from tests.attacks.registry import BOUNDS, NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage

PATH = "/v1/chat/completions"
SIZE = 30 * MB


def _tiny(stage: Stage, size: int, whole: int) -> Seen:
    """A body of `whole` bytes in chunks of `size`: memory meanwhile, and after the connection has gone."""
    body = b"a" * whole
    first = wire.head(stage.port, "POST", PATH, [
        ("Authorization", f"Bearer {stage.key}"), ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ])  # fmt: skip
    data = first + wire.chunks(body, size)
    with stage.watch() as watch:
        wire.send(stage.port, data, timeout_s=120)
        end = time.monotonic() + 3
        while watch.now() > 2 * whole + 24 * MB and time.monotonic() < end:
            time.sleep(0.1)
        left = watch.now()
    most = 6 * whole + 24 * MB
    return both(growth(watch.grown, most), growth(left, 2 * whole + 24 * MB, f"{whole // MB} MB gone, still"))


@attack("A30", "6 MB body in chunks of 2 bytes", promise=BOUNDS, expected="memory near the body's size, free afterwards", fresh=True)
def twos(stage: Stage) -> Seen:
    """Each chunk kept as an object of its own costs 40 bytes for 2."""
    return _tiny(stage, 2, 6 * MB)


@attack(
    "A31",
    "31 MB body in chunks of 2 bytes",
    promise=BOUNDS,
    expected="memory near the body's size, free afterwards",
    short=False,
    fresh=True,
)
def twos_large(stage: Stage) -> Seen:
    """The largest body that is taken, in the smallest pieces: 0.87 GB where each is kept as an object."""
    return _tiny(stage, 2, 31 * MB)


@attack(
    "A32",
    "31 MB body in chunks of 1 byte",
    promise=BOUNDS,
    expected="memory near the body's size, free afterwards",
    short=False,
    fresh=True,
)
def ones(stage: Stage) -> Seen:
    """Python keeps one-byte objects once; the list of them still costs 8 bytes for 1."""
    return _tiny(stage, 1, 31 * MB)


def _unfinished(stage: Stage, count: int) -> Seen:
    """`count` bodies of 30 MB, each short of its last byte, held for some seconds."""
    piece = b"a" * 262_144
    first = wire.head(stage.port, "POST", PATH, [
        ("Authorization", f"Bearer {stage.key}"), ("Content-Type", "application/json"), ("Content-Length", str(SIZE + 1)),
    ])  # fmt: skip
    socks: list[socket.socket] = []
    full = threading.Event()

    def push() -> None:
        sent, end = 0, time.monotonic() + 12
        with wire.connect(stage.port) as sock:
            socks.append(sock)
            sock.settimeout(2)
            try:
                sock.sendall(first)
                while sent < SIZE and time.monotonic() < end:
                    sent += sock.send(piece[: SIZE - sent])
            except OSError:
                pass
            full.wait(20)

    with stage.watch() as watch:
        threads = [threading.Thread(target=push, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        end, before = time.monotonic() + 10, -1
        while time.monotonic() < end and watch.peak != before:
            before = watch.peak
            time.sleep(1.5)
        full.set()
        for thread in threads:
            thread.join(30)
        end = time.monotonic() + 5
        while watch.now() > 100 * MB and time.monotonic() < end:
            time.sleep(0.1)
        left = watch.now()
    return both(
        growth(watch.grown, 400 * MB), growth(left, 100 * MB, "all gone, still"), stalled(watch.worst_s, watch.cpu_s, watch.elapsed_s)
    )


@attack("A33", "20 unfinished bodies of 30 MB", promise=BOUNDS, expected="at most 256 MB are held; others are served", fresh=True)
def unfinished(stage: Stage) -> Seen:
    """What is in transit must count as what is held does."""
    return _unfinished(stage, 20)


@attack(
    "A34", "40 unfinished bodies of 30 MB", promise=BOUNDS, expected="at most 256 MB are held; others are served", short=False, fresh=True
)
def unfinished_more(stage: Stage) -> Seen:
    """Twice as many must not cost twice as much."""
    return _unfinished(stage, 40)


@attack("A35", "hostile JSON: depth, numbers, surrogates, encodings, two values, compressed", promise=BOUNDS, expected="refused; no crash")
def hostile_json(stage: Stage) -> Seen:
    """Everything a JSON reader can choke on. Afterwards the gateway answers, and no reply was a 500."""
    good = wire.chat("gatehouse/echo").decode()
    cases: dict[str, bytes] = {
        "deep arrays": (good[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}").encode(),
        "deep objects": (good[:-1] + ', "x": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}").encode(),
        "depth 900": (good[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}").encode(),
        "NaN": good[:-1].encode() + b', "temperature": NaN}',
        "Infinity": good[:-1].encode() + b', "temperature": -Infinity}',
        "lone surrogate": good.replace("Hello", "\\ud800").encode(),
        "bad UTF-8": good.replace("Hello", "@").encode().replace(b"@", b"\xff\xfe"),
        "BOM": b"\xef\xbb\xbf" + good.encode(),
        "UTF-16": good.encode("utf-16"),
        "two objects": good.encode() * 2,
        "cut off": good.encode()[:-1],
        "not an object": b"[1]",
        "empty": b"",
        "NUL in the model": good.replace("gatehouse/echo", "gatehouse/echo\\u0000").encode(),
        "line break in the model": good.replace("gatehouse/echo", "gatehouse/echo\\r\\nX: y").encode(),
        "a model of 1 MB": good.replace("gatehouse/echo", "m" * MB).encode(),
        "model is a number": good.replace('"gatehouse/echo"', "1").encode(),
        "names a host": good[:-1].encode() + b', "api_base": "http://127.0.0.1:1"}',
        "names a host below": good[:-1].encode() + b', "x": {"y": [{"BASE_URL": "http://127.0.0.1:1"}]}}',
    }
    rows = []
    for name, body in cases.items():
        status = stage.post(PATH, body).status
        rows.append((name, status != 0 and status < 500 and (status >= 400 or name in ("lone surrogate", "depth 900")), str(status)))
    gzip = wire.ask(stage.port, "POST", PATH, good.encode(), [("Content-Encoding", "gzip")], key=stage.key).status
    return every([*rows, ("gzip", gzip in (400, 415), str(gzip)), ("afterwards", stage.alive(), "no answer")], "bodies")


@attack("A36", "numbers that no machine holds, in each dialect", promise=NOT_PROMISED, expected="refused or passed on; no 500")
def numbers(stage: Stage) -> Seen:
    """Where a member is only passed on its size does not matter; where it is read, the answer must be a 400 and no mistake of ours."""
    rows = []
    for model in ("gatehouse/echo", "oa/m", "an/m", "ge/m", "re/m", "az/m"):
        good = wire.chat(model).decode()[:-1]
        for name, number in (
            ("100,000 digits", "9" * 100_000),
            ("1e99999", "1e99999"),
            ("2 to the 64th", str(2**64)),
            ("-0", "-0.0e-99999"),
        ):
            for member in ("x", "max_tokens", "temperature", "seed"):
                status = stage.post(PATH, f'{good}, "{member}": {number}}}'.encode()).status
                rows.append((f"{model}, {member}, {name}", 0 < status < 500, str(status)))
    return every(rows, "numbers")
