"""The Audit page: never green without a verification, findings as what they are, entries in words, and what can be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from app import verifier
from app.control import contract as c
from app.core import events
from app.core.exports import KINDS
from app.gui import audit_rows, entries
from app.gui.integrity import strip
from app.gui.pages.audit import AuditPage, kept
from app.gui.promises import _PromiseCard
from app.gui.sheets.retention import RetentionSheet, preview
from app.gui.widgets import Status
from tests.gui.conftest import Wait
from tests.gui.desk import MINUTE_US, START_US, Desk

NOW_US = START_US + 100 * MINUTE_US
HEAD = "9f3c" + "0" * 58 + "a1"


def verdict(**changes: Any) -> c.AuditVerdict:
    fields: dict[str, Any] = {"intact": True, "entries": 12_408, "seq": 12_408, "head": HEAD, "at_us": NOW_US, "took_ms": 100, "rows": 900}
    return c.AuditVerdict(**(fields | changes))


def status(**changes: Any) -> c.AuditStatus:
    fields: dict[str, Any] = {
        "entries": 12_408, "first": 1, "seq": 12_408, "head": HEAD, "size_bytes": 6_100_000, "sealed": 12_406, "sealed_us": NOW_US,
        "epoch": 3, "fingerprint": "361a e3d7", "anchored": 12_406, "anchored_us": NOW_US - 2 * MINUTE_US, "place": "GNOME Keyring",
        "worth": "It is apart from the data folder.", "verdict": verdict(), "keep_days": 365, "on_failure": "stop",
        "groups": dict.fromkeys(events.GROUPS, 1),
    }  # fmt: skip
    return c.AuditStatus(**(fields | changes))


def entry(number: int, kind: str = "client.added", actor: str = "person", **detail: object) -> c.AuditEntry:
    origin = {"via": "window", "user": "anna", "process": 7, "program": "python"}
    body: dict[str, object] = {"detail": detail or {"name": "codex", "key_hint": "…51ac"}, "origin": origin}
    return c.AuditEntry(
        seq=number, at_us=START_US + number * 1000, kind=kind, actor=actor, subject="codex", body=body, hash=f"{number:064x}"
    )


def test_it_is_green_only_after_a_verification_that_found_nothing() -> None:
    view = strip(status(), NOW_US)
    assert (view.glyph, view.fact) == ("check-circle-fill", "Verified to entry 12,408 · head 9f3c0000…00a1")
    assert "2 entries not anchored yet" in view.below
    assert "1 entry not anchored yet" in strip(status(anchored=12_407), NOW_US).below
    assert "anchored 2 min ago in GNOME Keyring" in view.below
    missing = c.AuditFinding(kind="no anchor", seq=1, sentence="x", advice="y")
    incomplete = status(verdict=verdict(state="incomplete", intact=False, findings=(missing,)))
    for not_so in (None, incomplete, status(verdict=None), status(trouble="GNOME Keyring is locked."), status(verifying=(10, 100))):
        assert strip(not_so, NOW_US).ink != "oki"


def test_a_verification_shows_how_far_it_is_over_entries_and_rows() -> None:
    def seen(entries: tuple[int, int], rows: tuple[int, int] | None) -> tuple[str, str, float | None]:
        view = strip(status(verifying=entries, verifying_rows=rows), NOW_US)
        return view.fact, view.below, view.share

    assert seen((10, 40), None) == ("Verifying, 25 %", "10 of 40 entries", 0.25)
    assert seen((0, 0), (0, 0)) == ("Verifying, 0 %", "0 of 0 entries, 0 of 0 rows of the ledger", 0.0)
    fact, below, share = seen((2_089, 2_089), (350_000, 1_000_000))
    assert (fact, below) == ("Verifying, 35 %", "2,089 of 2,089 entries, 350,000 of 1,000,000 rows of the ledger")
    assert share == pytest.approx(352_089 / 1_002_089)
    assert seen((2_089, 2_089), (999_999, 1_000_000))[0] == "Verifying, 99 %"  # all of it is not until it is
    assert strip(status(), NOW_US).share is None


def test_what_was_not_read_since_the_start_is_said_with_when_it_was() -> None:
    day_us = 24 * 60 * MINUTE_US
    part = status(verdict=verdict(since=12_000, entries=408, rows=20), full_us=NOW_US - 3 * day_us, full_seq=11_500)
    view = strip(part, NOW_US)
    assert (view.fact, view.ink) == ("Verified to entry 12,408 · head 9f3c0000…00a1", "oki")
    assert view.below.startswith("Entries after 12,000 and their rows recomputed")
    assert "everything up to entry 11,500 last recomputed" in view.below
    whole = strip(status(full_us=NOW_US, full_seq=12_408), NOW_US)
    assert whole.below.startswith("Recomputed")
    assert "everything" not in whole.below
    unread = strip(status(verdict=None, full_us=NOW_US - 3 * day_us, full_seq=11_500), NOW_US)
    assert unread.fact == "Not verified since the start"
    assert "everything up to entry 11,500 last recomputed" in unread.below


@pytest.mark.parametrize(
    ("kind", "words"),
    [("edited", "Edited at 150"), ("gap", "Gap before 150"), ("cut", "Cut after 150"), ("rolled back", "Rolled back to 150")],
)
def test_a_finding_is_shown_as_what_it_is_with_what_to_do(kind: str, words: str) -> None:
    found = c.AuditFinding(kind=kind, seq=150, sentence="It is so.", advice="Do this.")
    for shown in (status(held=found), status(verdict=verdict(state="tampered", intact=False, findings=(found,)))):
        view = strip(shown, NOW_US)
        assert (view.fact, view.ink, view.below) == (words, "eri", "It is so. Do this.")
    assert strip(status(held=found), NOW_US).held


def test_every_kind_of_entry_has_a_title_and_can_be_shown() -> None:
    for kind, event in events.audited().items():
        if event.__module__ == "app.core.events":
            shown = entry(1, kind)
            assert entries.title(shown) != kind, f"give {kind} a title in app/gui/entries.py"
            assert isinstance(entries.change_cell(shown).text, str)
            assert entries.difference(shown)


def test_an_entry_somebody_made_into_something_else_is_shown() -> None:
    broken = c.AuditEntry(seq=-3, at_us=0, kind="unreadable", actor="", subject="", body={"detail": 7, "origin": []}, hash="")
    assert entries.title(broken) == "Unreadable"
    assert entries.change(broken) == ("", "")
    assert entries.what_cell(broken).tone == "er"


def test_before_and_after_are_a_difference() -> None:
    changed = entry(1, "setting.changed", name="audit.keep_days", before="30", after="90")
    assert entries.change(changed) == ("30", "90: days the audit log is kept")
    assert entries.difference(changed) == (("-", "audit.keep_days  30"), ("+", "audit.keep_days  90"))
    assert entries.origin(changed) == "in the window, as anna, process 7 (python)"


def test_refusals_levels_and_times_are_in_words() -> None:
    turned_away = entry(1, "access.refused", "gateway", where="control", reason="cross_site", count=3, first_us=START_US, last_us=0)
    assert entries.change(turned_away) == ("", "3 ×, asked by a web page, on the control channel")
    assert any(words.startswith("first  2025-10-") for _, words in entries.difference(turned_away))
    assert entries.change(entry(1, "egress.level", "gateway", before="guarded", after="kernel", reason="")) == (
        "guarded and observed",
        "enforced by the kernel",
    )
    assert entries.change(entry(1, "egress.level", "gateway", before="kernel", after="desktop", reason="")) == (
        "enforced by the kernel",
        "enforced by the kernel, desktop in reach",
    )
    kept_now = entry(1, "client.content_changed", name="codex", before=False, after=True)
    assert entries.change(kept_now) == ("not kept", "kept for codex")
    assert entries.difference(kept_now) == ((" ", "name  codex"), ("-", "keeps answers  false"), ("+", "keeps answers  true"))
    sums = {"before_microusd": 0, "after_microusd": 1_250_000, "changed": 4}
    assert entries.change(entry(1, "ledger.repriced", finished=False, **dict.fromkeys(sums, 0))) == ("", "begun")
    assert entries.change(entry(2, "ledger.repriced", finished=True, **sums)) == ("$0", "$1.25, 4 requests changed")
    locked = entry(1, "vault.changed", before="locked", state="ready", place="GNOME Keyring")
    assert entries.difference(locked)[:2] == (("-", "state  locked"), ("+", "state  ready"))


def test_counts_have_their_thousands_apart_and_names_do_not() -> None:
    verified = entry(1, "audit.verified", finding="", seq=11781, state="intact")
    assert entries.change(verified) == ("", "intact to entry 11,781")
    assert entries.difference(verified) == ((" ", "seq  11,781"), (" ", "state  intact"))  # what is empty is not named
    assert entries.change(entry(1, "ledger.trimmed", rows=1_000_000, upto=12))[0] == "1,000,000 requests"
    assert entries.change(entry(1, "gateway.started", version="0.1.0", port=41410)) == ("", "0.1.0, port 41410")


def test_retention_says_what_would_go() -> None:
    found = c.AuditPrunable(upto=120, count=100, first=21, first_us=START_US, last_us=START_US, size_bytes=41_200, rows=3, kept=50)
    assert "100 entries (21 to 120" in preview(found, NOW_US)
    assert "41.2 kB" in preview(found, NOW_US)
    nothing = c.AuditPrunable(upto=0, count=0, first=0, first_us=0, last_us=0, size_bytes=0, rows=0, kept=5)
    assert "Nothing would go" in preview(nothing, NOW_US)
    assert kept(status(keep_days=0)) == "Kept for ever"


@pytest.fixture
def page(desk: Desk, wait: Wait) -> AuditPage:
    desk.server.audit_status = status(seq=3, entries=3, held=None)
    desk.server.entries = [entry(1), entry(2, "egress.refused", "keeper"), entry(3, "ledger.batch", "gateway", count=4)]
    desk.show()
    desk.prove()
    wait(lambda: desk.session.state.live)
    desk.window.open_page("audit")
    shown = desk.window.page()
    assert isinstance(shown, AuditPage)
    shown._log.show_everything()
    wait(lambda: shown._log.rows.rowCount() == 3 and shown._status is not None)
    return shown


def test_entries_open_and_lead_to_what_they_are_about(page: AuditPage, desk: Desk, wait: Wait) -> None:
    assert [audit_rows.high(row) for row in page._log.rows.rows()] == [3, 2, 1]
    page._log.open_entry(entries.key(entry(1)))
    wait(lambda: page._detail.isVisible() and page._detail._number.text() == "entry 1")
    page._detail._follow.click()
    assert desk.window.page().NAME == "clients"


@pytest.mark.parametrize(("state", "word"), [("tampered", "Does not match"), ("incomplete", "Matches"), ("intact", "Matches")])
def test_an_entry_does_not_match_only_when_somebody_tampered_with_it(
    page: AuditPage, desk: Desk, wait: Wait, state: str, word: str
) -> None:
    found = c.AuditFinding(kind="edited" if state == "tampered" else "no anchor", seq=1, sentence="x", advice="y")
    desk.server.audit_status = status(verdict=verdict(state=state, findings=() if state == "intact" else (found,), seq=3))
    page._ask_status()
    wait(lambda: page._status is not None and page._status.verdict == desk.server.audit_status.verdict)
    page._log.open_entry(entries.key(entry(2)))
    wait(lambda: word in {label.word() for label in page._detail.findChildren(Status)})


def test_an_entry_before_what_was_read_since_the_start_is_not_called_matching(page: AuditPage, desk: Desk, wait: Wait) -> None:
    def words(number: int) -> set[str]:
        page._log.open_entry(entries.key(entry(number)))
        wait(lambda: page._detail._number.text() == f"entry {number}")
        return {label.word() for label in page._detail.findChildren(Status)}

    desk.server.audit_status = status(verdict=verdict(seq=3, since=1), seq=3, full_us=NOW_US, full_seq=1)
    page._ask_status()
    wait(lambda: page._status is not None and page._status.verdict == desk.server.audit_status.verdict)
    wait(lambda: "Verified before the start" in words(1))
    wait(lambda: "Matches" in words(2))


def test_the_bar_is_there_while_something_is_read_and_a_person_may_ask_all_the_same(page: AuditPage, desk: Desk, wait: Wait) -> None:
    assert not page._strip.bar.isVisible()
    desk.server.audit_status = status(seq=3, verifying=(3, 3), verifying_rows=(1, 3))
    page._ask_status()
    wait(page._strip.bar.isVisible)
    assert page._strip.bar.share() == pytest.approx(4 / 6)
    assert "Verifying, 66 %" in page._strip.accessibleName()
    assert page._strip.verifying.text() == "Verify now"  # the engine's own check gives way
    page._strip.verifying.click()
    wait(lambda: ("POST", "/v0/audit/verify") in [asked[:2] for asked in desk.server.asked])
    desk.server.audit_status = status(seq=3)
    page._ask_status()
    wait(lambda: not page._strip.bar.isVisible())


def test_an_entry_that_is_open_follows_the_next_verification(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.server.audit_status = status(verdict=verdict(seq=1), seq=3)
    page._ask_status()
    wait(lambda: page._status is not None and page._status.verdict == desk.server.audit_status.verdict)
    page._log.open_entry(entries.key(entry(2)))
    wait(lambda: "Not verified yet" in {label.word() for label in page._detail.findChildren(Status)})
    desk.server.audit_status = status(verdict=verdict(seq=3), seq=3)
    page._ask_status()
    wait(lambda: "Matches" in {label.word() for label in page._detail.findChildren(Status)})


def test_kinds_of_entries_are_a_menu_where_there_is_little_room(page: AuditPage, desk: Desk, wait: Wait) -> None:
    bar = page._log.bar
    assert bar.views.isVisible()
    page._log.open_entry(entries.key(entry(2)))
    wait(lambda: bar.menu.isVisible() and not bar.views.isVisible())
    bar.menu.click()
    menu = bar.menu.findChild(QMenu)
    assert menu is not None
    assert [not action.icon().isNull() for action in menu.actions()] == [*[False] * 6, True]
    menu.actions()[2].trigger()
    wait(lambda: any("group=network" in asked[1] for asked in desk.server.asked))
    assert bar.view() == "network"
    menu.close()


def test_verifying_keeps_the_keyboard_and_asks_once(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.server.delays_s["/v0/audit/verify"] = 0.5
    button = page._strip.verifying
    button.setFocus()
    button.click()
    wait(lambda: button.text() == "Verifying…")
    button.click()
    assert button.hasFocus()
    wait(lambda: button.text() == "Verify now")
    assert button.hasFocus()
    assert [asked[:2] for asked in desk.server.asked].count(("POST", "/v0/audit/verify")) == 1


def test_verify_now_export_and_retention_ask_the_engine(page: AuditPage, desk: Desk, wait: Wait, tmp_path: Path) -> None:
    page._strip.verifying.click()
    wait(lambda: ("POST", "/v0/audit/verify") in [asked[:2] for asked in desk.server.asked])
    page.export_into(str(tmp_path))
    wait(lambda: any(asked[1] == "/v0/audit/export" for asked in desk.server.asked))
    assert page._status is not None
    folder = tmp_path / f"gatehouse-audit-{page._status.seq}"
    wait(folder.exists)
    assert sorted(file.name for file in folder.iterdir()) == sorted(KINDS["audit"].names)
    assert (folder / "verify.py").read_bytes() == Path(verifier.__file__).read_bytes()
    command = 'python -I verify.py --key "361a e3d7"'
    wait(lambda: desk.session.state.notice is not None and command in desk.session.state.notice.consequence)
    page._change_retention()
    sheet = page._sheet
    assert isinstance(sheet, RetentionSheet)
    wait(lambda: "would go now" in sheet.what.text())
    sheet.save.click()
    wait(lambda: ("PUT", "/v0/audit/policy") in [asked[:2] for asked in desk.server.asked])


@pytest.mark.parametrize(
    ("days", "failing", "wanted"),
    [(0, None, {"keep_days": 30, "on_failure": None}), (None, 0, {"keep_days": None, "on_failure": "stop"}),
     (None, None, {"keep_days": None, "on_failure": None}), (4, 0, {"keep_days": 0, "on_failure": "stop"})],
)  # fmt: skip
def test_only_what_the_person_changed_is_wanted_whatever_the_engine_says_that_it_is(
    page: AuditPage, desk: Desk, wait: Wait, days: int | None, failing: int | None, wanted: dict[str, object]
) -> None:
    desk.server.audit_status = status(on_failure="continue", keep_days=1095)
    page._ask_status()
    wait(lambda: page._status is not None and page._status.on_failure == "continue")
    page._change_retention()
    sheet = page._sheet
    assert isinstance(sheet, RetentionSheet)
    if days is not None:
        sheet.choice.choose(days)
    if failing is not None:
        sheet.failing.choose(failing)
    sheet.save.click()
    wait(lambda: ("PUT", "/v0/audit/policy") in [asked[:2] for asked in desk.server.asked])
    body = next(json.loads(asked[2]) for asked in desk.server.asked if asked[:2] == ("PUT", "/v0/audit/policy"))
    assert {name: body.get(name) for name in wanted} == wanted


def test_the_filter_is_asked_of_the_engine(page: AuditPage, desk: Desk, wait: Wait) -> None:
    page._log.bar._on_menu("access")
    wait(lambda: any("group=access" in asked[1] for asked in desk.server.asked))
    QTest.keyClicks(page._log.bar.filter.line, "codex")
    wait(lambda: any("text=codex" in asked[1] for asked in desk.server.asked))


def test_a_finding_can_be_gone_on_from_only_after_a_question(page: AuditPage, desk: Desk, wait: Wait) -> None:
    assert not page._strip.accepting.isVisible()
    found = c.AuditFinding(kind="edited", seq=2, sentence="Entry 2 was changed.", advice="Compare it.")
    desk.server.audit_status = status(held=found)
    page._ask_status()
    wait(page._strip.accepting.isVisible)
    page._strip.accepting.click()
    assert not [asked for asked in desk.server.asked if asked[1] == "/v0/audit/accept"]


def test_promises_are_listed_with_the_commands_that_check_them(page: AuditPage, desk: Desk, wait: Wait) -> None:
    page._part.choose(1)
    page._on_part(1)
    wait(lambda: page._promises.count() > 1)


def test_a_promise_that_is_not_kept_or_not_known_is_not_shown_as_kept(page: AuditPage) -> None:
    verdicts: tuple[bool | None, ...] = (True, False, None)
    page._promises.show_promises([c.Promise(id=str(kept), title="Retention", kept=kept, state="So.", check="x") for kept in verdicts], "")
    cards = page._promises.findChildren(_PromiseCard)
    assert [card.accessibleName() for card in cards] == [f"Retention: {said}. So." for said in ("kept", "not kept", "not known yet")]
