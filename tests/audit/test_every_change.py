"""Everything that changes something, or is refused, is an entry: each kind through its real trigger, on the real processes."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.cli.verbs import VERBS
from app.control.client import ControlClient
from app.control.contract import AuditEntry, AuditPolicy, NewProvider, RetentionPolicy
from app.core import events
from app.core.errors import AppError
from app.core.promises import LIVE
from app.core.records import OwnPrice
from app.core.secret import Secret
from app.store import settings
from app.store.database import Store
from app.system.paths import Paths
from tests.gateway import ROOT, Gateway, free_port, gateway, wait_for
from tests.upstream import Upstream

NOTHING = "changes nothing"
# Every control route that is not a question, and what it writes. A new one needs a line here and its trigger below.
ROUTES = {
    "POST providers": "provider.added",
    "POST providers * test": "provider.tested",
    "PUT providers * key": "provider.key_changed",
    "DELETE providers *": "provider.removed",
    "POST clients": "client.added",
    "POST clients * block": "client.blocked",
    "POST clients * unblock": "client.unblocked",
    "POST clients * content": "client.content_changed",
    "POST clients * identifiers": "client.identifiers_changed",
    "DELETE clients *": "client.removed",
    "POST audit verify": "audit.verified",
    "POST audit export": "audit.exported",
    "POST audit prune": "audit.pruned",
    "PUT audit policy": "setting.changed",
    "POST audit accept": "audit.restored",
    "POST echo": "ledger.batch",
    "POST vault unlock": "vault.changed",
    "PUT vault policy": "setting.changed",
    "POST quit": "gateway.quit_asked",
    "POST network selftest": "egress.self_test",
    "POST network report": "egress.report",
    "PUT prices": "price.set",
    "POST prices remove": "price.set",
    "POST reprice": "ledger.repriced",
    "PUT retention": "setting.changed",
    "POST retention run": "ledger.trimmed",
}
VERB_KINDS = {
    "provider add": "provider.added",
    "provider test": "provider.tested",
    "provider key": "provider.key_changed",
    "provider remove": "provider.removed",
    "client add": "client.added",
    "client block": "client.blocked",
    "client unblock": "client.unblocked",
    "client content": "client.content_changed",
    "client identifiers": "client.identifiers_changed",
    "client remove": "client.removed",
    "audit verify": "audit.verified",
    "audit export": "audit.exported",
    "audit prune": "audit.pruned",
    "audit policy": "setting.changed",
    "audit accept": "audit.restored",
    "unlock": "vault.changed",
    "keys policy": "setting.changed",
    "quit": "gateway.quit_asked",
    "network selftest": "egress.self_test",
    "network report": "egress.report",
    "price set": "price.set",
    "price remove": "price.set",
    "reprice": "ledger.repriced",
    "retention set": "setting.changed",
    "retention run": "ledger.trimmed",
    "export": "ledger.exported",
} | dict.fromkeys(
    (
        "network status",
        "price list",
        "retention show",
        "network refused",
        "network destinations",
        "status",
        "provider list",
        "provider kinds",
        "client list",
        "activity",
        "usage",
        "audit list",
        "audit status",
        "privacy",
    ),
    NOTHING,
)
KINDS = {kind for kind, event in events.audited().items() if event.__module__ == "app.core.events"}
seen: dict[str, AuditEntry] = {}


def changing_routes() -> set[str]:
    """Every path of the control API that is not asked with GET, read from where it is answered."""
    found = set()
    for path in (ROOT / "app" / "engine").glob("*.py"):
        for case in ast.walk(ast.parse(path.read_text())):
            if isinstance(case, ast.match_case) and isinstance(case.pattern, ast.MatchSequence) and len(case.pattern.patterns) == 2:
                method, place = case.pattern.patterns
                if isinstance(method, ast.MatchValue) and isinstance(place, ast.MatchSequence):
                    name = ast.literal_eval(method.value)
                    found |= {f"{name} {way}" for way in _ways(place)} if name != "GET" else set()
    return found


def _ways(path: ast.MatchSequence) -> list[str]:
    ways = [""]
    for part in path.patterns:
        alternatives = ["*"]
        if isinstance(part, ast.MatchValue):
            alternatives = [ast.literal_eval(part.value)]
        elif isinstance(part, ast.MatchAs) and isinstance(part.pattern, ast.MatchOr):
            alternatives = [ast.literal_eval(one.value) for one in part.pattern.patterns if isinstance(one, ast.MatchValue)]
        ways = [f"{way} {alternative}".strip() for way in ways for alternative in alternatives]
    return ways


def test_no_control_route_that_changes_something_is_without_an_entry() -> None:
    assert changing_routes() - set(ROUTES) == set()
    assert len(changing_routes()) > 15
    assert set(ROUTES.values()) <= KINDS


def test_no_verb_that_changes_something_is_without_an_entry() -> None:
    assert {" ".join(filter(None, verb)) for verb in VERBS} - set(VERB_KINDS) == set()
    assert set(VERB_KINDS.values()) <= KINDS | {NOTHING}


def test_the_readme_lists_every_kind_of_entry() -> None:
    section = (ROOT / "README.md").read_text().partition("## What the audit log records")[2].partition("\n## ")[0]
    named = {kind for line in section.splitlines() if line.startswith("| `") for kind in re.findall(r"`([a-z_.]+)`", line.split("|")[1])}
    assert named == KINDS


class Watch:
    """Entries as they come in."""

    def __init__(self, control: ControlClient) -> None:
        self.control = control
        self.newest = self.entries()[0].seq if self.entries() else 0

    def entries(self) -> list[AuditEntry]:
        return list(self.control.audit(limit=200).entries)

    def comes(self, kind: str, act: Callable[[], object]) -> AuditEntry:
        """The entry of that kind that is there after `act`."""
        act()

        def found() -> AuditEntry | None:
            return next((entry for entry in self.entries() if entry.seq > self.newest and entry.kind == kind), None)

        entry: AuditEntry = wait_for(found, f"an entry {kind}")
        self.newest = max(entry.seq, self.newest)
        seen[kind] = entry
        return entry


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("running") / "data"
    folder.mkdir(mode=0o700)
    with gateway(folder) as made:
        yield made


@contextmanager
def written(stopped: Gateway) -> Iterator[Any]:
    """The database of a stopped gateway, for somebody who has its key."""
    store = Store.open(Paths(stopped.folder).database, stopped.keys()["db"])
    try:
        with store.write() as connection:
            yield connection
    finally:
        store.close()


def by_me(entry: AuditEntry) -> dict[str, object]:
    origin = entry.body["origin"]
    assert isinstance(origin, dict)
    assert (entry.actor, origin["uid"]) == ("person", os.getuid())
    assert origin["user"]
    return origin


@pytest.mark.timeout(300)
def test_changes_by_the_control_channel(running: Gateway, up: Upstream, tmp_path: Path) -> None:
    with running.control() as control:
        watch = Watch(control)
        new = NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", key=up.key, local=True)
        added = watch.comes("provider.added", lambda: control.add_provider(new))
        assert by_me(added)["process"] == os.getpid()
        watch.comes("provider.tested", lambda: control.test_provider("work"))
        changed = watch.comes("provider.key_changed", lambda: control.set_provider_key("work", Secret("sk-another-key-1234")))
        detail = changed.body["detail"]
        assert isinstance(detail, dict)
        assert detail["before"] != detail["after"]
        by_me(watch.comes("client.added", lambda: control.add_client("zed")))
        watch.comes("client.blocked", lambda: control.block_client("zed"))
        watch.comes("client.unblocked", lambda: control.unblock_client("zed"))
        watch.comes("client.content_changed", lambda: control.keep_content("zed", keeps=True))
        watch.comes("client.identifiers_changed", lambda: control.choose_identifiers("zed", "remove"))
        watch.comes("client.removed", lambda: control.remove_client("zed"))
        watch.comes("provider.removed", lambda: control.remove_provider("work"))
        watch.comes("ledger.batch", control.echo)
        by_me(watch.comes("audit.verified", control.verify_audit))
        watch.comes("audit.exported", lambda: control.export_audit(lambda number, piece: None))
        policy = watch.comes("setting.changed", lambda: control.set_audit_policy(AuditPolicy(keep_days=30)))
        assert policy.body["detail"] == {"name": "audit.keep_days", "before": "365", "after": "30"}
        wait_for(lambda: control.audit_prunable(0).upto > 5, "a signed segment")
        by_me(watch.comes("audit.pruned", lambda: control.prune_audit(control.audit_prunable(0).upto)))
        assert control.verify_audit().state == "intact"
    text = "".join(str(entry.body) for entry in seen.values())
    assert up.key not in text
    assert "sk-another-key" not in text


def test_what_is_refused_at_the_door(running: Gateway) -> None:
    with running.control() as control:
        watch = Watch(control)
        headers = {"authorization": "Bearer sk-gh-not-a-key", "content-type": "application/json"}

        def guess(times: int) -> None:
            for _ in range(times):
                assert httpx2.post(f"{running.url}/v1/chat/completions", headers=headers, content=b"{}").status_code == 401

        refused = watch.comes("key.refused", lambda: guess(1))
        guess(50)  # the rest of a flood is one entry after a minute
        page = watch.comes("access.refused", lambda: httpx2.get(f"{running.url}/v1/models", headers={"origin": "https://evil.example"}))
        detail = page.body["detail"]
        assert isinstance(detail, dict)
        assert (detail["where"], detail["reason"]) == ("gateway", "origin_not_allowed")
        assert [entry.seq for entry in watch.entries() if entry.kind == "key.refused"] == [refused.seq]
        port = free_port()
        barred = NewProvider(name="barred", kind="openai", base_url=f"https://127.0.0.1:{port}/v1", key="sk-some-key-123")
        entry = watch.comes("egress.refused", lambda: control.add_provider(barred))
        assert (entry.actor, entry.subject) == ("keeper", "barred")
        control.remove_provider("barred")


@pytest.mark.timeout(300)
def test_changes_by_the_command_line_say_so(running: Gateway, up: Upstream, tmp_path: Path) -> None:
    with running.control() as control:
        watch = Watch(control)
        done: set[str] = set()

        def verb(words: str, *more: str, stdin: str = "", check: int | None = 0) -> None:
            entry = watch.comes(VERB_KINDS[words], lambda: running.cli(*words.split(), *more, stdin=stdin, check=check))
            assert by_me(entry)["via"] == "command line"
            done.add(words)

        base = ("--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin")
        verb("provider add", "shop", *base, stdin=up.key)
        verb("provider test", "shop")
        verb("provider key", "shop", "--key-stdin", stdin="sk-yet-another-key")
        verb("provider remove", "shop")
        verb("client add", "amp")
        verb("client block", "amp")
        verb("client unblock", "amp")
        verb("client content", "amp", "on")
        verb("client identifiers", "amp", "pass")
        verb("client remove", "amp")
        verb("audit verify")
        verb("audit export", str(tmp_path / "out"))
        assert control.audit_status().fingerprint in running.cli("audit", "export", str(tmp_path / "again")).stdout
        assert running.cli("verify", str(tmp_path / "out"), check=2).stdout.startswith("Incomplete")  # whose key is it?
        pin = control.audit_status().fingerprint
        assert running.cli("verify", str(tmp_path / "out"), "--key", pin).stdout.startswith("Intact")
        verb("keys policy", "--forget-on-lock", "on")
        verb("audit policy", "--keep-days", "90", "--on-failure", "continue")
        wait_for(lambda: control.audit_prunable(0).upto > 0, "a signed segment")
        assert "would go" in running.cli("audit", "prune", "--keep-days", "0", "--preview").stdout
        assert "--yes" in running.cli("audit", "prune", "--keep-days", "0", check=1).stderr
        verb("audit prune", "--keep-days", "0", "--yes")
        running.cli("audit", "policy", "--on-failure", "stop")
        assert "Fingerprint" in running.cli("audit", "status").stdout
        assert running.cli("audit", "verify").stdout.startswith("Intact")
        # `quit`, `unlock` and `accept` end or need other states: the next test drives them. The others' parts drive theirs.
        left = {verb for verb in set(VERB_KINDS) - done if verb.split()[0] in ("provider", "client", "audit", "quit", "unlock")}
        assert {verb for verb in left if VERB_KINDS[verb] != NOTHING} == {"quit", "unlock", "audit accept"}


@pytest.mark.timeout(300)
def test_the_network_and_the_ledger(running: Gateway, tmp_path: Path) -> None:
    with running.control() as control:
        watch = Watch(control)
        level = watch.comes("egress.level", control.network)
        detail = level.body["detail"]
        assert isinstance(detail, dict)
        assert (detail["before"], level.actor) == ("", "gateway")
        assert detail["after"] == control.network().level
        by_me(watch.comes("egress.self_test", lambda: list(control.try_to_leak())))
        by_me(watch.comes("egress.report", control.network_report))
        row = control.echo().row
        price = OwnPrice(account=row.account, model=row.model, input="3", output="4")
        by_me(watch.comes("price.set", lambda: control.set_price(price)))
        by_me(watch.comes("ledger.repriced", lambda: control.reprice(row.opened_us - 1, row.opened_us + 60_000_000, everything=True)))
        removed = watch.comes("price.set", lambda: control.remove_price(row.account, row.model))
        assert (by_me(removed)["process"], removed.body["detail"]["after"]) == (os.getpid(), "")  # type: ignore[index]
        by_me(watch.comes("setting.changed", lambda: control.set_retention(RetentionPolicy(keep_days=30, keep_bytes=0))))
        by_me(watch.comes("ledger.exported", lambda: b"".join(control.export("csv"))))
        # Asking is no change, but measures the level as the page does.
        assert re.findall("^kept +", running.cli("privacy").stdout, re.MULTILINE) == ["kept       "] * len(LIVE)
        assert [entry.kind for entry in watch.entries()].count("egress.level") == 1
        assert control.verify_audit().state == "intact"


@pytest.mark.timeout(300)
def test_starts_ends_crashes_locks_and_restores(data_dir: Path, tmp_path: Path) -> None:
    database, older = Paths(data_dir).database, tmp_path / "older.db"
    with gateway(data_dir) as first, first.control() as control:
        assert control.verify_audit().state == "intact"  # in the first second too
        wait_for(lambda: control.audit_status().sealed >= 1, "the first signature")
        assert control.verify_audit().state == "intact"
        assert control.audit_status().full_seq >= 1
        control.add_client("zed")
        wait_for(lambda: control.audit_status().anchored == control.audit_status().seq, "the vault to be told, with up to where")
        first.cli("quit")
        assert first.process is not None
        first.process.wait(20)
    shutil.copy(database, older)
    with gateway(data_dir) as second, second.control() as control:
        kinds = {entry.kind: entry for entry in control.audit(limit=50).entries}
        for kind in ("gateway.started", "gateway.stopped", "gateway.quit_asked"):
            seen[kind] = kinds[kind]
        assert by_me(kinds["gateway.quit_asked"])["via"] == "command line"
        status = wait_for(lambda: (now := control.audit_status()).verdict and now, "the check after the start")
        assert status.verdict.since >= 1  # from where the one that somebody asked for ended
        assert status.full_seq >= status.verdict.since
        assert f"entries {status.verdict.since + 1} to {status.verdict.seq} since the start" in second.cli("audit", "status").stdout
        control.add_client("amp")
        wait_for(lambda: control.audit_status().sealed >= control.audit_status().seq, "the signature")
        wait_for(lambda: control.audit_status().anchored == control.audit_status().seq, "the vault to be told")
        engine = second.pids()["engine"]
        second.stop(kill=True)
        wait_for(lambda: not Path(f"/proc/{engine}").exists(), "the engine to notice and end")
    for leftover in ("-wal", "-shm"):
        database.with_name(database.name + leftover).unlink(missing_ok=True)
    shutil.copy(older, database)  # and the journal as it is: an older state was put back
    third = Gateway(data_dir)
    third.arguments = ["--vault", "passphrase"]
    with third, third.control() as control:
        assert control.snapshot().state == "locked"
        for _ in range(3):
            with pytest.raises(AppError, match="passphrase"):
                control.unlock(Secret("not the one at all"))
        third.cli("unlock", "--passphrase-stdin", stdin="correct horse battery staple")
        wait_for(lambda: control.snapshot().state == "running", "the store")
        held = wait_for(lambda: control.audit_status().held, "the finding")
        assert held.kind == "rolled back"
        watch = Watch(control)
        kinds = {entry.kind: entry for entry in reversed(watch.entries())}
        assert kinds["vault.refused"].body["detail"]["count"] == 3  # type: ignore[index]
        for kind in ("vault.refused", "vault.changed", "audit.finding"):
            seen[kind] = wait_for(lambda kind=kind: next((e for e in watch.entries() if e.kind == kind), None), kind)
        assert by_me(seen["vault.changed"])["via"] == "command line"
        by_me(seen["vault.refused"])
        before = control.audit_status()
        control.add_client("roo")  # the app goes on, and what the vault remembers is not touched
        assert third.cli("audit", "verify", check=1).stdout.startswith("Tampered")
        assert control.audit_status().anchored == before.anchored > before.sealed
        with pytest.raises(AppError):
            control.prune_audit(2)
        assert third.cli("audit", "accept", check=1).stderr
        assert by_me(watch.comes("audit.restored", lambda: third.cli("audit", "accept", "--yes")))["via"] == "command line"
        verdict = control.verify_audit()
        assert (verdict.state, len(verdict.notes)) == ("intact", 1)
        control.add_client("kilo")
        os.kill(third.pids()["engine"], signal.SIGKILL)  # the keeper starts another one

        def found() -> AuditEntry | None:
            try:
                return next((entry for entry in watch.entries() if entry.kind == "gateway.crash_found"), None)
            except AppError:
                return None

        seen["gateway.crash_found"] = wait_for(found, "the crash to be found", 30)
        wait_for(lambda: control.audit_status().verdict, "the check after the start")
        verdict = control.verify_audit()
        detail = seen["gateway.crash_found"].body["detail"]
        assert isinstance(detail, dict)
        unsigned = [f"Entries {detail['signed'] + 1} to {detail['newest']} were not signed"] if detail["newest"] > detail["signed"] else []
        assert verdict.state == "intact"
        assert "set aside" in verdict.notes[0]
        assert [note[: len(wanted)] for note, wanted in zip(verdict.notes[1:], unsigned, strict=True)] == unsigned


@pytest.mark.timeout(300)
def test_what_nobody_asked_for(data_dir: Path, up: Upstream) -> None:
    with gateway(data_dir) as first, first.control() as control:
        control.add_provider(NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", key=up.key, local=True))
    with written(first) as connection:
        settings.put(connection, "audit.on_failure", "continue")
    (data_dir / "declared.json").unlink()  # nothing is known of what persons wanted
    with gateway(data_dir) as second, second.control() as control:
        watch = Watch(control)
        for kind in ("egress.held", "setting.held"):
            seen[kind] = wait_for(lambda kind=kind: next((e for e in watch.entries() if e.kind == kind), None), kind)
            assert seen[kind].actor == "keeper"
        answered = watch.comes("confirmation.answered", lambda: second.cli("confirm", "--refuse", "--all"))
        assert (answered.actor, answered.body["origin"]) == ("person", {"via": "command line"})


def test_every_kind_was_driven() -> None:
    if len(seen) < 20:
        pytest.skip("only with the tests above")
    # What planted leaks leave behind is driven by tests/packet and tests/journeys/test_nothing_else_leaves.py; old rows that are about
    # to go, and went, by tests/store/test_retention.py: both need what no running gateway has.
    # An engine that stands still is in tests/journeys/test_engine_stuck.py.
    assert KINDS - set(seen) == {"egress.tripped", "egress.unexplained", "engine.stuck", "ledger.trimming", "ledger.trimmed"}
