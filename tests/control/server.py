"""A small control server on a real unix socket: it keeps providers and clients in memory and speaks `app/control/contract.py`.

It stands in for the engine where the caller (`ControlClient`, the command line) is the subject. It can be told to misbehave: `answer`
replaces the reply to one path, and `say` and `hang_up` drive the event stream.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import http.server
import itertools
import json
import queue
import shutil
import socket
import socketserver
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from app.control import contract as c
from app.core import frames
from app.core.errors import CODES, AppError
from app.core.events import audited
from app.core.records import MinuteBar

START_US = 1_760_000_000_000_000


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 32


class ControlServer:
    """`control`: the socket. `asked`: every (method, path, body) in order. `port`: a real listener that answers nonces, or 0."""

    def __init__(self, folder: Path | None = None) -> None:
        # pytest's own folders can be longer than the 104 bytes that a unix socket's path may have.
        self._own = None if folder else tempfile.mkdtemp(prefix="gh-")
        self.folder = folder or Path(self._own or "")
        self.control = self.folder / "control.sock"
        self.secret = hashlib.sha256(str(self.control).encode()).digest()
        self.asked: list[tuple[str, str, bytes]] = []
        self.hosts_seen: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.delays_s: dict[str, float] = {}
        self.providers: dict[str, c.ProviderView] = {}
        self.keys: dict[str, str] = {}
        self.clients: dict[str, c.Client] = {}
        self.rows: list[c.Exchange] = []
        self.usage: list[c.UsageRow] = []
        self.prices: list[c.OwnPrice] = []
        self.entries: list[c.AuditEntry] = []
        self.counting = 0
        self.finding = ""
        self.audit_status: c.AuditStatus | None = None
        self.vault = c.VaultView(mode="keyring", state="ready", place="GNOME Keyring")
        self.passphrase = "correct horse"
        self.problem = ""
        self.quitted = threading.Event()
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        self.listening = True
        self.lying = False

        handler = type("Handler", (_Control,), {"owner": self})
        self._unix = _Unix(str(self.control), handler)
        self._web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Web", (_Listener,), {"owner": self}))
        self._web.daemon_threads = True
        self.port = self._web.server_port

    def __enter__(self) -> ControlServer:
        for server in (self._unix, self._web):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.put(None)
        for server in (self._unix, self._web):
            server.shutdown()
            server.server_close()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def answer(self, path: str, status: int, body: bytes) -> None:
        self.answers[path] = (status, body)

    def say(self, line: c.EventLine) -> None:
        self.lines.put(msgspec.json.encode(line) + b"\n")

    def snapshot(self) -> c.Snapshot:
        return c.Snapshot(
            seq=1,
            version="0.1.0",
            state="running" if self.vault.state == "ready" else "locked",
            started_us=START_US,
            port=self.port,
            addresses=(f"127.0.0.1:{self.port}",),
            problem=self.problem,
            vault=self.vault,
            providers=tuple(self.providers.values()),
            clients=tuple(self.clients.values()),
            audit_seq=len(self.entries),
            data_dir="data",
            today=c.Today(requests=len(self.rows)),
        )

    def proof_of(self, nonce: str) -> str:
        return hmac.new(self.secret, nonce.encode(), hashlib.sha256).hexdigest()

    # one method per command; each returns what the contract says

    def handle(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        match (method, *path.removeprefix("/v0/").split("/")):
            case ("GET", "snapshot"):
                return self.snapshot()
            case ("GET", "proof"):
                return c.Proof(self.proof_of(query["nonce"]))
            case ("GET", "kinds"):
                return [
                    c.Kind(id="openai", label="OpenAI", base_url="https://example.test/v1", dialect="openai", needs_key=True, local=False)
                ]
            case ("POST", "providers"):
                return self._add(msgspec.json.decode(body, type=c.NewProvider))
            case ("POST", "providers", name, "test"):
                view = self._provider(name)
                account = dataclasses.replace(
                    view.account, tested_us=START_US, test_ok=True, test_message="Works, 2 models", models=("a", "b")
                )
                self.providers[name] = msgspec.structs.replace(view, account=account)
                return self.providers[name]
            case ("PUT", "providers", name, "key"):
                self._provider(name)
                self.keys[name] = msgspec.json.decode(body, type=c.NewKey).key
                return self.providers[name]
            case ("DELETE", "providers", name):
                self._provider(name)
                del self.providers[name]
                return c.Done(message="Removed.")
            case ("POST", "clients"):
                name = msgspec.json.decode(body, type=c.NewClient).name
                if name in self.clients:
                    raise AppError("name_taken", f"There is a client called {name!r} already.", "Choose another name.")
                self.clients[name] = c.Client(name=name, prefix="sk-gh-ab", last4="wxyz", created_us=START_US)
                return c.ClientKey(client=self.clients[name], key="sk-gh-" + "k" * 43)
            case ("POST", "clients", name, "block" | "unblock" as verb):
                self.clients[name] = dataclasses.replace(self._client(name), blocked=verb == "block")
                return self.clients[name]
            case ("POST", "clients", name, "content"):
                keeps = msgspec.json.decode(body, type=c.KeepContent).keeps
                self.clients[name] = dataclasses.replace(self._client(name), keeps_content=keeps)
                return self.clients[name]
            case ("POST", "clients", name, "identifiers"):
                chosen = msgspec.json.decode(body, type=c.ClientIdentifiers).identifiers
                self.clients[name] = dataclasses.replace(self._client(name), identifiers=chosen)
                return self.clients[name]
            case ("DELETE", "clients", name):
                self._client(name)
                del self.clients[name]
                return c.Done(message="Removed.")
            case ("GET", "activity"):
                fitting = [r for r in self.rows if _fits(r, query) and ("before" not in query or r.id < query["before"])]
                rows = sorted(fitting, key=lambda r: r.id, reverse=True)
                limit = int(query["limit"])
                return c.ActivityPage(rows=tuple(rows[:limit]), next=rows[limit - 1].id if len(rows) > limit else None)
            case ("GET", "activity", "minutes"):
                minutes = Counter(row.opened_us // 60_000_000 for row in self.rows if _fits(row, query))
                return [MinuteBar(at_us=minute * 60_000_000, requests=n, failed=0) for minute, n in sorted(minutes.items())]
            case ("GET", "activity", identifier):
                row = next((r for r in self.rows if r.id == identifier), None)
                if row is None:
                    raise AppError("unknown_name", "This request is not in the ledger.")
                return c.ActivityRow(row=row, batch=2, refusal=3 if row.outcome == "refused" else None)
            case ("GET", "network", "records", number):
                return c.EgressRecord(connection=int(number), opened_us=START_US, host="api.openai.example", port=443, spki="ab" * 32)
            case ("GET", "prices"):
                return self.prices
            case ("PUT", "prices"):
                self.prices.append(msgspec.json.decode(body, type=c.OwnPrice))
                return self.prices[-1]
            case ("POST", "reprice"):
                return c.Repriced(looked_at=9, changed=4, before_microusd=0, after_microusd=1_250_000)
            case ("GET", "usage"):
                return self.usage
            case ("GET", "audit"):
                return self._audit(query)
            case ("GET", "audit", "status"):
                return self.audit_status
            case ("GET", "audit", "prune"):
                return c.AuditPrunable(upto=2, count=2, first=1, first_us=START_US, last_us=START_US, size_bytes=500, rows=0, kept=1)
            case ("GET", "audit", seq) if not 0 < int(seq) <= len(self.entries):
                raise AppError("unknown_name", f"There is no entry {seq}.")
            case ("GET", "audit", seq):
                return c.AuditDetail(
                    entry=self.entries[int(seq) - 1], previous="", following="ab" * 32, sealed_by=3, sealed_us=START_US, sealed_epoch=0
                )
            case ("POST", "audit", "export"):
                return exported(len(self.entries))
            case ("GET", "export"):
                lines = [f"{row.id},{row.client}" for row in self.rows]
                return "\r\n".join(["id,client", *lines, ""]).encode()
            case ("PUT", "audit", "policy"):
                return self.audit_status
            case ("POST", "audit", "prune" | "accept"):
                return c.Done(message="Done.")
            case ("GET", "privacy"):
                return [c.Promise(id="telemetry", title="No telemetry", kept=True, state="Nothing goes out.", check="sudo ss -tnp")]
            case ("POST", "audit", "verify"):
                found = c.AuditFinding(kind="edited", seq=2, sentence=self.finding, advice="Compare it.")
                return c.AuditVerdict(
                    intact=not self.finding,
                    state="tampered" if self.finding else "intact",
                    entries=len(self.entries),
                    seq=len(self.entries),
                    head="ab" * 32,
                    finding=self.finding,
                    findings=(found,) if self.finding else (),
                )
            case ("POST", "echo"):
                return c.EchoResult(row=c.Exchange(id="req_" + "0" * 26, opened_us=START_US, status=200, outcome="completed"), text="hello")
            case ("POST", "vault", "unlock"):
                if msgspec.json.decode(body, type=c.Unlock).passphrase not in (None, self.passphrase):
                    raise AppError("vault_passphrase", "That passphrase does not open the vault.", "Try again.")
                self.vault = msgspec.structs.replace(self.vault, state="ready", message="")
                return self.vault
            case ("POST", "quit"):
                self.quitted.set()
                return c.Done(message="Stopping.")
        raise AppError("not_found", "There is no such path.")

    def _audit(self, query: dict[str, str]) -> c.AuditPage:
        """As the engine: with `fold`, batches that follow each other are runs; `counting` of them are not counted yet."""
        before, limit = int(query.get("before", 1 << 62)), int(query["limit"])
        found = [entry for entry in reversed(self.entries) if entry.seq < before and _fits_audit(entry, query)]
        if query.get("fold") != "1":
            return c.AuditPage(entries=tuple(found[:limit]), next=found[limit - 1].seq if len(found) > limit else None)
        others = [entry for entry in found if entry.kind != "ledger.batch"][:limit]
        following = others[-1].seq if len(others) == limit else None
        runs = []
        for is_batch, group in itertools.groupby(found, key=lambda entry: entry.kind == "ledger.batch"):
            members = list(group)
            if is_batch and (following is None or members[-1].seq > following):
                last, first = members[0], members[-1]
                run = c.AuditRun(first=first.seq, upto=last.seq, first_us=first.at_us, last_us=last.at_us)
                if self.counting:
                    self.counting -= 1
                else:
                    requests = sum(int(str(dict(entry.body["detail"])["count"])) for entry in members)  # type: ignore[call-overload]
                    run = dataclasses.replace(run, entries=len(members), requests=requests)
                runs.append(run)
        return c.AuditPage(entries=tuple(others), next=following, runs=tuple(runs))

    def _add(self, new: c.NewProvider) -> c.ProviderView:
        if new.kind != "openai" and not new.base_url:
            raise AppError("kind_unknown", f"{new.kind!r} is not a kind of provider.", "Run: gatehouse provider add --help")
        if new.name in self.providers:
            raise AppError("name_taken", f"There is a provider called {new.name!r} already.", "Choose another name.")
        if new.key:
            self.keys[new.name] = new.key
        account = c.Account(
            name=new.name, kind=new.kind, base_url=new.base_url, local=new.local, keyed=bool(new.key), key_hint="…" if new.key else ""
        )
        view = c.ProviderView(
            account=account, label="OpenAI", host="example.test", dialect="openai", key_state="stored" if new.key else "none", key_place=""
        )
        self.providers[new.name] = view
        return view

    def _provider(self, name: str) -> c.ProviderView:
        if name not in self.providers:
            raise AppError("unknown_name", f"There is no provider called {name!r}.", "See: gatehouse provider list")
        return self.providers[name]

    def _client(self, name: str) -> c.Client:
        if name not in self.clients:
            raise AppError("unknown_name", f"There is no client called {name!r}.", "See: gatehouse client list")
        return self.clients[name]


def exported(entries: int) -> bytes:
    """A log of so many entries, as it is streamed."""
    made = c.AuditExport(entries=entries, upto=3, size_bytes=900, signed=True, fingerprint="361a e3d7")
    files = [frames.frame(0, b'{"seq":1}\n' * entries), frames.frame(1, b"{}\n"), frames.frame(2, b'{"body":{}}\n')]
    return b"".join([*files, frames.frame(frames.END, msgspec.json.encode(c.AuditExportEnd(made=made)))])


def _fits(row: c.Exchange, query: dict[str, str]) -> bool:
    """Whether a row fits the last value of each filter; of text, in its message as it is written."""
    wanted = {
        "client": row.client,
        "provider": row.account,
        "model": row.model,
        "outcome": row.outcome,
    }
    return (
        all(query.get(name, value) == value for name, value in wanted.items())
        and query.get("status", str(row.status)) in (str(row.status), f"{row.status // 100}xx")
        and query.get("text", "") in row.message
        and row.id.startswith(query.get("id", ""))
        and int(query.get("since_us", 0)) <= row.opened_us < int(query.get("until_us", 1 << 62))
    )


def _fits_audit(entry: c.AuditEntry, query: dict[str, str]) -> bool:
    kind = audited().get(entry.kind)
    in_group = "group" not in query or (kind is not None and query["group"] == kind.GROUP)
    by_actor = query.get("actor", entry.actor) == entry.actor
    words = query.get("text", "").lower() in json.dumps(entry.body, ensure_ascii=False).lower() or entry.kind in query.get(
        "titled", ""
    ).split(",")
    return in_group and by_actor and words


class _Control(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ClassVar[ControlServer]

    def _serve(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        target = urlsplit(self.path)
        path = "/".join(unquote(part) if "%2F" not in part else part for part in target.path.split("/"))
        owner.asked.append((self.command, self.path, body))
        owner.hosts_seen.append(self.headers["host"])
        time.sleep(owner.delays_s.get(target.path, 0))
        if target.path in owner.answers:
            self._reply(*owner.answers[target.path])
        elif target.path == "/v0/events":
            self._stream()
        else:
            try:
                value = owner.handle(self.command, path, dict(parse_qsl(target.query)), body)
            except AppError as error:
                problem = c.Problem(code=error.code, message=error.message, hint=error.hint)
                self._reply(CODES[error.code].status, msgspec.json.encode(problem))
            else:
                self._reply(200, value if isinstance(value, bytes) else msgspec.json.encode(value))

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        with contextlib.suppress(OSError):  # the one who asked gave up
            self.end_headers()
            self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            self._chunk(msgspec.json.encode(c.EventLine(seq=1, snapshot=self.owner.snapshot())) + b"\n")
            for line in iter(self.owner.lines.get, None):
                self._chunk(line)
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        return


class _Listener(http.server.BaseHTTPRequestHandler):
    owner: ClassVar[ControlServer]

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        nonce = dict(parse_qsl(target.query)).get("nonce", "")
        body = (b"0" * 64) if self.owner.lying else self.owner.proof_of(nonce).encode()
        self.send_response(200 if self.owner.listening else 503)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextlib.contextmanager
def dead_socket() -> Iterator[Path]:
    """A socket file whose owner died: there, and nobody listens."""
    folder = Path(tempfile.mkdtemp(prefix="gh-"))
    control = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(control))
    yield control
    shutil.rmtree(folder)
