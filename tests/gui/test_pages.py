"""Providers, Clients and Activity: what they show of a snapshot, and what their buttons do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget

from app.control.contract import Problem, VaultMode, VaultView
from app.core.records import AuditEntry, EgressRecord, Tokens
from app.gui import accounts, inspector, requests
from app.gui.pages import activity, clients, providers
from app.gui.pages.activity import ActivityPage
from app.gui.pages.audit import AuditPage
from app.gui.pages.clients import ClientsPage
from app.gui.pages.providers import ProvidersPage
from app.gui.sheets import connection
from app.gui.sheets.client_settings import ClientSettingsSheet
from app.gui.sheets.connection import ConnectionSheet
from app.gui.state import Boot, EngineReport, ProofReport, State
from tests.gui.conftest import Wait
from tests.gui.desk import MINUTE_US, START_US, Desk, Server, client, exchange, provider, snapshot

NOW_US = START_US + 100 * MINUTE_US
UP = State(
    boot=Boot(data_dir="data", control="control.sock", port=4141, addresses=("127.0.0.1:4141",)),
    engine=EngineReport(state="up"),
    proof=ProofReport(ok=True, message="", at_us=START_US, heard_s=1.0),
    snapshot=snapshot(),
    live=True,
    recent_read=True,
)


def button(within: QWidget, text: str) -> QPushButton:
    return next(found for found in within.findChildren(QPushButton) if found.text() == text and found.isVisibleTo(within))


# -- providers


def test_where_a_key_is_and_what_the_last_test_said() -> None:
    views = (
        provider("openai", tested_us=NOW_US, test_ok=True, test_ms=240, models=("a", "b")),
        provider("work", tested_us=NOW_US, test_ok=False, test_message="401, the key was refused"),
        provider("new", key_state="missing", key_place=""),
        provider("locked", key_state="unknown"),
        provider(
            "ollama", kind="ollama", local=True, base_url="http://127.0.0.1:11434/v1", host="127.0.0.1", label="Ollama", key_state="none"
        ),
    )
    view = providers.present(replace(UP, snapshot=snapshot(providers=views)), NOW_US)
    rows = {row.name: row for row in view.cloud}
    assert view.remark == "3 keys in GNOME Keyring"
    assert (rows["openai"].key.word, rows["openai"].key.tone, rows["openai"].key.detail) == ("In GNOME Keyring", "ok", "sk-proj…m2Ka")
    assert (rows["openai"].test.word, rows["openai"].models, rows["openai"].label) == ("OK, 240 ms", "2", "OpenAI")
    assert (rows["work"].test.word, rows["work"].test.tone, rows["work"].label) == ("401, the key was refused", "er", "work")
    assert rows["new"].keyless
    assert rows["new"].models == "–"
    assert rows["locked"].key.word == "Locked"
    assert [(row.name, row.host, row.key.word) for row in view.local] == [("ollama", "127.0.0.1:11434", "No key needed")]


@pytest.mark.parametrize(("mode", "tone"), [("keyring", "ok"), ("passphrase", "wa"), ("session", "wa")])
def test_what_is_not_a_keyring_is_amber(mode: VaultMode, tone: str) -> None:
    assert accounts.key_words(provider(), mode).tone == tone
    words = accounts.where_a_key_goes(snapshot(vault=VaultView(mode=mode, state="ready", place="GNOME Keyring")))
    assert ("to no file of its own" in words) == (mode == "keyring")


def test_a_running_test_is_shown_as_such() -> None:
    state = replace(UP, snapshot=snapshot(providers=(provider(test_ok=True, tested_us=NOW_US),)), busy=frozenset({"test:openai"}))
    row = providers.present(state, NOW_US).cloud[0]
    assert row.testing
    assert row.test.word == "Checking…"
    assert accounts.short_words(state, provider(), START_US)[0].word == "Checking…"


def test_a_base_url_that_cannot_be_read_shows_the_host_alone() -> None:
    assert accounts.host_words(provider(base_url="http://[::1")) == "api.openai.example"
    assert accounts.host_words(provider(base_url="https://api.openai.example:443/v1")) == "api.openai.example"


def providers_page(desk: Desk, server: Server, wait: Wait) -> ProvidersPage:
    server.providers = {
        "openai": provider(models=("gpt-5",), tested_us=START_US, test_ok=True),
        "work": provider("work", key_state="missing"),
    }
    server.push()
    desk.window.open_page("providers")
    page = desk.window.page()
    assert isinstance(page, ProvidersPage)
    wait(lambda: page._cloud._rows.rowCount() == 2)
    return page


def test_a_row_has_its_own_buttons_and_keeps_them(server: Server, desk: Desk, wait: Wait) -> None:
    page = providers_page(desk, server, wait)
    block = page._cloud
    last = len(block._rows.columns) - 1
    first = block.table.indexWidget(block._rows.index(0, last))
    assert button(first, "Test").isEnabled()
    assert button(block.table.indexWidget(block._rows.index(1, last)), "Add key")
    QTest.mouseClick(button(first, "Test"), Qt.MouseButton.LeftButton)
    wait(lambda: block._rows.index(0, 3).data() == "2")
    assert block.table.indexWidget(block._rows.index(0, last)) is first
    del server.providers["openai"]
    server.push()
    wait(lambda: block._rows.rowCount() == 1)
    assert button(block.table.indexWidget(block._rows.index(0, last)), "Add key")


def test_f5_tests_the_chosen_provider_or_all(server: Server, desk: Desk, wait: Wait) -> None:
    page = providers_page(desk, server, wait)
    page.test()
    wait(lambda: sum(path.endswith("/test") for _method, path, _body in server.asked) == 2)
    wait(lambda: not desk.session.state.busy)
    page._cloud.table.setFocus()
    page._cloud.table.selectRow(1)
    page.test()
    wait(lambda: sum(path.endswith("/work/test") for _method, path, _body in server.asked) == 2)
    assert sum(path.endswith("/openai/test") for _method, path, _body in server.asked) == 1


def test_the_models_of_an_account_are_named_as_clients_ask_for_them(server: Server, desk: Desk, wait: Wait) -> None:
    providers_page(desk, server, wait)
    desk.window.do("models:openai")
    sheet = desk.window.sheet()
    assert sheet is not None
    assert sheet.title.text() == "1 model of openai"


def test_what_was_removed_meanwhile_opens_nothing(desk: Desk) -> None:
    for intent in ("models:gone", "replace-key:gone", "remove-provider:gone"):
        desk.window.do(intent)
        assert desk.window.sheet() is None


# -- clients


def test_a_client_is_seen_never_seen_or_blocked() -> None:
    people = (client("a", last_seen_us=NOW_US - 2 * MINUTE_US), client("b"), client("c", blocked=True, last_seen_us=NOW_US))
    view = clients.present(replace(UP, snapshot=snapshot(clients=people)), NOW_US, UTC)
    assert view.remark == "3 clients, 2 seen"
    assert [(card.word, card.tone, card.seen) for card in view.cards] == [
        ("Connected", "ok", "seen 2 min ago"),
        ("Never seen", "in", "added 1 h ago"),
        ("Blocked", "er", "seen just now"),
    ]
    assert view.cards[0].key == "sk-gh-…f2a1"


def test_a_client_is_blocked_unblocked_and_removed(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {name: client(name) for name in ("one", "two")}
    server.push()
    desk.window.open_page("clients")
    page = desk.window.page()
    assert isinstance(page, ClientsPage)
    wait(lambda: list(page._cards) == ["one", "two"])
    QTest.mouseClick(button(page._cards["one"], "Block"), Qt.MouseButton.LeftButton)
    wait(lambda: page._cards["one"]._pill.word() == "Blocked")
    QTest.mouseClick(button(page._cards["one"], "Unblock"), Qt.MouseButton.LeftButton)
    wait(lambda: page._cards["one"]._pill.word() == "Never seen")
    QTest.mouseClick(button(page._cards["two"], "Remove"), Qt.MouseButton.LeftButton)
    sheet = desk.window.sheet()
    assert sheet is not None
    QTest.mouseClick(button(sheet, "Remove two"), Qt.MouseButton.LeftButton)
    wait(lambda: list(page._cards) == ["one"])


def test_what_is_done_for_a_client_stands_on_its_card_and_can_be_changed(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {"one": client("one"), "two": client("two", keeps_content=True, identifiers="pass")}
    server.push()
    desk.window.open_page("clients")
    page = desk.window.page()
    assert isinstance(page, ClientsPage)
    wait(lambda: list(page._cards) == ["one", "two"])
    one, two = page._cards["one"], page._cards["two"]
    assert (one._answers.text(), one._identifiers.text()) == ("Not kept", "Replaced")
    assert (two._answers.text(), two._identifiers.text()) == ("Kept for 30 days, if it asks for it", "Passed on")
    QTest.mouseClick(button(two, "Settings"), Qt.MouseButton.LeftButton)
    sheet = desk.window.sheet()
    assert isinstance(sheet, ClientSettingsSheet)
    assert sheet.consequence.text() == "Nothing is changed."
    QTest.keyClick(sheet.keeps.switch, Qt.Key.Key_Space)
    assert sheet.consequence.text() == "Answers that were kept are deleted. Writes 1 entry to the audit log."
    QTest.mouseClick(button(sheet, "Removed"), Qt.MouseButton.LeftButton)
    assert sheet.consequence.text() == "Answers that were kept are deleted. Writes 2 entries to the audit log."
    asked = len(server.asked)
    QTest.mouseClick(sheet.save, Qt.MouseButton.LeftButton)
    wait(lambda: (two._answers.text(), two._identifiers.text()) == ("Not kept", "Removed"))
    assert [(path, body) for method, path, body in server.asked[asked:] if method == "POST"] == [
        ("/v0/clients/two/content", b'{"keeps":false}'),
        ("/v0/clients/two/identifiers", b'{"identifiers":"remove"}'),
    ]


def test_settings_that_are_not_changed_ask_nothing_and_what_fails_is_said(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {"one": client("one")}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.clients)
    asked = len(server.asked)
    for change in (False, True):
        desk.window.do("client-settings:one")
        sheet = desk.window.sheet()
        assert isinstance(sheet, ClientSettingsSheet)
        sheet.keeps.switch.setChecked(change)
        server.answer("/v0/clients/one/content", 503, msgspec.json.encode(Problem(code="store_unavailable", message="The disk is full.")))
        sheet.submit()
        assert desk.window.sheet() is None
    wait(lambda: desk.session.state.wrong is not None)
    assert desk.session.state.wrong is not None
    assert desk.session.state.wrong.fact == "The disk is full."
    assert len([path for method, path, _body in server.asked[asked:] if method == "POST"]) == 1


def test_a_blocked_clients_button_keeps_the_keyboard(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {"one": client("one")}
    server.delays_s["/v0/clients/one/block"] = 0.2
    server.push()
    desk.window.open_page("clients")
    page = desk.window.page()
    assert isinstance(page, ClientsPage)
    wait(lambda: list(page._cards) == ["one"])
    desk.window.activateWindow()
    blocking = page._cards["one"]._block
    blocking.setFocus()
    for _ in range(2):  # pressed twice in a hurry: one command
        QTest.keyClick(blocking, Qt.Key.Key_Space)
    assert desk.window.focusWidget() is blocking
    wait(lambda: page._cards["one"]._pill.word() == "Blocked")
    assert desk.window.focusWidget() is blocking
    assert [path for _method, path, _body in server.asked].count("/v0/clients/one/block") == 1


@pytest.mark.parametrize(("present", "field"), [(providers.present, "cloud"), (clients.present, "cards")])
def test_locked_lists_are_not_shown_as_empty_ones(present: object, field: str) -> None:
    vault = VaultView(mode="keyring", state="locked", place="GNOME Keyring")
    view = present(replace(UP, snapshot=snapshot(state="locked", vault=vault)), NOW_US)  # type: ignore[operator]
    assert getattr(view, field) == ()
    assert view.closed is not None
    assert view.closed.fact == "The records are locked"
    assert not view.can_add


# -- activity


def activity_view(live: bool = True, **changes: object) -> requests.View:
    fields: dict[str, object] = {"loaded": 3, "words": "in the last hour", "plain": False}
    return requests.present(UP, requests.Shown(**(fields | changes)), live)  # type: ignore[arg-type]


def test_the_tail_says_whether_it_is_live_and_how_much_it_holds() -> None:
    assert (activity_view().live, activity_view().pause, activity_view().foot) == ("Live", "Pause", "3 requests in the last hour")
    paused = activity_view(paused=True, waiting=12)
    assert (paused.live, paused.pause) == ("Paused", "Resume, 12 new")
    assert activity_view(paused=True).pause == "Resume"
    assert activity_view(live=False).live == "Past"


@pytest.mark.parametrize(
    ("shown", "foot"),
    [
        ({"loaded": 100, "more": True, "total": 214}, "100 of 214 in the last hour, older ones as you scroll"),
        ({"loaded": 100, "more": True}, "100 found in the last hour, older ones as you scroll"),
        ({"loaded": 100, "more": True, "total": 99}, "100 of 100 in the last hour, older ones as you scroll"),
        ({"loaded": 61, "total": 60}, "61 requests in the last hour"),
        ({"loaded": 1, "total": 1}, "1 request in the last hour"),
        ({"loaded": 16, "total": 61, "exact": False}, "16 of 61 in the last hour"),
        ({"loaded": 16, "total": 61, "exact": False, "more": True}, "16 found in the last hour, older ones as you scroll"),
        ({"loaded": 16, "settled": False}, "Looking…"),
    ],
)
def test_the_foot_never_claims_a_total_that_was_not_counted(shown: dict[str, object], foot: str) -> None:
    assert activity_view(**shown).foot == foot  # type: ignore[arg-type]


def test_an_empty_page_says_why() -> None:
    plain = activity_view(loaded=0, plain=True, words="in all")
    assert plain.empty == ("Waiting for the first request", f"Listening on 127.0.0.1:4141 since {_start()}.")
    assert not plain.can_clear
    quiet = activity_view(loaded=0, total=0)
    assert quiet.empty == ("No request in the last hour", "What closes from now on appears here.")
    filtered = activity_view(loaded=0, total=61, exact=False)
    assert filtered.empty is not None
    assert filtered.empty[0] == "No request matches"
    assert filtered.can_clear
    assert activity_view(loaded=0, settled=False).empty is None


def _start() -> str:
    from app.gui import format as fmt

    return fmt.clock(START_US)[:5]


def activity_page(desk: Desk, server: Server, wait: Wait, count: int = 250) -> ActivityPage:
    server.rows = [exchange(number) for number in range(count)]
    desk.window.open_page("activity")
    page = desk.window.page()
    assert isinstance(page, ActivityPage)
    wait(lambda: page._rows.rowCount() == min(count, activity.PAGE))
    return page


def test_older_rows_come_as_one_scrolls_each_once(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait)
    bar = page._table.verticalScrollBar()
    for loaded in (200, 250):
        bar.setValue(bar.maximum())
        wait(lambda: page._rows.rowCount() == loaded)  # noqa: B023  it is run before the loop goes on
    assert [row.id for row in page._rows.rows()] == sorted((row.id for row in server.rows), reverse=True)
    assert not page._tail.more
    pages = [path for _method, path, _body in server.asked if path.startswith("/v0/activity?limit=100")]
    bar.setValue(0)
    bar.setValue(bar.maximum())
    assert len(pages) == 3


def test_new_rows_appear_at_the_top_and_do_not_move_what_is_read(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait)
    server.push(row=exchange(1000))
    wait(lambda: page._rows.rowCount() == 101)
    assert page._rows.row(0).id == exchange(1000).id
    assert page._table.verticalScrollBar().value() == 0
    bar = page._table.verticalScrollBar()
    bar.setValue(320)
    read = page._table.indexAt(page._table.viewport().rect().topLeft() + page._table.viewport().rect().center() * 0).data()
    before = page._rows.key(page._table.rowAt(1))
    server.push(row=exchange(1001))
    wait(lambda: page._rows.rowCount() == 102)
    assert page._rows.key(page._table.rowAt(1)) == before
    assert read is not None


def test_a_pause_holds_new_rows_back_and_counts_them(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait, count=5)
    QTest.keyClick(page._table, Qt.Key.Key_Space)
    for number in (100, 101, 101):
        server.push(row=exchange(number))
    wait(lambda: page._pause.text() == "Resume, 2 new")
    assert page._rows.rowCount() == 5
    QTest.mouseClick(page._pause, Qt.MouseButton.LeftButton)
    assert page._rows.rowCount() == 7
    assert page._pause.text() == "Pause"


def test_space_typed_into_the_filter_is_a_blank(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait, count=5)
    page.begin_filter()
    QTest.keyClicks(page._filter.field.line, "scripts gpt-5")
    assert page._filter.field.text() == "scripts gpt-5"
    assert not page._tail.paused


def test_a_filter_that_nothing_fits_says_so_and_can_be_cleared(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait, count=5)
    page._filter.field.line.setText("nothing like it")
    wait(lambda: page._stack.currentWidget() is page._none)
    assert page._none.fact.text() == "No request matches"
    QTest.mouseClick(button(page._none, "Show everything"), Qt.MouseButton.LeftButton)
    wait(lambda: page._rows.rowCount() == 5)
    assert page._stack.currentIndex() == 0
    assert page._filter.field.text() == ""


def test_a_request_is_opened_from_home_and_walked_through_by_keyboard(server: Server, desk: Desk, wait: Wait) -> None:
    server.rows = [exchange(number) for number in range(30)]
    desk.window.open_request(exchange(12).id)
    page = desk.window.page()
    assert isinstance(page, ActivityPage)
    wait(page._inspector.isVisible)
    assert page._inspector.row() == exchange(12)
    QTest.keyClick(page._table, Qt.Key.Key_Down)
    assert page._inspector.row() == exchange(11)
    QTest.keyClick(page._table, Qt.Key.Key_Escape)
    assert not page._inspector.isVisible()
    QTest.keyClick(page._table, Qt.Key.Key_Up)
    assert not page._inspector.isVisible()
    QTest.keyClick(page._table, Qt.Key.Key_Return)
    assert page._inspector.isVisible()
    shown = page._inspector.row()
    assert shown is not None
    QTest.mouseClick(button(page._inspector, "Copy as curl"), Qt.MouseButton.LeftButton)
    assert "http://127.0.0.1:4141/v1/chat/completions" in QGuiApplication.clipboard().text()
    assert "$GATEHOUSE_KEY" in QGuiApplication.clipboard().text()
    assert ("Copy request id", f"copy:{shown.id}") in page._inspector.more()


def test_a_hole_left_by_a_long_silence_is_not_hidden(server: Server, desk: Desk, wait: Wait) -> None:
    page = activity_page(desk, server, wait, count=50)
    server.rows = [exchange(number) for number in range(1000, 1250)]
    server.hang_up()
    wait(lambda: desk.session.state.streams == 2)
    wait(lambda: page._rows.rowCount() >= 100 and page._rows.key(0) == exchange(1249).id)
    assert exchange(10).id not in [row.id for row in page._rows.rows()]


def test_the_inspector_tells_a_request_in_full() -> None:
    row = exchange(
        1, tokens=Tokens(input=9812, cached=4096, output=640, reasoning=12), cost_microusd=18_600, removed_headers=3, dropped="x-user",
        message="<b>not markup</b>", attempts=2, duration_us=6_100_000, first_byte_us=3_100_000,
    )  # fmt: skip
    view = inspector.present(row, UTC)
    assert view.title == "Answered on 2nd try"
    assert view.subtitle.endswith("OpenAI chat, streamed")
    assert [step.glyph for step in view.steps] == ["arrow-right", "warning-fill", "arrow-bend-down-right"]
    assert view.steps[-1].detail == "status 200, first bytes after 3.1 s"
    assert [part.words for part in view.stretches] == ["wait 3.1 s", "stream 3.0 s"]
    facts = {fact.name: fact.value for fact in view.tokens + view.sent}
    assert facts == {
        "Tokens in": "9,812 · 4,096 from cache", "Tokens out": "640 · 12 reasoning", "Cost": "$0.0186", "Price from": "table of 3 Nov 2026",
        "Left to": "api.openai.example", "Sent": "4.1 kB, connection 7", "Received": "900 B", "Removed": "3 headers", "Dropped": "x-user",
        "Content": "Not stored",
    }  # fmt: skip


def test_a_list_of_models_is_told_as_one_and_not_as_a_refusal() -> None:
    listed = exchange(endpoint="models", asked="", account="", kind="", model="", cost_microusd=None, price="", attempts=0)
    view = inspector.present(listed)
    said = ["".join(run.text for run in step.runs) for step in view.steps]
    assert said == ["scripts asked for the list of models", "Answered by Gatehouse itself, no provider was asked"]
    assert not view.can_price


def test_the_inspector_does_not_invent_what_is_absent() -> None:
    row = exchange(
        1, outcome="refused", status=401, error="key_unknown", account="", model="", host="", client="", tokens=Tokens(),
        cost_microusd=None, price="", connection=None, duration_us=None, first_byte_us=None, bytes_out=0, bytes_in=0,
    )  # fmt: skip
    view = inspector.present(row, UTC)
    facts = {fact.name: fact.value for fact in view.tokens + view.sent}
    assert facts == {"Tokens in": "–", "Tokens out": "–", "Cost": "–", "Price from": "–", "Left to": "nowhere", "Content": "Not stored"}
    assert view.stretches == ()
    assert view.timing == ""
    assert "Someone without a known key" in view.steps[0].runs[0].text


def test_what_was_removed_hidden_and_dropped_is_told_apart() -> None:
    row = exchange(
        1, removed_headers=9, dropped="logit_bias, identifier: user, identifier: metadata.user_id", endpoint="responses",
        price="own 2026-11-03",
    )  # fmt: skip
    facts = {fact.name: fact.value for fact in inspector.present(row, UTC, keeps=True).sent + inspector.present(row, UTC).tokens}
    assert facts["Removed"] == "9 headers"
    assert facts["Hidden"] == "user, metadata.user_id"
    assert facts["Dropped"] == "logit_bias"
    assert facts["Content"] == "Answer kept, if it asked for it"
    assert facts["Price from"] == "you, set 3 Nov 2026"
    assert not inspector.present(row, UTC).can_price
    assert inspector.present(exchange(1, cost_microusd=None, price=""), UTC).can_price
    assert not inspector.present(exchange(1, cost_microusd=0, price="local"), UTC).can_price


def test_a_request_leads_to_its_audit_entry_and_its_connection(server: Server, desk: Desk, wait: Wait) -> None:
    refused = exchange(2, outcome="refused", status=401, error="key_unknown", host="", connection=None)
    server.rows = [exchange(1), refused]
    server.entries = [
        AuditEntry(seq=seq, at_us=START_US, kind=kind, actor="gateway", subject="", body={}, hash="ab" * 32)
        for seq, kind in ((1, "gateway.started"), (2, "ledger.batch"), (3, "key.refused"))
    ]
    for row, seq in ((exchange(1), 2), (refused, 3)):
        desk.window.open_request(row.id)
        page = desk.window.page()
        assert isinstance(page, ActivityPage)
        wait(lambda: page._inspector.row() == row)  # noqa: B023  it is run before the loop goes on
        QTest.mouseClick(button(page._inspector, "Audit entry"), Qt.MouseButton.LeftButton)
        wait(lambda: isinstance(desk.window.page(), AuditPage))
        audit = desk.window.page()
        assert isinstance(audit, AuditPage)
        wait(lambda: (shown := audit._detail.entry()) is not None and shown.seq == seq)  # noqa: B023
    desk.window.open_request(exchange(1).id)
    page = desk.window.page()
    assert isinstance(page, ActivityPage)
    wait(lambda: page._inspector.row() == exchange(1))
    intent = dict(page._inspector.more())["Show connection 7 on Network"]
    desk.window.do(intent)
    wait(lambda: desk.window.findChild(ConnectionSheet) is not None)
    sheet = desk.window.findChild(ConnectionSheet)
    assert sheet is not None
    assert sheet.title.text() == "Connection 7"
    record = EgressRecord(
        connection=7, opened_us=START_US, closed_us=START_US + 9, host="a.example", port=443, used=3, tls="TLSv1.3", issuer="CA"
    )
    told = {name: value for name, value, _ in connection.facts(record, NOW_US)}
    assert told["Requests"] == "3 requests were sent on it"
    assert told["TLS"] == "TLSv1.3, issued by CA"
    open_still = {name: value for name, value, _ in connection.facts(replace(record, closed_us=None), NOW_US)}
    assert open_still["Requests"] == open_still["Bytes"] == "known once it is closed"


def test_an_address_in_a_sentence_keeps_its_small_letter_and_nothing_is_asked_for_that_was_not_read() -> None:
    said = provider(tested_us=NOW_US, test_ok=False, test_message="http://127.0.0.1:4141 is Gatehouse itself.")
    assert accounts.test_words(UP, said, NOW_US).word == "http://127.0.0.1:4141 is Gatehouse itself."
    said = provider(tested_us=NOW_US, test_ok=False, test_message="OpenAI refused the key.")
    assert accounts.test_words(UP, said, NOW_US).word == "Refused the key."
    turned_away = exchange(1, asked="", client="", account="", model="", outcome="refused", status=401, error="key_unknown")
    words = "".join(run.text for run in inspector.present(turned_away, UTC).steps[0].runs)
    assert words == "Someone without a known key sent a request"
