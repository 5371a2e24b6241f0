"""Home: figures that can be trusted, and the way to the first request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from app.control.contract import HostView, HourBar, ProviderTraffic, Today, VaultView
from app.gui import header
from app.gui.cards import columns as home_columns
from app.gui.charts import HourBars, nice_top, readout
from app.gui.overview import present
from app.gui.pages.home import HomePage
from app.gui.requests import columns as activity_columns
from app.gui.state import Boot, EngineReport, ProofReport, State
from app.gui.theme import current
from tests.gui.conftest import Wait
from tests.gui.desk import MINUTE_US, START_US, Desk, client, exchange, provider, snapshot

NOW_US = START_US + 100 * MINUTE_US
BOOT = Boot(data_dir="data", control="control.sock", port=4141, addresses=("127.0.0.1:4141",))
UP = State(
    boot=BOOT,
    engine=EngineReport(state="up"),
    proof=ProofReport(ok=True, message="", at_us=START_US, heard_s=1.0),
    snapshot=snapshot(),
    live=True,
    recent_read=True,
)


def captions(today: Today) -> list[tuple[str, str]]:
    view = present(replace(UP, snapshot=snapshot(today=today)), NOW_US, UTC)
    return [(metric.value + metric.unit, metric.caption) for metric in view.metrics]


def test_figures_of_the_day() -> None:
    today = Today(
        requests=214,
        failed=4,
        yesterday=188,
        cost_microusd=4_370_000,
        unpriced=2,
        local=23,
        input=2_000_000,
        cached=1_260_000,
        output=70_000,
    )
    assert captions(today) == [
        ("214", "requests, 4 failed, 188 yesterday"),
        ("$4.37", "cost, 23 local, 2 unpriced"),
        ("2.07M", "tokens, 63 % read from cache"),
    ]


def test_a_day_without_requests_shows_zeros() -> None:
    assert captions(Today()) == [("0", "requests, 0 yesterday"), ("$0", "cost"), ("0", "tokens")]


def test_a_day_of_unpriced_requests_does_not_cost_zero() -> None:
    assert captions(Today(requests=3, unpriced=3))[1] == ("–", "cost, 3 unpriced")


def test_hosts_are_shown_busiest_first_and_the_rest_summed() -> None:
    hosts = tuple(
        HostView(host=f"h{number}.example", connections=number, bytes_out=number * 1_000_000, bytes_in=0, last_us=NOW_US)
        for number in range(1, 8)
    )
    view = present(replace(UP, snapshot=snapshot(hosts=hosts, refused_connections=2)), NOW_US, UTC)
    assert [line.host for line in view.hosts] == ["h7.example", "h6.example", "h5.example", "4 more hosts"]
    assert view.hosts[-1].out == "10.0 MB out"
    assert view.hosts_verdict.word == "28 connections seen, 2 refused."
    assert view.hosts_verdict.tone == "wa"


def test_nothing_is_promised_that_is_not_enforced() -> None:
    assert present(UP, NOW_US, UTC).hosts_verdict.word == "0 connections seen, 0 refused."


def test_what_is_not_known_is_not_shown_as_nothing() -> None:
    for unknown in (snapshot(audit_seq=0), snapshot(audit_seq=0, state="failing", problem="A part of the database is damaged."), None):
        state = replace(UP, snapshot=unknown, recent=(exchange(),))
        view = present(state, NOW_US, UTC)
        assert (view.hosts_verdict.word, "is not known" in view.hosts_none) == ("Not known yet.", True)
        assert [metric.value for metric in view.metrics] == ["–", "–", "–"]
        shown = header.present(state, 1.0, "openai")
        assert shown.hosts is None
        assert header.hosts_words(shown.hosts) == "–"
    assert header.hosts_words(header.present(UP, 1.0, "openai").hosts) == "0 hosts"


LIMITED = ProviderTraffic(state="limited", at_us=NOW_US - MINUTE_US, requests=10, failed=9, first_byte_us=300_000, message="Slow down.")


@pytest.mark.parametrize(
    ("traffic", "tested", "said"),
    [
        # No request went there: the test's word, and how old the test is.
        (None, {}, ("Not tested", "")),
        (None, {"test_ok": True, "tested_us": NOW_US - 40 * MINUTE_US, "test_ms": 14}, ("Test passed", "40 min ago")),
        (None, {"test_ok": False, "tested_us": NOW_US - 40 * MINUTE_US}, ("Test failed", "40 min ago")),
        # Requests since the test: theirs.
        (LIMITED, {"test_ok": True, "tested_us": NOW_US - 40 * MINUTE_US, "test_ms": 14}, ("Rate limited", "")),
        (LIMITED, {}, ("Rate limited", "")),
        (msgspec.structs.replace(LIMITED, state="failing"), {}, ("Failing", "")),
        (msgspec.structs.replace(LIMITED, state="refused"), {}, ("Refuses the key", "")),
        (msgspec.structs.replace(LIMITED, state="answers", failed=0), {}, ("Answers", "300 ms")),
        (msgspec.structs.replace(LIMITED, at_us=NOW_US - 80 * MINUTE_US), {}, ("Rate limited", "1 h ago")),
        (msgspec.structs.replace(LIMITED, state="answers", at_us=NOW_US - 80 * MINUTE_US), {}, ("Idle since 09:13", "")),
        (msgspec.structs.replace(LIMITED, state="answers", at_us=NOW_US - 4000 * MINUTE_US), {}, ("Idle since 6 Oct", "")),
        # A test since the last request: the test's, with its age.
        (LIMITED, {"test_ok": True, "tested_us": NOW_US, "test_ms": 14}, ("Test passed", "just now")),
    ],
)
def test_a_providers_word_is_that_of_its_requests(traffic: ProviderTraffic | None, tested: dict[str, Any], said: tuple[str, str]) -> None:
    view = present(replace(UP, snapshot=snapshot(providers=(provider(traffic=traffic, **tested),))), NOW_US, UTC)
    line = view.providers[0]
    assert (line.words.word, line.took) == said
    if traffic is not None and line.words.word in ("Rate limited", "Failing"):
        assert "Of the last 10 requests, 9 failed" in line.words.detail and "Slow down." in line.words.detail


def test_the_way_to_the_first_request_is_shown_only_when_there_was_none() -> None:
    assert present(UP, NOW_US).body == "begin"
    assert present(replace(UP, recent_read=False), NOW_US).body == "closed"
    assert present(replace(UP, recent=(exchange(),)), NOW_US).body == "figures"
    assert present(replace(UP, snapshot=snapshot(state="locked")), NOW_US).body == "closed"
    assert present(replace(UP, snapshot=snapshot(state="locked"), recent=(exchange(),)), NOW_US).body == "closed"


def test_a_gateway_that_cannot_record_is_not_called_starting() -> None:
    step = present(replace(UP, snapshot=snapshot(state="failing", problem="The disk is full.")), NOW_US).steps[0]
    assert (step.fact, step.detail, step.done) == ("Gateway cannot record requests", "The disk is full.", False)


def test_steps_are_ticked_as_they_are_done() -> None:
    steps = present(UP, NOW_US).steps
    assert [(step.done, step.number) for step in steps] == [(True, 0), (False, 1), (False, 2)]
    done = present(replace(UP, snapshot=snapshot(providers=(provider(),), clients=(client(),))), NOW_US).steps
    assert all(step.done for step in done)
    assert done[1].detail == "Added: openai."


def test_the_snippet_needs_no_provider() -> None:
    assert "gatehouse/echo" in present(UP, NOW_US).snippet
    assert "http://127.0.0.1:4141/v1/chat/completions" in present(UP, NOW_US).snippet


def test_clients_seen_last_come_first() -> None:
    clients = (client("a", last_seen_us=NOW_US - 5 * MINUTE_US), client("b", last_seen_us=NOW_US), client("c"))
    view = present(replace(UP, snapshot=snapshot(clients=clients)), NOW_US, UTC)
    assert view.clients == "Seen: b just now, a 5 min ago."
    assert view.clients_count == "3 clients"


@pytest.mark.parametrize(
    ("value", "top"), [(0, 2), (2, 2), (3, 4), (42, 50), (50, 50), (51, 60), (61, 80), (99, 100), (101, 200), (1234, 2000)]
)
def test_an_axis_ends_at_an_even_round_number(value: int, top: int) -> None:
    assert nice_top(value) == top


def test_a_bar_is_read_out() -> None:
    assert readout(HourBar(hour=23, answered=41, failed=2)) == "23 to 00: 41 answered, 2 failed"
    assert readout(HourBar(hour=4, answered=0, failed=0)) == "04 to 05: 0 answered"


def test_bars_can_be_read_by_keyboard_and_on_a_day_of_25_hours(desk: Desk) -> None:
    bars = HourBars(desk.window)
    bars.resize(600, 126)
    hours = tuple(HourBar(hour=min(hour, 23), answered=hour, failed=0) for hour in range(25))
    bars.show_hours(hours)
    assert bars.slots() == 25
    assert bars.bar_at(10) == -1
    assert bars.bar_at(599) == 24
    bars.show()
    QTest.keyClick(bars, Qt.Key.Key_Left)
    assert bars._at == 24
    QTest.keyClick(bars, Qt.Key.Key_Left)
    assert bars._at == 23
    assert "04 to 05: 4 answered" in bars.accessibleDescription()


def test_a_test_request_shows_its_row_live(desk: Desk, wait: Wait) -> None:
    page = desk.window.page()
    assert isinstance(page, HomePage)
    wait(page._begin.isVisible)
    send = next(button for button in page.findChildren(QPushButton) if button.text() == "Send test request")
    QTest.mouseClick(send, Qt.MouseButton.LeftButton)
    wait(lambda: page._figures is not None and page._figures.isVisible())
    assert page._figures is not None
    rows = page._figures.requests.table.rows()
    wait(lambda: rows.rowCount() == 1)
    assert rows.index(0, 2).data() == "echo"
    banner = desk.window.toast.banner()
    assert banner is not None
    assert "Hello <b>you</b>" in banner.consequence
    assert not page._begin.isVisible()


@pytest.mark.parametrize("cell", ["<$0.0001", "Unpriced", "$0.0004", "$1,204.00"])
def test_a_cost_is_never_shortened(application: QApplication, cell: str) -> None:
    metrics = current().metrics("small")
    for columns in (home_columns([0]), activity_columns([0])):
        cost = next(column for column in columns if column.title == "Cost")
        assert metrics.horizontalAdvance(cell) <= max(metrics.horizontalAdvance(cost.sample), current().px(cost.least))


def test_where_the_keys_are_is_told_in_full_at_every_text_size(desk: Desk, wait: Wait) -> None:
    place = "A vault with a name that is rather long"
    vault = VaultView(mode="keyring", state="ready", place=place)
    desk.window.resize(1600, 900)
    for scale in (1.0, 1.3):
        current().set_scale(scale)
        desk.window.sidebar.show_state(replace(UP, snapshot=snapshot(vault=vault)))
        label = desk.window.sidebar._keys
        assert place in label.text()
        wait(lambda: label.heightForWidth(label.width()) <= label.height())  # noqa: B023  it is run before the loop goes on
    current().set_scale(1.0)
