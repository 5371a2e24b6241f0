"""A provider on loopback that says whatever it is told to, byte for byte, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import sleep

from tests.attacks import wire


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


Answer = Callable[[Asked], Iterable[bytes]]


class Upstream:
    """dialect: openai, anthropic, gemini or responses. answer: what comes back, in pieces; the usual answer when it is None."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.seen: list[Asked] = []
        self.answer: Answer | None = None
        self._listener = socket.create_server((wire.HOST, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def reset(self) -> None:
        self.seen.clear()
        self.answer = None

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError, ValueError):
            sock.settimeout(60)
            left = b""
            while True:
                asked, left = _request(sock, left)
                if asked is None:
                    return
                self.seen.append(asked)
                pieces = self.answer(asked) if self.answer is not None else [usual(self.dialect, asked)]
                for piece in pieces:
                    sock.sendall(piece)
                if self.answer is not None:
                    return


def _request(sock: socket.socket, data: bytes) -> tuple[Asked | None, bytes]:
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1 << 16)
        if not piece:
            return None, b""
        data += piece
    top, _, rest = data.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    size = int(dict(headers).get("content-length", "0"))
    body = bytearray(rest)
    while len(body) < size:
        piece = sock.recv(1 << 18)
        if not piece:
            return None, b""
        body += piece
    return Asked(method, target, headers, bytes(body[:size])), bytes(body[size:])


def reply(status: int, body: bytes, kind: str = "application/json", *headers: tuple[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def error(status: int, message: str, *headers: tuple[str, str]) -> bytes:
    """An error whose message is JSON source: escapes in it go out as they are."""
    text = '{"error": {"message": "' + message + '", "type": "invalid_request_error", "code": "invalid_api_key", "param": null}}'
    return reply(status, text.encode(), "application/json", *headers)


def slowly(data: bytes, size: int, pause_s: float = 0.0) -> Iterable[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
        if pause_s:
            sleep(pause_s)


def usual(dialect: str, asked: Asked) -> bytes:
    """A short answer that each dialect's clients take."""
    if dialect == "anthropic":
        body: object = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
            "content": [{"type": "text", "text": "Yes."}], "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
    elif dialect == "gemini":
        body = {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        }
    elif dialect == "responses":
        text = {"type": "output_text", "text": "Yes.", "annotations": []}
        body = {
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        }  # fmt: skip
    else:
        body = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }  # fmt: skip
    return reply(200, json.dumps(body).encode())
