"""A price in one click: from a request or a line of usage to the sheet, to the engine, and to what was recorded."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget

from app.control.contract import Repriced
from app.core.records import OwnPrice
from app.gui.pages.activity import ActivityPage
from app.gui.sheets.set_price import Saved, SetPriceSheet, notice, wrong
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, exchange

UNPRICED = exchange(3, cost_microusd=None, price="", model="mistral/medium", account="work")


def click(within: QWidget, text: str) -> None:
    button = next(found for found in within.findChildren(QPushButton) if found.text() == text and found.isVisibleTo(within))
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def opened(desk: Desk, wait: Wait) -> SetPriceSheet:
    desk.server.rows = [exchange(1), UNPRICED]
    desk.window.open_request(UNPRICED.id)
    page = desk.window.page()
    assert isinstance(page, ActivityPage)
    wait(page._inspector.isVisible)
    click(page._inspector, "Set a price")
    sheet = desk.window.sheet()
    assert isinstance(sheet, SetPriceSheet)
    return sheet


@pytest.mark.parametrize(("text", "fine"), [("2.50", True), ("0", True), ("", False), ("2,5", False), ("-1", False), ("1e3", False)])
def test_a_price_is_a_plain_number_of_dollars(text: str, fine: bool) -> None:
    assert (wrong(text, needed=True) == "") == fine
    assert wrong("", needed=False) == ""


def test_an_unpriced_request_gets_a_price_and_is_worked_out_again(desk: Desk, wait: Wait) -> None:
    sheet = opened(desk, wait)
    assert "mistral/medium of work" in sheet.explanation.text()
    QTest.keyClick(sheet, Qt.Key.Key_Return)
    assert sheet.fields["input"].is_wrong()
    sheet.fields["input"].line.setText("0.4")
    sheet.fields["output"].line.setText("2")
    sheet.again.choose(2)
    asked = len(desk.server.asked)
    sheet.submit()
    wait(lambda: desk.server.prices and desk.session.state.notice is not None)
    assert desk.server.prices == [OwnPrice(account="work", model="mistral/medium", input="0.4", output="2")]
    said = desk.session.state.notice
    assert said is not None
    assert said.consequence == "4 requests were worked out again: $1.25."
    again = next(json.loads(body) for method, path, body in desk.server.asked[asked:] if path == "/v0/reprice")
    assert not again.get("all")
    assert again["until_us"] > again["since_us"] > 0
    wait(lambda: sum(path.startswith("/v0/activity?") for _, path, _ in desk.server.asked[asked:]) >= 1)


def test_what_costs_nothing_is_one_more_click_and_leaves_the_past_alone_if_so_chosen(desk: Desk, wait: Wait) -> None:
    sheet = opened(desk, wait)
    click(sheet, "It costs nothing: 0")
    sheet.again.choose(0)
    sheet.submit()
    wait(lambda: desk.server.prices)
    assert desk.server.prices == [OwnPrice(account="work", model="mistral/medium", input="0", output="0")]
    wait(lambda: desk.session.state.notice is not None)
    assert not any(path == "/v0/reprice" for _, path, _ in desk.server.asked)


def test_a_price_set_before_stands_in_the_fields(desk: Desk, wait: Wait) -> None:
    desk.server.prices = [OwnPrice(account="work", model="mistral/medium", input="3", output="9", cached="0.3")]
    sheet = opened(desk, wait)
    wait(lambda: sheet.fields["cached"].text() == "0.3")
    assert (sheet.fields["input"].text(), sheet.fields["cache_write"].text()) == ("3", "")


def test_a_price_that_nothing_waited_for_says_so() -> None:
    price = OwnPrice(account="lab", model="m", input="1", output="2")
    none = Repriced(looked_at=8, changed=0, before_microusd=0, after_microusd=0)
    assert notice(Saved(price, none)).consequence == "No recorded request was without one."
