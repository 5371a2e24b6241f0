"""HTTP/1.1 without a socket or a clock: a request becomes bytes, bytes become a reply.

Sources: RFC 9110 and RFC 9112. The parser is llhttp (through httptools) in its strict mode; what it does not limit is limited here:
how many headers, how large, and how many bytes may pass that are neither headers nor body (endless chunk extensions, trailers,
interim replies).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import httptools

from app.core.names import climbs

Pairs = Sequence[tuple[str, str]]

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_TARGET: Final = re.compile(r"/[!-~]*")
_MOST_TARGET: Final = 512  # a longer one is not worth remembering
_HOST: Final = re.compile(r"[a-z0-9._:-]{1,253}")

# What this client decides alone: framing, and that the reply is neither compressed nor upgraded.
OURS: Final = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip


class BrokenReplyError(Exception):
    """What came is not an HTTP reply we accept. Its text is a sentence that begins after "The provider"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """header_bytes: names and values of one reply's headers together; also the most that may pass without body. body_bytes: decoded."""

    header_bytes: int = 64 * 1024
    header_count: int = 200
    body_bytes: int = 256 * 1024 * 1024


def request_head(method: str, target: str, host: str, headers: Pairs, body_bytes: int | None) -> bytes:
    """Request line and headers up to the empty line; `body_bytes` None for a request without a body.

    ValueError (which never quotes a value: one of them is the key) if a piece could break the framing or is ours to set.
    """
    if not _METHOD.fullmatch(method) or method in ("HEAD", "CONNECT"):  # their replies have no body although they announce one
        raise ValueError("The method cannot be sent.")
    if len(target) <= _MOST_TARGET:
        _check_target(target)
    else:
        _check_target.__wrapped__(target)
    length = "" if body_bytes is None else f"\r\ncontent-length: {body_bytes}"
    lines = "".join([_name(name) + value for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise ValueError("A header value holds a line break.")
    text = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity{lines}{length}\r\n\r\n"
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        pass  # that exception holds the whole text and must not travel with ours
    raise ValueError("A header value holds a character that HTTP cannot carry.")


@lru_cache(maxsize=512)
def _check_target(target: str) -> None:
    if not _TARGET.fullmatch(target):
        raise ValueError("The path cannot be sent: it must start with / and be plain ASCII.")
    if climbs(target.partition("?")[0]):  # whoever built it: a segment .. would ask for something else than was decided
        raise ValueError("The path cannot be sent: one of its segments is a dot or two.")


@lru_cache(maxsize=512)
def _name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("A header name is not one.")
    if name.lower() in OURS:
        raise ValueError(f"The header {name.lower()} is set by the client alone.")
    return f"\r\n{name}: "


def redirect_host(location: bytes | None, own: str) -> str:
    """The host a redirect points to, safe to show: never its path, which may hold what was asked. `own` for a relative one."""
    try:
        host = urlsplit((location or b"").decode("ascii").strip()).hostname
    except ValueError:
        return "an unreadable address"
    if host is None:
        return own
    return host if _HOST.fullmatch(host) else "an unreadable address"


class ReplyReader:
    """Reads the replies of one connection, one after another. `begin()` before each, then `feed()`; the fields say what came.

    started: status and headers are here. body: pieces since the last time the caller emptied the list. complete: the reply has
    ended by its own framing; `keep_alive` then says whether another may follow. stray: something came after the end.
    """

    __slots__ = (
        "_dry_bytes", "_header_bytes", "_interim", "_limits", "_parser", "_reason",
        "body", "body_bytes", "complete", "headers", "keep_alive", "started", "status", "stray",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._parser: Final = httptools.HttpResponseParser(self)
        self.body: list[bytes] = []
        self.begin()

    def begin(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = []
        self.body_bytes = 0
        self.started = self.complete = self.keep_alive = self.stray = False
        self._interim = False
        self._header_bytes = self._dry_bytes = 0
        self._reason = ""

    def feed(self, data: bytes) -> None:
        """Take what arrived. BrokenReplyError if it is not HTTP, or past a limit; what came complete before that stays readable."""
        before = self.body_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BrokenReplyError("switched to another protocol, which was not asked for.") from None
        except httptools.HttpParserError as error:
            if self.complete:
                self.stray = True
                return
            raise BrokenReplyError(self._reason or f"sent something that is not valid HTTP ({_plain(error)}).") from None
        if self.body_bytes != before:
            self._dry_bytes = 0
            return
        self._dry_bytes += len(data)
        if self._dry_bytes > self._limits.header_bytes and not self.complete:
            raise BrokenReplyError("sent too much that is neither headers nor an answer.")

    def end(self) -> bool:
        """The connection ended. True if that is how this reply ends, False if it was cut off.

        A body that only the connection's end delimits cannot show where it was cut: its JSON or its last event must.
        """
        if self.complete:
            return True
        names = {name for name, _ in self.headers}
        return self.started and b"content-length" not in names and b"chunked" not in (self.header(b"transfer-encoding") or b"").lower()

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    # What the parser calls. An exception raised here reaches `feed` as HttpParserCallbackError, its reason in `_reason`.

    def on_message_begin(self) -> None:
        if self.complete:
            self.stray = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.header_bytes:
            self._stop("sent more headers than are accepted.")
        if self.started:  # a trailer: counted, not kept
            return
        self.headers.append((name.lower(), value))
        if len(self.headers) > self._limits.header_count:
            self._stop("sent more headers than are accepted.")

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:  # RFC 9110 15.2: any number of interim replies may come first
            if status < 100 or status == 101:
                self._stop("switched to another protocol, which was not asked for.")
            self._interim = True
            return
        if status > 599:
            self._stop("answered with a status that does not exist.")
        self.status = status
        self.started = True

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.body.append(data)
            self.body_bytes += len(data)

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if self._interim:
            self._interim = False
            self.headers = []
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()  # only true to ask here: the parser forgets it right after

    def _stop(self, reason: str) -> None:
        self._reason = reason
        raise BrokenReplyError(reason)


def _plain(error: Exception) -> str:
    return str(error).replace("`", "").replace("'", "")[:80]
