"""What waits for the person: said by the keeper, shown wherever the person is, and done only after the whole of it was read."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from app.control.contract import NewProvider
from app.core import wishes
from app.core.errors import AppError
from app.core.kinds import ADDRESSES
from app.core.secret import Secret
from app.core.stuck import Stuck
from app.gui import theme, waiting
from app.gui.labels import Label, Line
from app.gui.notices import banners
from app.gui.session import Session
from app.gui.sheets.confirm import ConfirmSheet
from app.gui.state import Boot, EngineReport, State, Waiting
from app.gui.waiting import WaitingCard
from app.system.paths import Paths
from tests.gateway import gateway
from tests.gui.conftest import Wait
from tests.gui.desk import START_US, Desk, settle
from tests.gui.test_keyring_locks import Wishing
from tests.upstream import Upstream

HELD = {
    "number": 3, "kind": "held", "what": "destination", "subject": "extra", "value": "https://exfiltration.example:443", "used": "",
    "at_us": START_US, "asked": True,
}  # fmt: skip
SETTING = HELD | {"number": 4, "kind": "setting", "what": "audit.keep_days", "subject": "", "value": "1", "used": "365"}


def answers(desk: Desk) -> list[tuple[str, object]]:
    return [(op, fields.get("number")) for op, fields in desk.keeper.told if op in ("confirm", "refuse")]


def shown(desk: Desk, wait: Wait, *items: dict[str, Any], unlisted: int = 0) -> WaitingCard:
    desk.hear(op="waiting", items=list(items), unlisted=unlisted)
    wait(lambda: len(desk.session.state.waiting) == len(items))
    desk.window.open_page("network")
    card = desk.window.page().findChild(WaitingCard)
    assert isinstance(card, WaitingCard)
    return card


def button(parent: Any, words: str, number: int = 0) -> QPushButton:
    return [each for each in parent.findChildren(QPushButton) if each.text() == words and each.isVisible()][number]


@pytest.mark.parametrize("what", list(wishes.WISHES))
@pytest.mark.parametrize("kind", ["held", "setting", "refused"])
def test_everything_that_can_wait_has_words(what: str, kind: str) -> None:
    one = Waiting(number=1, kind=kind, what=what, subject="tool", value="the value", used="before")
    said = waiting.title(one)
    assert "{" not in said + waiting.state(one) + waiting.after(one)
    assert what not in said, "a name of ours is no word for a person"
    if wishes.WISHES[what].form != "nothing" or wishes.WISHES[what].one_of:
        assert "the value" in said
    assert "Nobody asks" in waiting.state(replace(one, asked=False))


def test_each_is_a_banner_the_oldest_first_also_while_the_engine_is_down() -> None:
    state = State(
        boot=Boot(data_dir="data", control="c", port=1, addresses=("127.0.0.1:1",)), waiting=(Waiting.of(HELD), Waiting.of(SETTING)),
    )  # fmt: skip
    for engine in (EngineReport(state="up"), EngineReport(state="crashed")):
        found = [banner for banner in banners(replace(state, engine=engine)) if any(choice.act == "confirm" for choice in banner.choices)]
        assert "https://exfiltration.example:443" in found[0].fact
        assert [choice.about for banner in found for choice in banner.choices if choice.act == "confirm"] == ["3", "4"]


def test_the_banner_asks_before_it_confirms_and_cancel_is_what_enter_does(desk: Desk, wait: Wait) -> None:
    desk.hear(op="waiting", items=[HELD], unlisted=0)
    wait(lambda: desk.window.banner.isVisible() and desk.window.banner.banner() is not None)
    wait(lambda: "exfiltration.example" in desk.window.banner.accessibleName())
    button(desk.window.banner, "Confirm…").click()
    sheet = desk.window.sheet()
    assert isinstance(sheet, ConfirmSheet)
    assert "extra to https://exfiltration.example:443" in [label.text() for label in sheet.findChildren(Line)]
    assert sheet.first() is not sheet.yes
    assert answers(desk) == []
    sheet.yes.click()
    wait(lambda: answers(desk) == [("confirm", 3)])


def test_a_click_means_what_was_shown_when_the_button_was_made(desk: Desk, wait: Wait) -> None:
    desk.hear(op="waiting", items=[HELD], unlisted=0)
    wait(lambda: "exfiltration.example" in desk.window.banner.accessibleName())
    refuse = button(desk.window.banner, "Refuse")
    desk.session.state = replace(desk.session.state, waiting=(Waiting.of(SETTING | {"number": 9}),))  # exchanged, not drawn yet
    refuse.click()
    wait(lambda: answers(desk) == [("refuse", 3)])


def test_the_network_page_lists_them_without_the_engine_and_by_keyboard(desk: Desk, wait: Wait) -> None:
    card = shown(desk, wait, HELD, SETTING, unlisted=2)
    wait(card.isVisible)
    texts = " ".join(line.text() for kind in (Label, Line) for line in card.findChildren(kind))
    assert "extra to https://exfiltration.example:443" in texts
    assert "Meanwhile it is: 365." in texts
    assert "2 more were refused" in texts
    refuse = button(card, "Refuse", 1)
    assert "audit log is kept" in refuse.accessibleDescription()
    refuse.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(refuse, Qt.Key.Key_Space)
    wait(lambda: answers(desk) == [("refuse", 4)])
    desk.hear(op="waiting", items=[], unlisted=0)
    wait(lambda: not card.isVisible())


def test_with_the_keyboard_they_come_where_they_are_read_and_one_answer_after_the_other_is_given(desk: Desk, wait: Wait) -> None:
    third = HELD | {"number": 7, "subject": "third"}
    shown(desk, wait, HELD)
    settle()
    card = shown(desk, wait, HELD, SETTING, third)
    wait(card.isVisible)
    settle()
    page: Any = desk.window.page()
    page._try.setEnabled(True)
    page._export.setEnabled(True)
    page._export.setFocus(Qt.FocusReason.TabFocusReason)
    order = []
    for _ in range(7):
        QTest.keyClick(desk.window.focusWidget() or page, Qt.Key.Key_Tab)
        order.append(desk.window.focusWidget())
    buttons = [each for each in card.findChildren(QPushButton) if each.isVisible()]
    assert [order.index(each) for each in sorted(buttons, key=lambda each: (each.mapTo(card, each.pos()).y(), each.x()))] == list(range(6))
    button(card, "Refuse", 1).setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(desk.window.focusWidget() or page, Qt.Key.Key_Space)
    wait(lambda: answers(desk) == [("refuse", 4)])
    desk.hear(op="waiting", items=[HELD, third], unlisted=0)
    wait(lambda: len(desk.session.state.waiting) == 2)
    settle()
    assert desk.window.focusWidget() is button(card, "Refuse", 1)
    desk.hear(op="waiting", items=[third], unlisted=0)  # what has the keyboard stays where it is
    wait(lambda: len(desk.session.state.waiting) == 1)
    settle()
    assert desk.window.focusWidget() is button(card, "Refuse", 0)
    QTest.keyClick(desk.window.focusWidget() or page, Qt.Key.Key_Space)
    wait(lambda: answers(desk) == [("refuse", 4), ("refuse", 7)])


# As long as a host can be, without a hyphen at which a line would break; its end says whose it is.
LONG = f"https://api.openai.com.{'.'.join(letter * 63 for letter in 'abc')}.evil.example:65535"


def _whole(line: Line) -> bool:
    """Whether all of its lines are where they can be seen."""
    window = line.window()
    at = line.mapTo(window, line.rect().bottomRight())
    seen = line.visibleRegion().boundingRect()
    return line.height() >= line.heightForWidth(line.width()) and seen == line.rect() and at.x() < window.width()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (960, 640)])
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_the_longest_host_is_read_to_its_end_before_it_is_confirmed_and_pushes_nothing_off(
    desk: Desk, wait: Wait, width: int, height: int, scale: float
) -> None:
    theme.current().set_scale(scale)
    try:
        desk.window.resize(width, height)
        card = shown(desk, wait, HELD | {"value": LONG})
        wait(lambda: card.isVisible() and desk.window.banner.isVisible())
        settle()
        page = desk.window.page()
        for each in page.findChildren(QPushButton):
            if each.isVisible():
                assert each.mapTo(desk.window, each.rect().topRight()).x() < desk.window.width(), each.text()
        (title,) = (line for line in card.findChildren(Line) if LONG in line.text())
        wait(lambda: title.height() >= title.heightForWidth(title.width()))
        assert title.mapTo(desk.window, title.rect().topRight()).x() < desk.window.width()
        button(desk.window.banner, "Confirm…").click()
        sheet = desk.window.sheet()
        assert isinstance(sheet, ConfirmSheet)
        wait(lambda: all(_whole(line) for line in sheet.findChildren(Line)))
        assert f"extra to {LONG}" in [line.text() for line in sheet.findChildren(Line)]
    finally:
        theme.current().set_scale(1.0)


@pytest.mark.parametrize("width", [1240, 960])
def test_what_an_engine_that_stood_still_says_is_read_to_its_end(desk: Desk, wait: Wait, width: int) -> None:
    stuck = Stuck(at_us=time.time_ns() // 1000, silent_s=25, cpu_s=24, client="c" * 64, endpoint="chat/completions", model="m" * 150)
    desk.window.resize(width, 700)
    for state in ("up", "crashed"):
        desk.hear(
            op="engine", state=state, restarts=2, next_s=None, exit=None, log=[], at_us=START_US, unanswering=state == "crashed",
            stuck=[stuck.fields(), stuck.fields()],
        )  # fmt: skip
        wait(lambda: desk.window.banner.isVisible() and "2 times it was" in desk.window.banner.accessibleName())
        wait(lambda: all(_whole(line) for line in desk.window.banner.findChildren(Line)))
        assert any("Block “ccc" in line.text() for line in desk.window.banner.findChildren(Line))


def test_while_nothing_waits_nothing_is_shown(desk: Desk, wait: Wait) -> None:
    card = shown(desk, wait)
    assert not card.isVisible()


def test_the_form_shows_a_kind_at_its_own_address_whatever_the_engine_says(desk: Desk, wait: Wait) -> None:
    """The control server of these tests says that OpenAI is elsewhere."""
    kinds: list[Any] = []
    desk.session.read_kinds(kinds.extend, lambda error: None)
    wait(lambda: kinds)
    assert {kind.id: kind.base_url for kind in kinds} == {kind.id: ADDRESSES[kind.id] for kind in kinds}


def test_the_keeper_is_told_what_the_person_wants_before_the_engine_is_asked(desk: Desk, wait: Wait) -> None:
    from app.control.contract import AuditPolicy

    done: list[object] = []
    desk.session.order("policy", lambda client: client.set_audit_policy(AuditPolicy(keep_days=30)), done.append)
    wait(lambda: desk.keeper.told)
    assert desk.keeper.told[0] == ("grant", {"what": "audit.keep_days", "subject": "", "value": "30"})


def test_in_a_window_on_a_real_gateway_adding_and_setting_need_no_extra_step(
    data_dir: Path, up: Upstream, application: QApplication, wait: Wait
) -> None:
    from app.control.contract import AuditPolicy

    with gateway(data_dir) as one:
        paths = Paths(data_dir)
        session = Session(Boot(data_dir=str(data_dir), control=str(paths.control), port=4141, addresses=("127.0.0.1:4141",)))
        session.attach(Wishing(paths))
        added: list[Any] = []
        failed: list[AppError] = []
        new = NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", local=True)
        session.add_provider(new, Secret(up.key), added.append, failed.append)
        wait(lambda: added or failed)
        assert failed == []
        session.order("policy", lambda client: client.set_audit_policy(AuditPolicy(keep_days=30)), added.append)
        wait(lambda: len(added) == 2)
        assert one.cli("confirm").stdout == "Nothing waits for you.\n"
        assert one.cli("provider", "test", "work").stdout.startswith("work: Works")
        session.stop()
        session.deleteLater()
