"""What needs a person's grant: through the person's own programs nothing is noticed of it; past them it waits for `gatehouse confirm`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.control import grants
from app.control.client import ControlClient
from app.control.contract import AuditPolicy, NewProvider, RetentionPolicy, VaultPolicy
from app.core import wishes
from app.core.errors import AppError
from app.store import clients, settings
from app.store.database import Store
from app.system.paths import Paths
from tests.audit.test_every_change import changing_routes
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream

Act = Callable[[ControlClient], object]

# By its place in the table of routes: what to ask for, the wishes that it needs, and how to see that it was done.
ASKED: dict[str, tuple[Act, dict[str, str], Callable[[ControlClient], object]]] = {
    "POST providers": (
        lambda c: c.add_provider(NewProvider(name="work", kind="openai", key="sk-some-key-1234")),
        {"destination": "https://api.openai.com:443"}, lambda c: [view.account.name for view in c.snapshot().providers],
    ),
    "POST clients * identifiers": (
        lambda c: c.choose_identifiers("tool", "pass"), {"client.identifiers": "pass"}, lambda c: c.snapshot().clients[0].identifiers,
    ),
    "POST clients * content": (
        lambda c: c.keep_content("tool", keeps=True), {"client.content": "on"}, lambda c: c.snapshot().clients[0].keeps_content,
    ),
    "PUT audit policy": (
        lambda c: c.set_audit_policy(AuditPolicy(keep_days=1)), {"audit.keep_days": "1"}, lambda c: c.audit_status().keep_days,
    ),
    "PUT retention": (
        lambda c: c.set_retention(RetentionPolicy(keep_days=1, keep_bytes=2 << 30)), {"ledger.keep_days": "1"},
        lambda c: c.retention().keep_days,
    ),
    "PUT vault policy": (
        lambda c: c.set_vault_policy(VaultPolicy(forget_on_lock=True)), {"vault.forget_on_lock": "on"},
        lambda c: c.snapshot().vault.forgets,
    ),
}  # fmt: skip
# What must be there for these is driven elsewhere: a signed segment and a finding (tests/audit/test_every_change.py), a keyring
# (tests/keeper/test_vault.py, tests/journeys/test_a_keyring_locks.py).
ELSEWHERE = {"POST audit prune", "POST audit accept", "POST vault unlock"}


def test_every_route_that_changes_something_is_in_the_table() -> None:
    assert changing_routes() == set(grants.NEEDS)
    assert {what for needed in grants.NEEDS.values() for what in needed} == set(wishes.WISHES)
    assert set(ASKED) | ELSEWHERE == {route for route, needed in grants.NEEDS.items() if needed}


class Noted:
    """A granter that only notes what is wanted."""

    def __init__(self) -> None:
        self.wanted: list[dict[str, object]] = []

    def deposit(self, wanted: Any) -> int:
        self.wanted.append(dict(wanted))
        return len(self.wanted)

    def take_back(self, number: int) -> None: ...

    def let_go(self, account: str) -> None: ...


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("confirm") / "data"
    folder.mkdir(mode=0o700)
    with gateway(folder) as made, made.control() as control:
        control.add_client("tool")
        yield made


@pytest.mark.parametrize("route", ASKED)
def test_past_the_persons_programs_it_is_refused_and_waits(running: Gateway, route: str) -> None:
    act, needed, look = ASKED[route]
    with running.stranger() as stranger:
        before = look(stranger)
        with pytest.raises(AppError, match="confirmation_needed") as refused:
            act(stranger)
        assert refused.value.status == 403
        assert "gatehouse confirm" in refused.value.hint
        assert look(stranger) == before
        waiting = [each for each in running.cli_json("confirm")["waiting"] if each["what"] in needed]
        assert {each["what"]: each["value"] for each in waiting} == needed

        running.cli("confirm", *(str(each["number"]) for each in waiting))
        assert look(stranger) == before, "confirming what was refused does nothing by itself"
        act(stranger)
        assert look(stranger) != before
        assert not [each for each in running.cli_json("confirm")["waiting"] if each["what"] in needed]


@pytest.mark.parametrize("route", ASKED)
def test_the_persons_programs_say_exactly_that_before_they_ask(running: Gateway, route: str) -> None:
    """Whatever becomes of it: here the wish goes nowhere, so it is refused, or it is so already."""
    act, needed, _ = ASKED[route]
    noted = Noted()
    with ControlClient(Paths(running.folder).control, timeout_s=30, granter=noted) as client:
        try:
            act(client)
        except AppError as error:
            assert error.code in ("confirmation_needed", "name_taken"), error
    said = {wishes.wish_of(each).what: wishes.wish_of(each).value for each in noted.wanted}
    assert needed.items() <= said.items()


def test_a_stranger_prunes_and_accepts_nothing(running: Gateway) -> None:
    with running.stranger() as stranger:
        for act in (lambda: stranger.prune_audit(1), lambda: stranger.prune_audit(99_999)):
            with pytest.raises(AppError, match="confirmation_needed"):
                act()
        assert stranger.audit_status().first == 1


def test_a_grant_that_was_not_used_is_taken_back(running: Gateway) -> None:
    with running.control() as control, pytest.raises(AppError, match="key_required"):
        control.add_provider(NewProvider(name="other", kind="openai"))
    with running.stranger() as stranger, pytest.raises(AppError, match="confirmation_needed"):
        stranger.add_provider(NewProvider(name="other", kind="openai", key="sk-some-key-1234"))
    assert "taken back by the command line, unused: other" in (Paths(running.folder).logs / "keeper.log").read_text()


@pytest.mark.parametrize(
    ("words", "granted"),
    [
        (("retention", "set", "--days", "77"), {"ledger.keep_days": "77"}),
        (("retention", "set", "--size", "77M"), {"ledger.keep_bytes": "77000000"}),
        (("audit", "policy", "--keep-days", "77"), {"audit.keep_days": "77"}),
        (("audit", "policy", "--on-failure", "stop"), {"audit.on_failure": "stop"}),
    ],
)
def test_a_verb_wants_what_the_person_said_and_nothing_that_the_engine_says(
    running: Gateway, words: tuple[str, ...], granted: dict[str, str]
) -> None:
    log = Paths(running.folder).logs / "keeper.log"
    before = len(log.read_text())
    running.cli(*words)
    said = [line.partition("granted by the command line: ")[2] for line in log.read_text()[before:].splitlines() if " granted by" in line]
    assert said == [str(wishes.Wish(what, "", value)) for what, value in granted.items()]


def test_json_and_wrong_words(running: Gateway) -> None:
    assert running.cli("confirm", "999999", check=1).stderr.startswith("gatehouse: Nothing waits under that number")
    for words in (["0"], ["-1"], ["x"], ["1", "--unknown"], ["1" * 40]):
        running.cli("confirm", *words, check=2)
    for words in (["--refuse"], ["1", "--all"]):
        running.cli("confirm", *words, check=1)
    error = json.loads(running.cli("confirm", "999999", "--json", check=1).stderr)
    assert error["error"]["code"] == "unknown_name"
    assert isinstance(running.cli_json("confirm", "--refuse", "--all"), list)
    assert running.cli("confirm").stdout == "Nothing waits for you.\n"


def test_without_a_gateway_it_says_so(data_dir: Path) -> None:
    assert Gateway(data_dir).cli("confirm", check=3).stderr.startswith("gatehouse: No gateway is running")


# -- what is found in the database


@contextmanager
def written(stopped: Gateway) -> Iterator[Any]:
    """The database of a stopped gateway, for somebody who has its key."""
    store = Store.open(Paths(stopped.folder).database, stopped.keys()["db"])
    try:
        with store.write() as connection:
            yield connection
    finally:
        store.close()


def found(one: Gateway) -> dict[str, tuple[str, str]]:
    return {each["what"]: (each["value"], each["used"]) for each in one.cli_json("confirm")["waiting"] if each["kind"] == "setting"}


def number_of(one: Gateway, what: str) -> str:
    return next(str(each["number"]) for each in one.cli_json("confirm")["waiting"] if each["what"] == what)


@pytest.mark.timeout(300)
def test_a_setting_that_nobody_asked_for_is_not_used_until_a_person_confirms_it(data_dir: Path) -> None:
    with gateway(data_dir) as first, first.control() as control:
        control.add_client("tool")
        control.choose_identifiers("tool", "remove")  # stricter than the default
        control.set_audit_policy(AuditPolicy(keep_days=90))
    with written(first) as connection:
        settings.put(connection, "audit.keep_days", "1")
        settings.put(connection, "audit.on_failure", "continue")
        settings.put(connection, "ledger.keep_days", "\x1b[2J nonsense")
        clients.set_identifiers(connection, "tool", "pseudonym")  # back to the default
        clients.set_keeps_content(connection, "tool", True)
    everything = {
        "audit.keep_days": ("1", "90"), "audit.on_failure": ("continue", "stop"), "client.identifiers": ("pseudonym", "remove"),
        "client.content": ("on", "off"),
    }  # fmt: skip
    for _ in range(2):  # it waits over a restart as well
        with gateway(data_dir) as one, one.control() as control:
            assert found(one) == everything
            status, (tool,) = control.audit_status(), control.snapshot().clients
            assert (status.keep_days, status.on_failure) == (90, "stop")
            assert (tool.identifiers, tool.keeps_content) == ("remove", False)
            assert control.retention().keep_days == 0
            held = [entry for entry in control.audit(limit=200).entries if entry.kind == "setting.held"]
            assert len(held) == 5, "once, not at each start"
            assert all("\x1b" not in str(entry.body) for entry in held)
    with gateway(data_dir) as one, one.control() as control:
        one.cli("confirm", number_of(one, "audit.keep_days"), number_of(one, "client.content"))
        one.cli("confirm", "--refuse", number_of(one, "audit.on_failure"), number_of(one, "client.identifiers"))
        wait_for(lambda: control.audit_status().keep_days == 1, "the confirmed setting to count")
        wait_for(lambda: control.snapshot().clients[0].keeps_content, "the confirmed setting to count")
        assert found(one) == {}
    with gateway(data_dir) as one, one.control() as control:
        assert found(one) == {}
        status, (tool,) = control.audit_status(), control.snapshot().clients
        assert (status.keep_days, status.on_failure, tool.identifiers, tool.keeps_content) == (1, "stop", "remove", True)


@pytest.mark.timeout(300)
def test_an_upgrade_takes_over_what_is_there_and_says_so_once(data_dir: Path, up: Upstream) -> None:
    with gateway(data_dir) as first, first.control() as control:
        control.add_provider(NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", key=up.key, local=True))
        control.set_audit_policy(AuditPolicy(keep_days=30))
    file = data_dir / "declared.json"
    file.write_text(json.dumps(json.loads(file.read_text())["destinations"]))  # as the version before had it
    with gateway(data_dir) as second, second.control() as control:
        assert second.cli("confirm").stdout == "Nothing waits for you.\n"
        assert control.audit_status().keep_days == 30
        assert control.test_provider("work").account.test_ok
        assert "taken over from the version before" in (Paths(data_dir).logs / "keeper.log").read_text()
    with written(second) as connection:
        settings.put(connection, "audit.keep_days", "1")
    with gateway(data_dir) as third, third.control() as control:
        assert found(third) == {"audit.keep_days": ("1", "30")}


@pytest.mark.timeout(300)
def test_an_account_is_as_before_after_a_restart_and_held_where_the_list_is_gone(data_dir: Path, up: Upstream) -> None:
    with gateway(data_dir) as one:
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
    with gateway(data_dir) as one:
        one.cli("provider", "test", "work")
        assert one.cli("confirm").stdout == "Nothing waits for you.\n"
    (data_dir / "declared.json").write_text('{"version": 2, "destinations": [], "settings": {}, "mac": ""}')
    with gateway(data_dir) as one, one.control() as control:
        assert "waits for your confirmation" in one.cli("provider", "test", "work", check=1).stdout
        assert control.snapshot().providers[0].waits
        one.cli("confirm", "--all")
        wait_for(lambda: control.snapshot().providers[0].account.test_ok, "its test, which follows by itself")
        assert not control.snapshot().providers[0].waits
        # Removed and added again it needs no extra step either; by the engine alone it would.
        one.cli("provider", "remove", "work")
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
        one.cli("provider", "test", "work")


def test_in_a_session_it_is_the_same(data_dir: Path, up: Upstream) -> None:
    with Gateway(data_dir, vault="session") as one:
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
        one.cli("provider", "test", "work")
        with one.stranger() as stranger, pytest.raises(AppError, match="confirmation_needed"):
            stranger.set_audit_policy(AuditPolicy(keep_days=1))
        assert [each["what"] for each in one.cli_json("confirm")["waiting"]] == ["audit.keep_days"]
