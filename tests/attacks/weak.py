"""A gateway with every hole the kit can think of, as a `gatehouse` command: what proves that the kit can say BROKEN.

    python3 -m tests.attacks --gatehouse "python3 -m tests.attacks.weak"

It knows the few verbs that the kit uses. It counts nothing, checks nobody, passes everything on and keeps it in clear.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LOCK = threading.Lock()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", nargs="*")
    for name in ("data-dir", "port", "kind", "base-url", "vault", "passphrase-file", "form", "limit", "key"):
        parser.add_argument(f"--{name}", default="")
    for name in ("json", "local", "key-stdin", "passphrase-stdin", "version"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args(words)
    data = Path(options.data_dir or ".")
    match options.verb:
        case ["serve"]:
            data.mkdir(parents=True, exist_ok=True)
            serve(data, int(options.port))
        case ["provider", "add" | "key", name]:
            old = state(data)["accounts"].get(name, {})
            change(
                data,
                "accounts",
                name,
                old | {"key": sys.stdin.readline().strip(), **({"url": options.base_url} if options.base_url else {})},
            )
        case ["client", "add", name]:
            key = f"sk-gh-{os.urandom(16).hex()}"
            change(data, "clients", key, name)
            print(key)
        case ["status"]:
            print(json.dumps({"state": "running"}))
        case ["activity"] | ["export", "-"]:
            print(*state(data)["ledger"], sep="\n")
        case _:
            return 1
    return 0


def state(data: Path) -> dict[str, Any]:
    path = data / "state.json"
    return json.loads(path.read_text()) if path.exists() else {"accounts": {}, "clients": {}, "ledger": []}


def change(data: Path, table: str, name: str, value: object) -> None:
    with LOCK:
        known = state(data)
        if table == "ledger":
            known[table].append(value)
        else:
            known[table][name] = value
        part = data / f"state.{threading.get_ident()}"
        part.write_text(json.dumps(known))
        part.replace(data / "state.json")


def serve(data: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        print(f"ready http://127.0.0.1:{port}", flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=client, args=(data, sock), daemon=True).start()


def client(data: Path, sock: socket.socket) -> None:
    with sock, suppress(OSError, ValueError, IndexError):
        got = bytearray()
        while True:
            while (end := got.find(b"\r\n\r\n")) < 0:
                got += _some(sock)
            lines = bytes(got[:end]).decode("latin-1").split("\r\n")
            del got[: end + 4]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            if "chunked" in headers.get("transfer-encoding", ""):
                body = b"".join(list(_chunks(sock, got)))
            else:
                size = int(re.sub(r"\D", "", headers.get("content-length", "0")) or 0)
                while len(got) < size:
                    got += _some(sock)
                body = bytes(got[:size])
                del got[:size]
            method, target = lines[0].split(" ")[:2]
            status, said, kind = answer(data, method, target, headers, body)
            sock.sendall(b"HTTP/1.1 %d X\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                         % (status, kind.encode(), len(said), said))  # fmt: skip
            if headers.get("connection") == "close":
                return


def _some(sock: socket.socket) -> bytes:
    if piece := sock.recv(1 << 18):
        return piece
    raise OSError


def _chunks(sock: socket.socket, got: bytearray) -> Iterator[bytes]:
    """Every chunk an object of its own, and then the trailer, however long."""
    at = 0
    while True:
        while (end := got.find(b"\r\n", at)) < 0:
            got += _some(sock)
        size = int(bytes(got[at:end]).partition(b";")[0], 16)
        while len(got) < end + size + 4:
            got += _some(sock)
        if size == 0:
            while b"\r\n\r\n" not in got[end:]:
                got += _some(sock)
            del got[: got.index(b"\r\n\r\n", end) + 4]
            return
        yield bytes(got[end + 2 : end + 2 + size])
        at = end + 4 + size


def answer(data: Path, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
    if method == "GET":
        return 200, b"{}", "application/json"
    asked = json.loads(body)
    path = urlsplit(target).path
    named = re.search(r"/(?:models|deployments)/(.+?)(?::\w+|/(?:chat/completions|embeddings))$", path)
    model = unquote(named[1]) if named else str(asked.get("model", ""))
    account = state(data)["accounts"].get(model.partition("/")[0])
    if account is None:
        change(data, "ledger", "", f"asked for {model}")
        return 200, b'{"choices": []}', "application/json"
    return forward(data, account, model.partition("/")[2], body)


def forward(data: Path, account: dict[str, str], model: str, body: bytes) -> tuple[int, bytes, str]:
    """The model in the path as it came, and whatever the provider says."""
    base = urlsplit(account["url"])
    with socket.create_connection((str(base.hostname), base.port or 80), timeout=20) as sock:
        line = f"POST {base.path}/models/{model} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account['key']}\r\n"
        line += f"Content-Length: {len(body)}\r\n\r\n"
        sock.sendall(line.encode() + body)
        said = bytearray()
        while select.select([sock], [], [], 0.05)[0] and (piece := sock.recv(1 << 18)):
            said += piece
    head, _, rest = bytes(said).partition(b"\r\n\r\n")
    change(data, "ledger", "", rest.decode(errors="replace"))
    return int(head.split()[1]), rest, "application/json"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
