"""The state pill tells the truth: green only while a proof is good and recent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.control.contract import HostView, VaultView
from app.gui.state import Boot, EngineReport, ProofReport, State, base_url, closed, content_words, left_hosts, only_here, pill
from tests.gui.desk import START_US, client, snapshot

BOOT = Boot(data_dir="data", control="control.sock", port=4141, addresses=("127.0.0.1:4141",))
GOOD = ProofReport(ok=True, message="", at_us=START_US, heard_s=100.0)
UP = State(boot=BOOT, engine=EngineReport(state="up"), proof=GOOD, snapshot=snapshot(), live=True)


def word(state: State, now_s: float = 101.0) -> tuple[str, str]:
    seen = pill(state, now_s)
    return seen.word, seen.tone


def test_running_is_green_while_the_last_proof_is_good_and_recent() -> None:
    assert word(UP, 101.0) == ("Running", "ok")
    assert word(UP, 110.0) == ("Running", "ok")
    assert word(UP, 110.1) == ("Not confirmed", "wa")


def test_nothing_is_green_without_a_good_proof() -> None:
    assert word(replace(UP, proof=None)) == ("Starting", "ne")
    assert word(replace(UP, proof=replace(GOOD, ok=False, message="another program answers"))) == ("Not answering", "er")
    # A snapshot that says "running" is a flag, not a proof.
    assert word(replace(UP, proof=None, snapshot=snapshot(state="running")))[1] != "ok"


def test_a_bad_proof_while_starting_is_not_an_alarm() -> None:
    state = replace(UP, proof=replace(GOOD, ok=False), engine=EngineReport(state="starting"))
    assert word(state) == ("Starting", "ne")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (replace(UP, engine=EngineReport(state="stopped")), ("Stopped", "er")),
        (replace(UP, engine=EngineReport(state="crashed")), ("Restarting", "wa")),
        (replace(UP, leaving=True), ("Stopping", "ne")),
        (replace(UP, snapshot=snapshot(state="draining")), ("Stopping", "ne")),
        (replace(UP, snapshot=snapshot(state="failing", problem="disk full")), ("Cannot record", "er")),
        (replace(UP, snapshot=snapshot(state="starting")), ("Starting", "ne")),
    ],
)
def test_the_worst_thing_that_is_true_is_said(state: State, expected: tuple[str, str]) -> None:
    assert word(state) == expected


@pytest.mark.parametrize(
    ("vault", "expected"),
    [("locked", "Keys locked"), ("absent", "No keyring"), ("empty", "Master key missing"), ("denied", "Keys refused")],
)
def test_the_four_ways_keys_are_not_there_are_told_apart(vault: str, expected: str) -> None:
    view = VaultView(mode="keyring", state=vault, place="GNOME Keyring")  # type: ignore[arg-type]
    assert word(replace(UP, snapshot=snapshot(state="locked", vault=view))) == (expected, "wa")


def test_a_message_of_the_keeper_is_read_without_trust() -> None:
    report = EngineReport.of({"op": "engine", "state": "exploded", "log": ["a", 7], "exit": -9, "next_s": 2, "restarts": "3"})
    assert (report.state, report.log, report.exit, report.next_s, report.restarts) == ("crashed", ("a", "7"), "-9", 2.0, 3)
    boot = Boot.of({"data_dir": "d", "control": "c", "port": 4142})
    assert (boot.addresses, boot.tray, boot.port_note) == (("127.0.0.1:4142",), True, "")


def test_the_base_url_is_what_each_kind_of_client_wants() -> None:
    assert base_url(UP, "openai") == "http://127.0.0.1:4141/v1"
    assert base_url(UP, "anthropic") == "http://127.0.0.1:4141"
    assert base_url(replace(UP, snapshot=snapshot(port=4142)), "openai") == "http://127.0.0.1:4142/v1"


def test_a_server_on_the_network_left_this_machine_and_a_loopback_one_did_not() -> None:
    hosts = tuple(
        HostView(host=host, connections=1, bytes_out=size, bytes_in=0, last_us=START_US, local=local)
        for host, size, local in (
            ("api.openai.example", 5, False),
            ("127.0.0.1", 900, True),
            ("::1", 900, True),
            ("localhost", 900, True),
            ("nas.example", 9, True),
        )
    )
    assert [host.host for host in left_hosts(snapshot(hosts=hosts))] == ["nas.example", "api.openai.example"]


def test_what_cannot_be_read_is_said_instead_of_shown_as_empty() -> None:
    assert closed(UP) is None
    for shut in (
        replace(UP, snapshot=None),
        replace(UP, snapshot=snapshot(state="starting", audit_seq=0)),
        replace(UP, snapshot=snapshot(state="locked")),
        replace(UP, snapshot=snapshot(state="failing", audit_seq=0, problem="The database has another key.")),
        replace(UP, snapshot=None, engine=EngineReport(state="stopped")),
    ):
        found = closed(shut)
        assert found is not None
        assert found.fact
    assert closed(replace(UP, snapshot=snapshot(state="failing", problem="disk full"))) is None
    assert closed(replace(UP, snapshot=snapshot(state="starting"))) is None


def test_what_is_stored_is_said_as_it_was_chosen_for_each_client() -> None:
    assert content_words(snapshot(clients=(client("a"),))) == "Prompts and answers are not stored"
    assert content_words(snapshot(clients=(client("a"), client("b", keeps_content=True)))).startswith("Responses are kept for b, no other")
    many = tuple(client(name, keeps_content=True) for name in "abcd")
    assert "a, b and 2 more" in content_words(snapshot(clients=many))
    assert content_words(None) == content_words(snapshot(audit_seq=0)) == ""


@pytest.mark.parametrize(
    ("addresses", "alone"),
    [
        (("127.0.0.1:4141", "[::1]:4141"), True), (("/run/user/1000/gatehouse/x/control.sock",), True),
        (("127.0.0.1:4141", "0.0.0.0:4141"), False), (("[::]:4141",), False), (("192.168.1.5:4141",), False), (("[fe80::1]:4141",), False),
    ],
)  # fmt: skip
def test_only_loopback_is_called_this_machine_only(addresses: tuple[str, ...], alone: bool) -> None:
    assert only_here(addresses) is alone
