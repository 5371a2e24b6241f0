"""`gatehouse status`: what the gateway says of itself, and the proof that the listener on its port is the same program."""

from __future__ import annotations

import hmac
import secrets
from argparse import Namespace
from typing import Any

import msgspec

from app.cli import FAILED, KEYS, OK, confirm, data_dir, text
from app.cli.verbs import show
from app.control.client import ControlClient
from app.control.contract import Snapshot
from app.core.errors import AppError
from app.core.stuck import advice
from app.system.paths import Paths


def run(options: Namespace, client: ControlClient) -> int:
    snapshot = client.snapshot(settled=True)
    doubt = listener_doubt(snapshot, client)
    items = _waiting(options)
    answer: dict[str, Any] = {
        "waiting": len(items),
        "proven": not doubt,
        "doubt": doubt,
        "base_url": snapshot.base_url,
        **msgspec.to_builtins(snapshot),
    }
    show(options, answer, text.facts([*([("WAITING", confirm.words(len(items)))] if items else []), *_facts(snapshot, doubt)]))
    if doubt or snapshot.state == "failing":
        return FAILED
    return OK if snapshot.vault.state == "ready" else KEYS


def _waiting(options: Namespace) -> list[dict[str, Any]]:
    """Of the keeper, and not of the engine, which might not say it."""
    try:
        return confirm.waiting(Paths(data_dir(options)))[0]
    except AppError:
        return []


def listener_doubt(snapshot: Snapshot, client: ControlClient) -> str:
    """ "" when the listener on the gateway's port answers a fresh nonce as only this gateway can; otherwise what is wrong."""
    from app.control.connection import loopback  # noqa: PLC0415  it brings httpx2

    nonce = secrets.token_hex(16)
    expected = client.proof(nonce).hmac
    answered = loopback(f"{snapshot.base_url}/health/proof?nonce={nonce}")
    if answered is None:
        return f"nothing answers at {snapshot.base_url}"
    if not hmac.compare_digest(answered, expected.encode()):
        return f"something else answers at {snapshot.base_url}"
    return ""


def _facts(snapshot: Snapshot, doubt: str) -> list[tuple[str, str]]:
    proven = doubt or "its own listener answered"
    today = snapshot.today
    used = [
        text.many(today.requests, "request", "requests"),
        f"{text.number(today.failed)} failed",
        text.cost(today.cost_microusd, today.unpriced),
    ]
    hosts = [f"{host.host} ({host.connections})" for host in snapshot.hosts]
    pairs = [
        ("Gateway", f"{snapshot.state}, {snapshot.base_url} ({proven})"),
        ("Port", snapshot.port_note),
        ("Problem", snapshot.problem),
        ("Stood still", _stuck(snapshot)),
        ("Version", f"{snapshot.version}, started {text.when(snapshot.started_us)}"),
        ("Keys", _keys(snapshot)),
        ("Providers", ", ".join(view.account.name for view in snapshot.providers) or "none yet"),
        ("Clients", ", ".join(client.name + (" (blocked)" if client.blocked else "") for client in snapshot.clients) or "none yet"),
        ("Today", ", ".join(used)),
        ("Hosts", ", ".join(hosts) or "none today"),
        ("Audit log", text.many(snapshot.audit_seq, "entry", "entries")),
        ("Data", snapshot.data_dir),
    ]
    return [(name, value) for name, value in pairs if value]


def _stuck(snapshot: Snapshot) -> str:
    """Engines of this run that were ended because they did not answer, or ""."""
    if not snapshot.stuck:
        return ""
    last = snapshot.stuck[-1]
    times = text.many(len(snapshot.stuck), "time", "times")
    said = [f"{times}, the last at {text.when(last.at_us)}.", last.sentence(), advice(snapshot.stuck)]
    return " ".join(part for part in said if part)


def _keys(snapshot: Snapshot) -> str:
    """How the vault is, and while it is closed, what that means for requests."""
    vault = snapshot.vault
    said = ", ".join(part for part in (vault.state, vault.place) if part) + (f": {vault.message}" if vault.message else "")
    held = [view.account.name for view in snapshot.providers if view.key_state == "held"]
    unknown = [view.account.name for view in snapshot.providers if view.key_state == "unknown"]
    if held:
        said += f" In memory and used: {', '.join(held)}."
    if unknown:
        said += f" Requests get 503 for: {', '.join(unknown)}."
    return said
