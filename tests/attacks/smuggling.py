"""A: requests that two readers could cut differently. Behind a careless proxy, one of them would be another person's."""

from __future__ import annotations

from tests.attacks import wire
from tests.attacks.judge import every
from tests.attacks.registry import NOT_PROMISED, OTHERS, Seen, attack
from tests.attacks.stage import Stage

PATH = "/v1/chat/completions"


def _statuses(stage: Stage, data: bytes) -> list[int]:
    return [reply.status for reply in wire.send(stage.port, data, timeout_s=3, quiet_s=0.6)]


def _framed(stage: Stage, framing: str, rest: bytes, method: str = "POST") -> bytes:
    lines = [f"{method} {PATH} HTTP/1.1", f"Host: 127.0.0.1:{stage.port}", f"Authorization: Bearer {stage.key}"]
    return ("\r\n".join([*lines, "Content-Type: application/json", ""]) + framing + "\r\n").encode("latin-1") + rest


@attack("A10", "30 shapes of two lengths, odd chunks and odd header lines", promise=OTHERS, expected="refused, or one answer")
def shapes(stage: Stage) -> Seen:
    """Each hides a second request. Where the first is answered although its framing is ambiguous, or both are, it worked."""
    body = wire.chat("gatehouse/echo")
    size, hidden = len(body), f"GET /health/liveliness HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\n\r\n".encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    te = "Transfer-Encoding: chunked\r\n"
    cases: dict[str, tuple[str, bytes]] = {
        "length and chunks": (f"Content-Length: {size}\r\n{te}", chunked + hidden),
        "chunks and length": (f"{te}Content-Length: {size}\r\n", chunked + hidden),
        "two lengths": (f"Content-Length: {size}\r\nContent-Length: {size + len(hidden)}\r\n", body + hidden),
        "lengths in a list": (f"Content-Length: {size}, {size}\r\n", body + hidden),
        "plus sign": (f"Content-Length: +{size}\r\n", body + hidden),
        "minus sign": (f"Content-Length: -{size}\r\n", body + hidden),
        "hexadecimal": (f"Content-Length: 0x{size:x}\r\n", body + hidden),
        "underscore": (f"Content-Length: {size // 10}_{size % 10}\r\n", body + hidden),
        "2 to the 64th more": (f"Content-Length: {2**64 + size}\r\n", body + hidden),
        "blank before the colon": (f"Content-Length : {size}\r\n", body + hidden),
        "blank before the name": (f"X: y\r\n Content-Length: {size}\r\n", body + hidden),
        "folded": (f"Content-Length:\r\n {size}\r\n", body + hidden),
        "bare line feeds": (f"Content-Length: {size}\nX: y\r\n", body + hidden),
        "bare carriage return": (f"X: y\rContent-Length: {size}\r\n", body + hidden),
        "NUL in a value": (f"X: a\0b\r\nContent-Length: {size}\r\n", body + hidden),
        "vertical tab": ("Transfer-Encoding:\x0bchunked\r\n", chunked + hidden),
        "xchunked": ("Transfer-Encoding: xchunked\r\n", chunked + hidden),
        "identity": ("Transfer-Encoding: identity\r\n", chunked + hidden),
        "chunked, identity": ("Transfer-Encoding: chunked, identity\r\n", chunked + hidden),
        "chunked twice": (te + te, chunked + hidden),
        "chunked and gzip": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", chunked + hidden),
        "quoted": ('Transfer-Encoding: "chunked"\r\n', chunked + hidden),
        "chunk size signed": (te, b"+%x\r\n%b\r\n0\r\n\r\n" % (size, body) + hidden),
        "chunk size 0x": (te, b"0x%x\r\n%b\r\n0\r\n\r\n" % (size, body) + hidden),
        "chunk size of 17 digits": (te, b"1%016x\r\n%b\r\n0\r\n\r\n" % (size, body) + hidden),
        "chunk without its end": (te, b"%x\r\n%b0\r\n\r\n" % (size, body) + hidden),
        "chunk ended by a line feed": (te, b"%x\n%b\n0\n\n" % (size, body) + hidden),
        "blank in the chunk size": (te, b"%x \r\n%b\r\n0\r\n\r\n" % (size, body) + hidden),
        "no colon": (f"Content-Length {size}\r\n", body + hidden),
        "name with a blank": (f"Content Length: {size}\r\n", body + hidden),
    }
    rows = []
    for name, (framing, rest) in cases.items():
        seen = _statuses(stage, _framed(stage, framing, rest))
        rows.append((name, all(not 200 <= status < 300 for status in seen), str(seen)))
    return every(rows, "shapes")


@attack("A11", "Transfer-Encoding: gzip, chunked", promise=NOT_PROMISED, expected="refused: the body is compressed")
def compressed(stage: Stage) -> Seen:
    """The body is declared compressed and then chunked; read as plain chunks it means something else than it says."""
    body = wire.chat("gatehouse/echo")
    rows = []
    for framing in ("gzip, chunked", "x, chunked", "gzip,chunked", "identity, chunked", "deflate , chunked"):
        seen = _statuses(stage, _framed(stage, f"Transfer-Encoding: {framing}\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)))
        rows.append((framing, not any(200 <= status < 300 for status in seen), str(seen)))
    split = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    seen = _statuses(stage, _framed(stage, split, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)))
    return every([*rows, ("gzip, then chunked in a line of its own", not any(200 <= one < 300 for one in seen), str(seen))], "forms")


@attack("A12", "5 and 40 requests sent ahead", promise=OTHERS, expected="answered in order; not more than a few are held")
def ahead(stage: Stage) -> Seen:
    """Pipelining: answers must come in the order of the requests, and 40 at once must not all be taken in."""
    rows = []
    for count in (5, 40):
        data = b""
        for number in range(count):
            body = wire.chat("gatehouse/echo", f"number {number}.")
            last = "Connection: close\r\n" if number == count - 1 else ""
            data += _framed(stage, f"Content-Length: {len(body)}\r\n{last}", body)
        replies = wire.send(stage.port, data, timeout_s=10, quiet_s=4.0)
        said = [number for number in range(count) for reply in replies if b"number %d." % number in reply.body and reply.status == 200]
        in_order = [reply for reply in replies if reply.status == 200]
        right = all(b"number %d." % at in reply.body for at, reply in enumerate(in_order))
        rows.append((str(count), right and (count > 5 or len(said) == 5), f"{len(in_order)} answers, {'in' if right else 'out of'} order"))
    return every(rows, "trains")


@attack("A13", "a GET with a body that is a request", promise=OTHERS, expected="one answer, or refused")
def body_of_get(stage: Stage) -> Seen:
    """A reader that takes no body from a GET would answer what is in it."""
    hidden = f"GET /health/liveliness HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\n\r\n".encode()
    seen = _statuses(stage, _framed(stage, f"Content-Length: {len(hidden)}\r\n", hidden, method="GET"))
    return every([("GET", sum(200 <= status < 300 for status in seen) == 0, str(seen))], "request")


@attack("A14", "a trailer named like a header that passes", promise=NOT_PROMISED, expected="not sent to the provider")
def trailer(stage: Stage) -> Seen:
    """What comes after a body was not there when the request was judged."""
    body, rows = wire.chat("oa/m"), []
    for name, account in (
        ("openai-beta", "oa"),
        ("anthropic-beta", "an"),
        ("idempotency-key", "oa"),
        ("Host", "oa"),
        ("Authorization", "oa"),
    ):
        path = "/v1/messages" if account == "an" else PATH
        body = wire.chat(f"{account}/m", max_tokens=5)
        upstream = stage.upstreams[account]
        upstream.reset()
        lines = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\nAuthorization: Bearer {stage.key}\r\n"
        lines += "Content-Type: application/json\r\nanthropic-version: 2023-06-01\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"
        end = f"0\r\n{name}: smuggled-by-trailer\r\n\r\n".encode()
        wire.send(stage.port, lines.encode() + b"%x\r\n%b\r\n" % (len(body), body) + end, timeout_s=5, quiet_s=0.6)
        passed = any("smuggled-by-trailer" in value for asked in upstream.seen for _, value in asked.headers)
        rows.append((name, not passed, "reached the provider"))
    return every(rows, "trailers")
