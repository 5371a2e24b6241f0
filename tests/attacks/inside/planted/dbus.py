"""As much of the D-Bus protocol as it takes to call a method with texts and to be called. Used by planted code and by the kit's services.

Source: the D-Bus specification, "Message Protocol" and "Authentication Protocol".
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

CALL, RETURN, ERROR = 1, 2, 3
_DESTINATION, _PATH, _INTERFACE, _MEMBER, _REPLY, _SENDER, _SIGNATURE = 6, 1, 2, 3, 5, 7, 8


@dataclass(frozen=True)
class Message:
    kind: int
    serial: int
    fields: dict[int, object]

    @property
    def member(self) -> str:
        return str(self.fields.get(_MEMBER, ""))

    @property
    def destination(self) -> str:
        return str(self.fields.get(_DESTINATION, ""))

    @property
    def sender(self) -> str:
        return str(self.fields.get(_SENDER, ""))

    @property
    def answers(self) -> int:
        found = self.fields.get(_REPLY, 0)
        return found if isinstance(found, int) else 0


def connect(path: str) -> socket.socket:
    """A connection to the bus at this socket, with a name of its own. OSError."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    try:
        sock.connect(path)
        sock.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        if not _line(sock).startswith(b"OK"):
            raise OSError("the bus does not let us in")
        sock.sendall(b"BEGIN\r\n")
        call(sock, 1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        answer(sock, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def call(sock: socket.socket, serial: int, destination: str, path: str, interface: str, member: str, *texts: str, flags: int = 0) -> None:
    """A method call; the texts are its arguments, a number after them comes as `\\0N`: an unsigned one."""
    body, signature = b"", ""
    for text in texts:
        body += bytes(-len(body) % 4)
        if text.startswith("\0"):
            body, signature = body + struct.pack("<I", int(text[1:])), signature + "u"
        else:
            body, signature = body + _text(text), signature + "s"
    fields = [(_PATH, "o", path), (_DESTINATION, "s", destination), (_INTERFACE, "s", interface), (_MEMBER, "s", member)]
    _send(sock, CALL, flags, serial, [*fields, *([(_SIGNATURE, "g", signature)] if signature else [])], body)


def reply(sock: socket.socket, serial: int, to: Message) -> None:
    _send(sock, RETURN, 0, serial, [(_DESTINATION, "s", to.sender), (_REPLY, "u", to.serial)], b"")


def answer(sock: socket.socket, serial: int) -> Message:
    """The answer to the call of this number. OSError when it is an error."""
    while True:
        message = receive(sock)
        if message.answers == serial:
            if message.kind == ERROR:
                raise OSError(f"the bus answers {message.fields.get(4)}")
            return message


def receive(sock: socket.socket) -> Message:
    head = _exactly(sock, 16)
    _, kind, _, _, body, serial, size = struct.unpack("<BBBBIII", head)
    raw = _exactly(sock, size + -size % 8 + body)
    return Message(kind, serial, _fields(raw[:size]))


def _fields(raw: bytes) -> dict[int, object]:
    found: dict[int, object] = {}
    at = 0
    while at < len(raw):
        at += -at % 8
        code, kind = raw[at], chr(raw[at + 2])
        at += 4
        if kind == "g":
            found[code] = raw[at + 1 : at + 1 + raw[at]].decode()
            at += raw[at] + 2
            continue
        at += -at % 4
        number = struct.unpack_from("<I", raw, at)[0]
        at += 4
        found[code] = number
        if kind in "so":
            found[code] = raw[at : at + number].decode()
            at += number + 1
    return found


def _send(sock: socket.socket, kind: int, flags: int, serial: int, fields: list[tuple[int, str, object]], body: bytes) -> None:
    raw = b""
    for code, form, value in fields:
        raw += bytes(-len(raw) % 8) + bytes([code, 1]) + form.encode() + b"\0"
        if form == "g":
            raw += bytes([len(str(value))]) + str(value).encode() + b"\0"
        elif form == "u":
            raw += struct.pack("<I", value)
        else:
            raw += _text(str(value))
    head = struct.pack("<BBBBIII", ord("l"), kind, flags, 1, len(body), serial, len(raw))
    sock.sendall(head + raw + bytes(-len(raw) % 8) + body)


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode() + b"\0"


def _line(sock: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\r\n"):
        piece = sock.recv(1)
        if not piece:
            raise OSError("the bus closed")
        got += piece
    return got


def _exactly(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        piece = sock.recv(size - len(got))
        if not piece:
            raise OSError("the bus closed")
        got += piece
    return got
