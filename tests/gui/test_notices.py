"""One banner at a time, the worst first, and it says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.control.contract import EchoResult, VaultView
from app.core.stuck import Stuck
from app.gui import notices
from app.gui.format import clock
from app.gui.notices import Banner, banner, banners, toast
from app.gui.state import Boot, EngineReport, Notice, ProofReport, State
from tests.gui.desk import START_US, exchange, provider, snapshot

BOOT = Boot(data_dir="data", control="control.sock", port=4142, addresses=("127.0.0.1:4142",), port_note="Port 4141 is held by nginx.")
UP = State(
    boot=BOOT,
    engine=EngineReport(state="up"),
    proof=ProofReport(ok=True, message="", at_us=START_US, heard_s=1.0),
    snapshot=snapshot(port=4142),
    live=True,
)


def shown(state: State, *, note_read: bool = False) -> Banner:
    found = banner(state, note_read=note_read)
    assert found is not None
    return found


def acts(found: Banner) -> list[str]:
    return [choice.act for choice in found.choices]


def test_all_well_says_nothing() -> None:
    assert banner(UP, note_read=True) is None
    assert banner(replace(UP, leaving=True)) is None


def test_the_port_is_remarked_once() -> None:
    found = shown(UP)
    assert found.fact == "Gatehouse listens on port 4142."
    assert found.consequence == "Port 4141 is held by nginx."
    assert acts(found) == ["copy-url", "note-read"]
    assert "quit Gatehouse and start it again" in found.below


@pytest.mark.parametrize(("keyed", "offered"), [(True, ["replace-key", "test-again", "close"]), (False, ["test-again", "close"])])
def test_a_failed_test_offers_the_way_on(keyed: bool, offered: list[str]) -> None:
    notice = notices.tested(provider(name="lab", test_ok=False, test_message="It refused the key.", keyed=keyed))
    found = shown(replace(UP, wrongs=(notice,)), note_read=True)
    assert (found.fact, found.consequence) == ("lab did not pass its test.", "It refused the key.")
    assert acts(found) == offered


def test_the_worst_comes_first() -> None:
    locked = snapshot(state="locked", vault=VaultView(mode="keyring", state="locked", place="GNOME Keyring"))
    state = replace(UP, wrongs=(Notice(tone="wa", fact="It failed."),), engine=EngineReport(state="stopped"), snapshot=locked)
    assert "stopped" in shown(state).fact
    state = replace(state, engine=EngineReport(state="up"))
    assert shown(state).fact == "GNOME Keyring is locked."
    state = replace(state, snapshot=snapshot(state="failing", problem="The disk is full."))
    assert shown(state).consequence == "The disk is full."
    state = replace(state, snapshot=snapshot())
    assert "port" in shown(state).fact
    assert shown(state, note_read=True).fact == "It failed."


def test_a_crash_shows_the_last_line_of_the_log_and_when_it_goes_on() -> None:
    engine = EngineReport(state="crashed", restarts=2, next_s=4, exit="exit code 1", log=("one", "disk is full"), at_us=START_US)
    found = shown(replace(UP, engine=engine))
    assert found.code == "exit code 1 · disk is full"
    assert "starts again in 4 s" in found.consequence
    assert acts(found) == ["show-log"]


def test_an_engine_that_stays_down_can_be_started_again() -> None:
    found = shown(replace(UP, engine=EngineReport(state="stopped", restarts=5, log=("boom",), at_us=START_US)))
    assert found.tone == "er"
    assert "5 restarts" in found.consequence
    assert acts(found) == ["show-log", "start-engine"]


@pytest.mark.parametrize(
    ("state", "fact", "button"),
    [
        ("locked", "GNOME Keyring is locked.", "Unlock…"),
        ("absent", "No keyring answers on this machine.", "Look again"),
        ("empty", "The master key of this data folder is missing.", "Look again"),
        ("denied", "GNOME Keyring did not give the keys.", "Ask again"),
    ],
)
def test_each_state_of_the_keys_has_its_words_and_its_way_out(state: str, fact: str, button: str) -> None:
    vault = VaultView(mode="keyring", state=state, place="GNOME Keyring")  # type: ignore[arg-type]
    found = shown(replace(UP, snapshot=snapshot(state="locked", vault=vault)))
    assert found.fact == fact
    assert [choice.words for choice in found.choices] == [button]
    assert acts(found) == ["unlock"]


def test_a_new_data_folder_can_be_given_a_passphrase() -> None:
    absent = VaultView(mode="keyring", state="absent", place="", message="No service answered. Choose: --vault passphrase.")
    found = shown(replace(UP, fresh=True, snapshot=snapshot(state="locked", vault=absent)))
    assert found.below.startswith("Nothing was written.")
    assert "--" not in found.below, "no option of the command line in the window"
    assert acts(found) == ["unlock", "passphrase"]
    assert [choice.primary for choice in found.choices] == [False, True]
    new = VaultView(mode="passphrase", state="locked", place="a file")
    assert shown(replace(UP, fresh=True, snapshot=snapshot(state="locked", vault=new))).fact == "This data folder has no passphrase yet."
    assert shown(replace(UP, snapshot=snapshot(state="locked", vault=new))).fact == "The keys are locked by your passphrase."


def test_a_lock_while_running_says_that_others_go_on() -> None:
    vault = VaultView(mode="keyring", state="locked", place="GNOME Keyring")
    both = (provider("cloud", key_state="unknown"), provider("lab", key_state="none"))
    assert "The others go on" in shown(replace(UP, snapshot=snapshot(state="running", vault=vault, providers=both))).consequence
    assert "work" not in shown(replace(UP, snapshot=snapshot(state="locked", vault=vault))).consequence


def test_a_question_of_the_system_that_is_open_is_said_on_the_button() -> None:
    vault = VaultView(mode="keyring", state="locked", place="GNOME Keyring")
    found = shown(replace(UP, snapshot=snapshot(state="locked", vault=vault), busy=frozenset({"unlock:"})))
    assert [choice.words for choice in found.choices] == ["Waiting for an answer…"]


def test_an_error_stays_in_sight_before_remarks() -> None:
    state = replace(UP, wrongs=(Notice(tone="er", fact="That did not work.", consequence="The log says why."),))
    found = shown(state)
    assert (found.tone, found.fact, acts(found)) == ("er", "That did not work.", ["close"])


def test_a_test_request_is_told_with_its_text_as_it_is() -> None:
    notice = notices.echoed(EchoResult(row=exchange(1), text="Hello\n<b>you</b> " + "x" * 200))
    assert notice.fact == "The test request was answered in 900 ms."
    assert "<b>you</b>" in notice.consequence
    assert len(notice.consequence) < 160


def test_only_a_failed_test_is_said_at_the_top() -> None:
    assert notices.tested(provider(test_ok=True, tested_us=START_US)) is None
    failed = notices.tested(provider(test_ok=False, tested_us=START_US, test_message="401, the key was refused"))
    assert failed is not None
    assert failed.consequence == "401, the key was refused"


def test_the_keeper_announces_each_destination_itself() -> None:
    added = notices.declared({"change": "added", "account": "groq", "destination": "https://api.groq.example:443"})
    removed = notices.declared({"change": "removed", "account": "groq", "destination": "https://api.groq.example:443"})
    assert added.fact == "New destination: https://api.groq.example:443."
    assert removed.fact == "https://api.groq.example:443 is no longer a destination."
    assert "Nothing is sent" not in added.consequence, "its first test is sent by itself"


def test_a_destination_that_another_account_has_too_is_neither_new_nor_gone() -> None:
    place = {"account": "groq", "destination": "https://api.groq.example:443", "also": ["home"]}
    added, removed = (notices.declared({"change": change, **place}) for change in ("added", "removed"))
    assert (added.fact, "for home before" in added.consequence) == ("groq goes to https://api.groq.example:443, too.", True)
    assert (removed.fact, "home still goes there" in removed.consequence) == ("https://api.groq.example:443 stays a destination.", True)


def test_all_that_is_wrong_stays_until_it_is_closed_and_is_counted() -> None:
    """Worst first, whichever came first; what went well takes none of them away."""
    wrongs = (Notice(tone="er", fact="An error."), Notice(tone="wa", fact="A remark."), Notice(tone="wa", fact="A later remark."))
    state = replace(UP, wrongs=wrongs, news=Notice(tone="in", fact="New destination."))
    facts = [found.fact for found in banners(state)]
    assert facts == ["An error.", "Gatehouse listens on port 4142.", "A later remark.", "A remark."]
    assert shown(state).more == 3
    assert toast(state) is not None
    assert toast(replace(state, news=None)) is None


NOW_US = START_US + 7_200_000_000


STUCK = Stuck(at_us=NOW_US - 60_000_000, silent_s=20, cpu_s=20, request="req_1", client="Tool", endpoint="chat/completions", model="w/m")


def test_an_engine_that_stood_still_is_said_in_its_own_words_and_not_as_a_crash() -> None:
    found = banner(replace(UP, engine=EngineReport(state="up", stuck=(STUCK,))), note_read=True, now_us=NOW_US)
    assert found is not None
    assert (
        found.fact
        == "The gateway did not answer for 20 s while it worked, as it says, on request req_1 of “Tool” for w/m (chat/completions)."
    )
    assert found.consequence == f"It was ended and started again at {clock(STUCK.at_us)}. What was being answered then broke off."
    assert (found.below, acts(found)) == ("", ["show-log", "crashes-read"])
    twice = replace(UP, engine=EngineReport(state="up", stuck=(STUCK, STUCK), crashes_us=(NOW_US - 1,)))
    found = banner(twice, note_read=True, now_us=NOW_US)
    assert found is not None
    assert "the last of 2 times in the last hour" in found.consequence
    assert found.below == "2 times it was requests of “Tool” for w/m. Block “Tool” until the cause is known."
    assert found.more == 1, "the crash is another remark"
    assert (
        banner(replace(UP, engine=EngineReport(state="up", stuck=(STUCK,))), note_read=True, now_us=NOW_US, crashes_read_us=NOW_US) is None
    )
    assert banner(replace(UP, engine=EngineReport(state="up", stuck=(STUCK,))), note_read=True, now_us=NOW_US + 3_600_000_000) is None
    silent = banner(
        replace(UP, engine=EngineReport(state="up", stuck=(Stuck(at_us=NOW_US, silent_s=21, cpu_s=9),))), note_read=True, now_us=NOW_US
    )
    assert silent is not None
    assert silent.fact == "The gateway did not answer for 21 s while it worked."


@pytest.mark.parametrize(
    ("next_s", "words"),
    [
        (0, "and is being started again. Requests that ran were cut off; new ones wait."),
        (2, "and starts again in 2 s. Requests that ran were cut off; new ones wait."),
        (30, "and starts again in 30 s. Clients get 503 until then."),
    ],
)
def test_while_it_is_away_for_that_the_window_says_so(next_s: int, words: str) -> None:
    engine = EngineReport(
        state="crashed", next_s=next_s, exit=STUCK.sentence(), log=("one",), at_us=NOW_US, stuck=(STUCK,), unanswering=True
    )
    found = banner(replace(UP, engine=engine), now_us=NOW_US)
    assert found is not None
    assert (found.fact, found.consequence) == ("The gateway did not answer for 20 s and was ended", words)
    assert found.code == "It worked, as it says, on request req_1 of “Tool” for w/m (chat/completions)."


def test_what_the_keeper_says_of_it_is_read_whatever_it_is() -> None:
    message = {"state": "crashed", "unanswering": True, "stuck": [STUCK.fields(), {"client": "\x1b[2J", "silent_s": "x"}]}
    found = EngineReport.of(message)
    assert (found.unanswering, found.stuck[0], found.stuck[1].client) == (True, STUCK, "?[2J")


@pytest.mark.parametrize(
    ("ago_min", "read_min", "words"),
    [
        ((3,), None, "was started again."),
        ((1, 2, 59), None, "was started again 3 times in the last hour."),
        ((61, 90), None, ""),
        ((5, 30), 10, "was started again."),  # the older one was read about
        ((5,), 1, ""),
    ],
)
def test_crashes_that_healed_leave_a_trace_for_an_hour(ago_min: tuple[int, ...], read_min: int | None, words: str) -> None:
    crashes = tuple(NOW_US - minutes * 60_000_000 for minutes in ago_min)
    state = replace(UP, engine=EngineReport(state="up", crashes_us=crashes))
    read_us = 0 if read_min is None else NOW_US - read_min * 60_000_000
    found = banner(state, note_read=True, now_us=NOW_US, crashes_read_us=read_us)
    if not words:
        assert found is None
    else:
        assert found is not None
        assert found.fact == f"The gateway stopped unexpectedly and {words}"
        assert acts(found) == ["show-log", "crashes-read"]
