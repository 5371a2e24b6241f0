"""How providers and networks go wrong, one function each. Asked for by the model name `fault/NAME?option=value` or by `Upstream.on`.

A fault gets the connection (`Wire`), the answer that would have been right, and its options. Options after the question mark that a
fault does not know become headers of the reply, e.g. `fault/429?retry-after=3600`; a name that is a number is that status.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from tests.provider_replies import Answer, dumps, error, gemini_error, sse
from tests.wire.spellings import SPELLINGS

Query = dict[str, str]


class Wire(Protocol):
    """The connection as a fault sees it. `gone` is set when the other side has ended it."""

    dialect: str
    key_given: str
    doomed: str
    gone: asyncio.Event

    def write(self, data: bytes) -> None: ...
    async def drained(self) -> None: ...
    def fin(self) -> None: ...
    def reset(self) -> None: ...


Fault = Callable[[Wire, Answer, Query], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def head(answer: Answer, framing: tuple[tuple[str, str], ...], version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {answer.status} Upstream", f"content-type: {answer.content_type}"]
    lines += [f"{name}: {value}" for name, value in (*answer.headers, *framing)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def framing(answer: Answer, body: bytes | None = None) -> tuple[tuple[str, str], ...]:
    if answer.stream:
        return (("transfer-encoding", "chunked"),)
    return (("content-length", str(len(answer.body if body is None else body))),)


def chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def whole(answer: Answer) -> bytes:
    """Head and body as they go over the wire when nothing is wrong."""
    if answer.stream:
        return head(answer, framing(answer)) + b"".join([chunked(piece) for piece in answer.pieces]) + b"0\r\n\r\n"
    return head(answer, framing(answer)) + answer.body


def _begun(answer: Answer, query: Query) -> bytes:
    """Head, and the first part of the body: `after` events of a stream, or half of a body whose full length was announced."""
    after = int(query.get("after", "2"))
    if answer.stream:
        return head(answer, framing(answer)) + b"".join([chunked(piece) for piece in answer.pieces[:after]])
    return head(answer, framing(answer)) + answer.body[: len(answer.body) // 2]


# The connection.


@fault
async def reset(wire: Wire, answer: Answer, query: Query) -> None:
    """Reset before any byte of a reply; `s` seconds after the request came."""
    await asyncio.sleep(float(query.get("s", "0")))
    wire.reset()


@fault
async def close(wire: Wire, answer: Answer, query: Query) -> None:
    """Ended in good order, but before any byte of a reply."""
    await asyncio.sleep(float(query.get("s", "0")))
    wire.fin()


@fault
async def silent(wire: Wire, answer: Answer, query: Query) -> None:
    """Takes the request and never answers."""
    await wire.gone.wait()


@fault
async def reset_mid(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(_begun(answer, query))
    await wire.drained()
    await asyncio.sleep(0.05)  # a reset throws away what the other side has not read yet
    wire.reset()


@fault
async def cut(wire: Wire, answer: Answer, query: Query) -> None:
    """Ended in good order in the middle of the body."""
    wire.write(_begun(answer, query))
    wire.fin()


@fault
async def stall(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(_begun(answer, query))
    await wire.gone.wait()


@fault
async def close_after(wire: Wire, answer: Answer, query: Query) -> None:
    """A good reply that says it is the last one on this connection."""
    wire.write(whole(replace(answer, headers=(*answer.headers, ("connection", "close")))))
    wire.fin()


@fault
async def close_silently(wire: Wire, answer: Answer, query: Query) -> None:
    """A good reply, then the end, `s` seconds later and without having said so."""
    wire.write(whole(answer))
    await asyncio.sleep(float(query.get("s", "0")))
    wire.fin()


@fault
async def race(wire: Wire, answer: Answer, query: Query) -> None:
    """A good reply; the next request on this connection meets the end of it: `then` (a fault, default reset), e.g. `then=reset?s=1`."""
    wire.write(whole(answer))
    wire.doomed = query.get("then", "reset")


@fault
async def second_reply(wire: Wire, answer: Answer, query: Query) -> None:
    """Two replies to one request; the second after `s` seconds, or in the same packet."""
    if "s" not in query:
        wire.write(whole(answer) + whole(answer))
        return
    wire.write(whole(answer))
    await asyncio.sleep(float(query["s"]))
    wire.write(whole(answer))


# The speed.


@fault
async def bytewise(wire: Wire, answer: Answer, query: Query) -> None:
    """One byte per packet."""
    for byte in whole(answer):
        wire.write(bytes((byte,)))
        await asyncio.sleep(0)
        if wire.gone.is_set():
            return


@fault
async def utf8_split(wire: Wire, answer: Answer, query: Query) -> None:
    """HTTP chunks end inside a character wherever the body has one of several bytes."""
    wire.write(head(answer, (("transfer-encoding", "chunked"),)))
    body, start = answer.body, 0
    for index, byte in enumerate(body):
        if byte >= 0xC0:
            wire.write(chunked(body[start : index + 1]))
            start = index + 1
            await asyncio.sleep(0.001)
    wire.write(chunked(body[start:]) + b"0\r\n\r\n")


@fault
async def endless_body(wire: Wire, answer: Answer, query: Query) -> None:
    """As fast as it is taken, until the other side goes."""
    wire.write(head(answer, (("transfer-encoding", "chunked"),)))
    block = chunked(b"x" * 65536)
    while not wire.gone.is_set():
        wire.write(block)
        await wire.drained()
        await asyncio.sleep(0)


# The protocol.


@fault
async def garbage(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    await wire.gone.wait()


@fault
async def http10(wire: Wire, answer: Answer, query: Query) -> None:
    """A body that ends with the connection."""
    wire.write(head(answer, (), version="1.0") + answer.body)
    wire.fin()


@fault
async def interim(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n" + whole(answer))


@fault
async def switch(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc")
    await wire.gone.wait()


@fault
async def two_lengths(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(head(answer, (("content-length", "5"), ("content-length", "50"))) + answer.body)


@fault
async def length_and_chunked(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(head(answer, (("content-length", "5"), ("transfer-encoding", "chunked"))) + chunked(answer.body) + b"0\r\n\r\n")


@fault
async def gzip_on_the_way(wire: Wire, answer: Answer, query: Query) -> None:
    """Compressed as a transfer coding, which needs a `te` header to be allowed (RFC 9110 10.1.4)."""
    wire.write(head(answer, (("transfer-encoding", "gzip, chunked"),)) + chunked(gzip.compress(answer.body)) + b"0\r\n\r\n")


@fault
async def trailers(wire: Wire, answer: Answer, query: Query) -> None:
    """A good reply with trailer fields, one of which looks like a header that counts."""
    body = chunked(answer.body)
    wire.write(
        head(answer, (("transfer-encoding", "chunked"),)) + body + b"0\r\nx-checksum: 1\r\nlocation: https://elsewhere.example/\r\n\r\n"
    )


async def _forever(wire: Wire, start: bytes, block: bytes) -> None:
    wire.write(start)
    while not wire.gone.is_set():
        wire.write(block)
        await wire.drained()
        await asyncio.sleep(0)


@fault
async def endless_headers(wire: Wire, answer: Answer, query: Query) -> None:
    await _forever(wire, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n" * 100)


@fault
async def endless_header(wire: Wire, answer: Answer, query: Query) -> None:
    await _forever(wire, b"HTTP/1.1 200 OK\r\nx-more: ", b"a" * 4096)


@fault
async def endless_interim(wire: Wire, answer: Answer, query: Query) -> None:
    await _forever(wire, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@fault
async def endless_extension(wire: Wire, answer: Answer, query: Query) -> None:
    await _forever(wire, head(answer, (("transfer-encoding", "chunked"),)) + b"5;", b"a=b;" * 1000)


@fault
async def endless_trailer(wire: Wire, answer: Answer, query: Query) -> None:
    await _forever(wire, head(answer, (("transfer-encoding", "chunked"),)) + chunked(b"{}") + b"0\r\n", b"x-more: and more\r\n" * 100)


@fault
async def redirect(wire: Wire, answer: Answer, query: Query) -> None:
    """`to`: the location; `status`: 302."""
    to = query.get("to", "https://elsewhere.example/steal?key=1")
    wire.write(whole(replace(answer, status=int(query.get("status", "302")), headers=(("location", to),), pieces=(b"",), stream=False)))


@fault
async def early(wire: Wire, answer: Answer, query: Query) -> None:
    """Only through `on` and a path: answers 413 when the headers are here, before the body, and closes."""
    refused = error(wire.dialect, int(query.get("status", "413")), "The request is too large.")
    wire.write(whole(replace(refused, headers=(*refused.headers, ("connection", "close")))))
    wire.fin()


# Compression nobody asked for.


def _packed(answer: Answer, body: bytes, encoding: str = "gzip") -> bytes:
    answer = replace(answer, headers=(*answer.headers, ("content-encoding", encoding)), stream=False)
    return head(answer, (("content-length", str(len(body))),)) + body


@fault
async def gzipped(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(_packed(answer, gzip.compress(answer.body)))


@fault
async def gzip_cut(wire: Wire, answer: Answer, query: Query) -> None:
    """Framed whole, but the compressed data lacks its end."""
    wire.write(_packed(answer, gzip.compress(answer.body)[:-12]))


@fault
async def gzip_bomb(wire: Wire, answer: Answer, query: Query) -> None:
    """`mb` megabytes of zeros in a thousandth of that."""
    wire.write(_packed(answer, gzip.compress(bytes(1024 * 1024), 9) * int(query.get("mb", "1024"))))
    await wire.drained()


@fault
async def brotli(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(_packed(answer, b"\x0b\x02\x80hello\x03", "br"))


@fault
async def gzip_stream(wire: Wire, answer: Answer, query: Query) -> None:
    """Compressed, yet flushed after each event."""
    packer = zlib.compressobj(wbits=31)
    wire.write(head(replace(answer, headers=(*answer.headers, ("content-encoding", "gzip"))), (("transfer-encoding", "chunked"),)))
    for piece in answer.pieces:
        wire.write(chunked(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)))
        await asyncio.sleep(0.001)
    wire.write(chunked(packer.flush()) + b"0\r\n\r\n")


# What is said.


@fault
async def html(wire: Wire, answer: Answer, query: Query) -> None:
    """A captive portal."""
    page = b"<!doctype html><title>Welcome</title><p>Please sign in to use this network.</p>"
    wire.write(whole(replace(answer, status=200, content_type="text/html", headers=(), pieces=(page,), stream=False)))


@fault
async def not_json(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(whole(replace(answer, pieces=(b'{"id": "x", ',), stream=False)))


@fault
async def malformed_sse(wire: Wire, answer: Answer, query: Query) -> None:
    """Events whose data is not JSON, lines of no known field, a lone carriage return: in the middle of a good stream."""
    bad = (b"data: {not json\n\n", b"nonsense\n\n", b": comment\n\n", b"data:\r\ndata: {}\r\n\r\n", b"event\n\n", b"data: \xff\xfe\n\n")
    half = len(answer.pieces) // 2
    wire.write(whole(replace(answer, pieces=(*answer.pieces[:half], *bad, *answer.pieces[half:]), stream=True)))


@fault
async def no_done(wire: Wire, answer: Answer, query: Query) -> None:
    """The stream ends in good order, but without `[DONE]` or `message_stop`."""
    wire.write(whole(replace(answer, pieces=answer.pieces[:-1])))


@fault
async def unfinished_event(wire: Wire, answer: Answer, query: Query) -> None:
    """The stream ends in good order in the middle of an event; an answer that is no stream, in the middle of its JSON."""
    if not answer.stream:
        wire.write(whole(replace(answer, pieces=(answer.body[: len(answer.body) // 2],))))
        return
    wire.write(whole(replace(answer, pieces=(*answer.pieces[:3], answer.pieces[3][:20]))))


@fault
async def huge_event(wire: Wire, answer: Answer, query: Query) -> None:
    """One event of `mb` megabytes (10) in the middle of a good stream; an answer that is no stream gets as large."""
    size = int(query.get("mb", "10")) * 1024 * 1024
    if not answer.stream:
        value = json.loads(answer.body)
        value["padding"] = "x" * size
        wire.write(whole(replace(answer, pieces=(dumps(value),))))
    else:
        event = answer.pieces[3].replace(b'"index":0', b'"index":0,"padding":"' + b"x" * size + b'"', 1)
        wire.write(whole(replace(answer, pieces=(*answer.pieces[:3], event, *answer.pieces[4:]))))
    await wire.drained()


@fault
async def error_event(wire: Wire, answer: Answer, query: Query) -> None:
    """An error after `after` events, under status 200."""
    after = int(query.get("after", "3"))
    if wire.dialect == "anthropic":
        event = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
    elif wire.dialect == "gemini":
        event = sse(gemini_error(503, "The model is overloaded. Please try again later."))
    elif wire.dialect == "responses":
        words = "The server had an error"
        event = sse({"type": "error", "sequence_number": after, "code": "server_error", "message": words, "param": None}, "error")
    else:
        event = sse({"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}})
    wire.write(whole(replace(answer, pieces=(*answer.pieces[:after], event))))


@fault
async def echo_key(wire: Wire, answer: Answer, query: Query) -> None:
    """401 with the whole key in the message, plain and masked as OpenAI masks it."""
    key = wire.key_given
    message = f"Incorrect API key provided: {key[:8]}{'*' * 20}{key[-4:]}. You gave {key}. You can find your key in the dashboard."
    wire.write(whole(error(wire.dialect, 401, message)))


@fault
async def repeat_key(wire: Wire, answer: Answer, query: Query) -> None:
    """The key it was given, in the `spelling` of that number (`tests/wire/spellings.py`): in an error (`where=error`), in an event after
    others (`event`), in headers (`headers`), in the encoding (`packed`), or as it is in what the model says (`words`). With `raw=1` what is
    spelled stands in the JSON as it is, so that its escapes are the JSON's own."""
    key, where = wire.key_given, query.get("where", "error")
    spelled = list(SPELLINGS.values())[int(query.get("spelling", "0"))](key)
    mark = "A-PLACE"
    answered = error(wire.dialect, 401, f"Incorrect API key provided: {mark}.")
    put = spelled.encode() if "raw" in query else dumps(spelled)[1:-1]
    if where == "error":
        wire.write(whole(replace(answered, pieces=(answered.body.replace(mark.encode(), put),))))
    elif where == "event":
        body = answered.body.replace(mark.encode(), put)
        if wire.dialect == "responses":
            body = b'{"type":"error","code":"x","param":null,"sequence_number":9,"message":"Bad: %b"}' % put
        event = (b"event: error\n" if wire.dialect in ("anthropic", "responses") else b"") + b"data: " + body + b"\n\n"
        wire.write(whole(replace(answer, pieces=(*answer.pieces[: int(query.get("after", "3"))], event))))
    elif where == "headers":
        fit = "".join(sign if sign.isprintable() and sign.isascii() else "-" for sign in spelled)
        named = {"openai": "x-request-id", "responses": "x-request-id", "anthropic": "request-id", "gemini": "server-timing"}[wire.dialect]
        wire.write(whole(replace(answer, headers=((named, fit),), content_type=f"{answer.content_type}; k={fit}")))
    elif where == "packed":
        wire.write(whole(replace(answer, headers=(("content-encoding", key[:40]),))))
    else:
        wire.write(whole(replace(answer, pieces=tuple(piece.replace(b"Hello", key.encode()) for piece in answer.pieces))))


def _with_usage(answer: Answer, change: Callable[[dict[str, object]], object]) -> Answer:
    """Apply `change` to every object of the answer that holds a `usage`."""

    def changed(piece: bytes) -> bytes:
        before, mark, text = piece.partition(b"data: ")
        raw = text if mark else piece
        if b'"usage' not in raw:
            return piece
        value = json.loads(raw)
        holder = value.get("message", value.get("response", value)) if isinstance(value, dict) else value
        if isinstance(holder, dict) and ("usage" in holder or "usageMetadata" in holder):
            change(holder)
        return before + mark + dumps(value) + (b"\n\n" if mark else b"")

    return replace(answer, pieces=tuple(changed(piece) for piece in answer.pieces))


@fault
async def absurd_usage(wire: Wire, answer: Answer, query: Query) -> None:
    """Counts that are negative, enormous, text, fractions, lists."""

    def change(holder: dict[str, object]) -> None:
        member = "usage" if "usage" in holder else "usageMetadata"
        counts = holder[member]
        names = list(counts) if isinstance(counts, dict) else []
        values: list[object] = [-5, 10**30, "many", 2.5, [], None, True, {"cached_tokens": "x"}]
        holder[member] = {name: values[index % len(values)] for index, name in enumerate(names)}

    wire.write(whole(_with_usage(answer, change)))


@fault
async def no_usage(wire: Wire, answer: Answer, query: Query) -> None:
    wire.write(whole(_with_usage(answer, lambda holder: [holder.pop(name, None) for name in ("usage", "usageMetadata")])))


async def play(name: str, wire: Wire, answer: Answer, query: Query) -> None:
    """Run one fault by name. ValueError if there is none of that name."""
    if name.isdigit():
        status = int(name)
        refused = error(wire.dialect, status, query.pop("message", f"The upstream answers {status} as asked."))
        wire.write(whole(replace(refused, headers=(*refused.headers, *query.items()))))
    elif name in FAULTS:
        await FAULTS[name](wire, answer, query)
    else:
        raise ValueError(f"no fault is named {name!r}; there are {', '.join(sorted(FAULTS))}")
