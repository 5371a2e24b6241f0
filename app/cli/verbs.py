"""Doing what was typed: one function for each verb, which asks the gateway, prints the answer and returns the exit code."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from app.cli import FAILED, OK, data_dir, text, typed
from app.control.client import ControlClient
from app.control.contract import AuditEntry, Client, Exchange, Kind, NewProvider, ProviderView, Snapshot, UsageRow, VaultPolicy
from app.control.granter import OwnSocket
from app.core.errors import AppError
from app.system.paths import Paths

Verb = Callable[[Namespace, ControlClient], int]


def perform(options: Namespace) -> int:
    """AppError when the gateway refuses, or when none runs."""
    if options.verb == "shortcut":
        return _shortcut(options)
    if options.verb == "verify":
        from app import report_verifier  # noqa: PLC0415  needs no gateway

        path = Path(options.path)
        if (path / report_verifier.REPORT_FILE).is_file():
            return report_verifier.run(path, key=options.key or "", as_json=options.json)
        from app.cli import audit  # noqa: PLC0415  needs no gateway

        return audit.verify_export(options)
    paths = Paths(data_dir(options))
    if options.verb == "confirm":
        from app.cli import confirm  # noqa: PLC0415  asks the keeper

        return confirm.run(options, paths)
    control = paths.control if os.name == "posix" else paths.control_file
    with ControlClient(control, via="command line", granter=OwnSocket(paths)) as client:
        return VERBS[options.verb, options.action](options, client)


def show(options: Namespace, value: object, words: str) -> None:
    """The answer as JSON, or in words for a person."""
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode(), flush=True)  # noqa: T201
    elif words:
        print(words, flush=True)  # noqa: T201


def _status(options: Namespace, client: ControlClient) -> int:
    from app.cli import status  # noqa: PLC0415  no other verb needs it

    return status.run(options, client)


# -- providers


def _provider_add(options: Namespace, client: ControlClient) -> int:
    kind = next((known for known in client.kinds() if known.id == options.kind), None)
    if kind is None:
        raise AppError("kind_unknown", f"{options.kind!r} is not a kind of provider.", "See: gatehouse provider kinds")
    key: str | None = None
    if options.key_stdin or (kind.needs_key and not options.no_key):
        key = typed.secret(f"key for {options.name}", from_stdin=options.key_stdin, option="--key-stdin or --no-key").reveal()
    new = NewProvider(name=options.name, kind=options.kind, base_url=options.base_url, key=key, local=options.local)
    view = client.add_provider(new)
    kept = f" Key: {view.key_place}." if view.key_place else ""
    show(
        options,
        view,
        f"{options.name} is declared: {view.label} at {view.host}.{kept}\nTry it with: gatehouse provider test {options.name}",
    )
    return OK


def _provider_list(options: Namespace, client: ControlClient) -> int:
    views = _opened(client).providers
    head = ("NAME", "KIND", "HOST", "KEY", "LAST TEST", "MODELS", "TODAY")
    rows = [
        (v.account.name, v.account.kind, v.host, v.account.key_hint or v.key_state, _tested(v), str(len(v.account.models)), str(v.today))
        for v in views
    ]
    show(options, views, text.table(head, rows, "fg") if rows else "No provider is declared yet. See: gatehouse provider add --help")
    return OK


def _tested(view: ProviderView) -> str:
    if view.waits:
        return "waits: gatehouse confirm"
    if view.account.test_ok is None:
        return "not yet"
    return ("works" if view.account.test_ok else "failed") + f", {text.when(view.account.tested_us)}"


def _provider_kinds(options: Namespace, client: ControlClient) -> int:
    kinds: list[Kind] = client.kinds()
    rows = [(k.id, k.label, k.dialect, k.base_url or "give --base-url", "needed" if k.needs_key else "none") for k in kinds]
    show(options, kinds, text.table(("KIND", "NAME", "DIALECT", "ADDRESS", "KEY"), rows))
    return OK


def _provider_test(options: Namespace, client: ControlClient) -> int:
    view = client.test_provider(options.name)
    took = "" if view.account.test_ms is None else f" ({view.account.test_ms} ms)"
    show(options, view, f"{options.name}: {text.plain(view.account.test_message)}{took}")
    return OK if view.account.test_ok else FAILED


def _provider_key(options: Namespace, client: ControlClient) -> int:
    key = typed.secret(f"key for {options.name}", from_stdin=options.key_stdin, option="--key-stdin")
    view = client.set_provider_key(options.name, key)
    show(options, view, f"{options.name} has another key. Try it with: gatehouse provider test {options.name}")
    return OK


def _provider_remove(options: Namespace, client: ControlClient) -> int:
    done = client.remove_provider(options.name)
    show(options, done, done.message)
    return OK


# -- clients


def _client_add(options: Namespace, client: ControlClient) -> int:
    """In words, the key alone is on standard output, so that a script can take it; what to do with it is on standard error."""
    added = client.add_client(options.name)
    base_url = client.snapshot().base_url
    if options.json:
        show(options, {"client": added.client, "key": added.key, "base_url": base_url}, "")
        return OK
    print(added.key, flush=True)  # noqa: T201
    text.note(f"This is the key for {options.name}. It is not stored and not shown again.")
    text.note(f"OpenAI clients: base URL {base_url}/v1    Anthropic clients: base URL {base_url}")
    return OK


def _client_list(options: Namespace, client: ControlClient) -> int:
    clients: Sequence[Client] = _opened(client).clients
    rows = [
        (c.name, f"{c.prefix}…{c.last4}", "blocked" if c.blocked else "allowed", text.when(c.created_us), text.when(c.last_seen_us))
        for c in clients
    ]
    words = (
        text.table(("NAME", "KEY", "STATE", "ADDED", "LAST SEEN"), rows) if rows else "No client is allowed yet: gatehouse client add NAME"
    )
    show(options, clients, words)
    return OK


def _client_block(options: Namespace, client: ControlClient) -> int:
    show(options, client.block_client(options.name), f"{options.name} is blocked.")
    return OK


def _client_content(options: Namespace, client: ControlClient) -> int:
    changed = client.keep_content(options.name, keeps=options.keeps == "on")
    words = (
        f"Answers are kept for {options.name}." if changed.keeps_content else f"Nothing is kept for {options.name}; what was is deleted."
    )
    show(options, changed, words)
    return OK


def _client_identifiers(options: Namespace, client: ControlClient) -> int:
    words = {"pseudonym": "are replaced by a pseudonym", "remove": "are taken out", "pass": "go out as they are"}
    changed = client.choose_identifiers(options.name, options.choice)
    show(options, changed, f"Identifiers in requests of {options.name} {words[changed.identifiers]}.")
    return OK


def _client_unblock(options: Namespace, client: ControlClient) -> int:
    show(options, client.unblock_client(options.name), f"{options.name} may ask again.")
    return OK


def _client_remove(options: Namespace, client: ControlClient) -> int:
    done = client.remove_client(options.name)
    show(options, done, done.message)
    return OK


# -- what happened


def _activity(options: Namespace, client: ControlClient) -> int:
    from app.cli import follow  # noqa: PLC0415

    if options.follow:
        return follow.run(options, client)
    rows = _pages(options.limit, lambda limit, before: _activity_page(client, limit, before))
    show(options, rows, follow.words(rows) if rows else "No request yet.")
    return OK


def _activity_page(client: ControlClient, limit: int, before: Any) -> tuple[Sequence[Exchange], Any]:
    page = client.activity(limit=limit, before=before)
    return page.rows, page.next


def _usage(options: Namespace, client: ControlClient) -> int:
    since, until = _midnight_us(options.since), _midnight_us(options.until and options.until + timedelta(days=1))
    rows: list[UsageRow] = client.usage(options.by, since_us=since, until_us=until)
    head = (*(name.upper() for name in options.by), "REQUESTS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST")
    lines = [(*(part or text.NOTHING for part in row.key), *_sums([row])) for row in rows]
    if len(rows) > 1:
        lines.append(("all", *("" for _ in options.by[1:]), *_sums(rows)))
    numbers = "".join(chr(ord("a") + len(options.by) + column) for column in range(6))
    show(options, rows, text.table(head, lines, numbers) if rows else "No request in this time.")
    return OK


def _sums(rows: Sequence[UsageRow]) -> tuple[str, ...]:
    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    estimated = total("estimated") > 0
    counts = [text.number(total(name), estimated=estimated) for name in ("input", "cached", "output")]
    return text.number(total("requests")), text.number(total("failed")), *counts, text.cost(total("cost_microusd"), total("unpriced"))


def _midnight_us(day: date | None) -> int | None:
    """The start of a local day. `astimezone` knows the offset of that very day, summer time included."""
    return None if day is None else int(datetime.combine(day, time()).astimezone().timestamp() * 1e6)


def _audit_list(options: Namespace, client: ControlClient) -> int:
    def page_of(limit: int, before: Any) -> tuple[Sequence[AuditEntry], Any]:
        page = client.audit(limit=limit, before=before)
        return page.entries, page.next

    entries = _pages(options.limit, page_of)
    rows = [(str(e.seq), text.when(e.at_us), e.kind, e.subject or text.NOTHING, e.actor, e.hash[:12]) for e in entries]
    show(options, entries, text.table(("ENTRY", "TIME", "WHAT", "ABOUT", "BY", "HASH"), rows, "a") if rows else "No entry yet.")
    return OK


def _ledger(options: Namespace, client: ControlClient) -> int:
    from app.cli import ledger  # noqa: PLC0415  no other verb needs it

    act: Verb = getattr(ledger, f"{options.verb}_{options.action}" if options.action else f"perform_{options.verb}")
    return act(options, client)


def _audit(options: Namespace, client: ControlClient) -> int:
    from app.cli import audit  # noqa: PLC0415  no other verb needs it

    act: Verb = getattr(audit, {"status": "show_status", None: "privacy"}.get(options.action, options.action or ""))
    return act(options, client)


def _pages(limit: int, page_of: Callable[[int, Any], tuple[Sequence[Any], Any]]) -> list[Any]:
    """The newest `limit` rows, oldest of them first, asked for in pages that no engine finds too large."""
    rows: list[Any] = []
    before = None
    while len(rows) < limit:
        page, before = page_of(min(limit - len(rows), 500), before)
        rows.extend(page)
        if before is None or not page:
            break
    return rows[::-1]


def _opened(client: ControlClient) -> Snapshot:
    """The snapshot, if it can hold anything. AppError vault_*: behind a locked vault its lists are empty because nothing can be read."""
    snapshot = client.snapshot(settled=True)
    if snapshot.state == "locked":
        raise AppError(f"vault_{snapshot.vault.state}", snapshot.vault.message, "See `gatehouse status`, or run `gatehouse unlock`.")
    return snapshot


# -- the gateway itself


def _unlock(options: Namespace, client: ControlClient) -> int:
    vault = client.snapshot(settled=True).vault
    words = None
    if vault.mode == "passphrase":
        words = typed.secret("passphrase", from_stdin=options.passphrase_stdin, option="--passphrase-stdin", blanks=True)
    opened = client.unlock(words)
    if opened.state != "ready":
        raise AppError(f"vault_{opened.state}", opened.message or f"The vault is {opened.state}.")
    show(options, opened, f"The vault is open: {opened.place}.")
    return OK


def _keys_policy(options: Namespace, client: ControlClient) -> int:
    if options.forget_on_lock is None:
        vault = _opened(client).vault
    else:
        vault = client.set_vault_policy(VaultPolicy(forget_on_lock=options.forget_on_lock == "on"))
    words = "leave the memory too, and requests get 503 until it opens" if vault.forgets else "that are in memory go on being used"
    show(options, vault, f"When the keyring locks, keys of providers {words}.")
    return OK


def _quit(options: Namespace, client: ControlClient) -> int:
    done = client.quit()
    show(options, done, done.message)
    return OK


def _shortcut(options: Namespace) -> int:
    from app.system import shortcut  # noqa: PLC0415

    changed = shortcut.install() if options.action == "install" else shortcut.remove()
    said = "Made" if options.action == "install" else "Removed"
    lines = [f"{said}: {path}" for path in changed.paths] or ["Nothing to do."]
    show(options, {"paths": [str(path) for path in changed.paths]}, "\n".join([*lines, *([changed.note] if changed.note else [])]))
    return OK


def _network(options: Namespace, client: ControlClient) -> int:
    from app.cli import network  # noqa: PLC0415  no other verb needs it

    return network.run(options, client)


VERBS: Final[dict[tuple[str, str | None], Verb]] = {
    ("status", None): _status,
    ("provider", "add"): _provider_add,
    ("provider", "list"): _provider_list,
    ("provider", "kinds"): _provider_kinds,
    ("provider", "test"): _provider_test,
    ("provider", "key"): _provider_key,
    ("provider", "remove"): _provider_remove,
    ("client", "add"): _client_add,
    ("client", "list"): _client_list,
    ("client", "block"): _client_block,
    ("client", "unblock"): _client_unblock,
    ("client", "content"): _client_content,
    ("client", "identifiers"): _client_identifiers,
    ("client", "remove"): _client_remove,
    ("activity", None): _activity,
    ("usage", None): _usage,
    ("audit", "list"): _audit_list,
    ("audit", "verify"): _audit,
    ("audit", "status"): _audit,
    ("audit", "export"): _audit,
    ("audit", "prune"): _audit,
    ("audit", "policy"): _audit,
    ("audit", "accept"): _audit,
    ("privacy", None): _audit,
    ("export", None): _ledger,
    ("reprice", None): _ledger,
    ("retention", "show"): _ledger,
    ("retention", "set"): _ledger,
    ("retention", "run"): _ledger,
    ("price", "set"): _ledger,
    ("price", "list"): _ledger,
    ("price", "remove"): _ledger,
    ("network", "status"): _network,
    ("network", "destinations"): _network,
    ("network", "refused"): _network,
    ("network", "selftest"): _network,
    ("network", "report"): _network,
    ("unlock", None): _unlock,
    ("keys", "policy"): _keys_policy,
    ("quit", None): _quit,
}
