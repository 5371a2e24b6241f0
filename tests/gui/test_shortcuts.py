"""Keys, pressed as a person presses them: under a sheet, whoever opened it, nothing reaches the page; Esc closes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.control import contract as c
from app.core.records import EgressRecord
from app.gui import theme
from app.gui.palette import Palette
from app.gui.sheet import Sheet
from app.gui.sheets.add_client import AddClientSheet
from app.gui.sheets.add_provider import AddProviderSheet
from app.gui.sheets.client_settings import ClientSettingsSheet
from app.gui.sheets.closing import ClosingSheet
from app.gui.sheets.confirm import ConfirmSheet
from app.gui.sheets.connection import ConnectionSheet
from app.gui.sheets.dates import DatesSheet
from app.gui.sheets.leaks import LeakSheet
from app.gui.sheets.replace_key import ReplaceKeySheet
from app.gui.sheets.retention import RetentionSheet
from app.gui.sheets.set_price import SetPriceSheet
from app.gui.sheets.text import TextSheet
from app.gui.sheets.unlock import UnlockSheet
from tests.gui.conftest import Wait
from tests.gui.desk import START_US, Desk, client, exchange, provider
from tests.gui.test_audit_page import status

CONTROL: Final = Qt.KeyboardModifier.ControlModifier
Opening = Callable[[Desk, Wait], None]


def _does(intent: str) -> Opening:
    return lambda desk, _wait: desk.window.do(intent)


def _dates(desk: Desk, _wait: Wait) -> None:
    desk.window.open_page("activity")
    desk.window.page()._pick_dates()  # type: ignore[attr-defined]


def _audit(desk: Desk, wait: Wait) -> None:
    desk.window.open_page("audit")
    wait(lambda: desk.window.page()._status is not None)  # type: ignore[attr-defined]


def _retention(desk: Desk, wait: Wait) -> None:
    _audit(desk, wait)
    desk.window.page()._change_retention()  # type: ignore[attr-defined]


def _accept(desk: Desk, wait: Wait) -> None:
    found = c.AuditFinding(kind="edited", seq=2, sentence="Entry 2 was changed.", advice="Compare it.")
    desk.server.audit_status = status(held=found)
    _audit(desk, wait)
    desk.window.page()._ask_accept()  # type: ignore[attr-defined]


def _connection(desk: Desk, _wait: Wait) -> None:
    desk.window.open_page("network")
    record = EgressRecord(connection=7, opened_us=START_US, host="api.openai.example", port=443)
    desk.window.page()._on_record(record)  # type: ignore[attr-defined]


def _leaks(desk: Desk, _wait: Wait) -> None:
    desk.window.open_page("network")
    desk.window.page()._view = object()  # type: ignore[attr-defined]  # something was read
    desk.window.page().test()
    desk.window.page()._view = None  # type: ignore[attr-defined]


# Every sheet there is, and how a person gets to it.
SHEETS: Final[dict[str, tuple[type[Sheet], Opening]]] = {
    "add provider": (AddProviderSheet, _does("add-provider")),
    "replace key": (ReplaceKeySheet, _does("replace-key:openai")),
    "remove provider": (ConfirmSheet, _does("remove-provider:openai")),
    "models": (TextSheet, _does("models:openai")),
    "add client": (AddClientSheet, _does("add-client")),
    "remove client": (ConfirmSheet, _does("remove-client:scripts")),
    "settings of a client": (ClientSettingsSheet, _does("client-settings:scripts")),
    "set price": (SetPriceSheet, _does("set-price:openai/gpt-5")),
    "passphrase": (UnlockSheet, lambda desk, _wait: desk.window.forms.passphrase()),
    "log": (TextSheet, _does("log")),
    "closing": (ClosingSheet, lambda desk, _wait: desk.window.forms.closing(lambda _keep: None)),
    "palette": (Palette, lambda desk, _wait: desk.window.open_palette()),
    "dates": (DatesSheet, _dates),
    "retention": (RetentionSheet, _retention),
    "go on from a finding": (ConfirmSheet, _accept),
    "connection": (ConnectionSheet, _connection),
    "try to leak": (LeakSheet, _leaks),
}


def opened(desk: Desk, wait: Wait, name: str) -> Sheet:
    """The sheet of that name over a window with the keyboard, with a provider and a client to be about."""
    desk.server.providers = {"openai": provider(models=("gpt-5",))}
    desk.server.clients = {"scripts": client()}
    desk.server.audit_status = status()
    desk.server.push(row=exchange(1))
    wait(lambda: desk.session.state.recent and desk.session.state.snapshot and desk.session.state.snapshot.clients)
    desk.window.activateWindow()
    kind, opening = SHEETS[name]
    opening(desk, wait)
    wait(lambda: isinstance(desk.window.sheet(), kind))
    found = desk.window.sheet()
    assert found is not None
    return found


def press(desk: Desk, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(desk.window.focusWidget() or desk.window, key, modifier)


@pytest.mark.parametrize("name", SHEETS)
def test_no_shortcut_reaches_the_page_under_a_sheet(desk: Desk, wait: Wait, application: QApplication, name: str) -> None:
    sheet = opened(desk, wait, name)
    page, scale, asked = desk.window.page(), theme.current().scale, len(desk.server.asked)
    for key in (Qt.Key.Key_2, Qt.Key.Key_7, Qt.Key.Key_K, Qt.Key.Key_F, Qt.Key.Key_E, Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_Comma):
        press(desk, key, CONTROL)
    press(desk, Qt.Key.Key_F5)
    for _ in range(5):
        application.processEvents()
        time.sleep(0.01)
    assert desk.window.page() is page
    assert desk.window.sheet() is sheet
    assert len([shown for shown in desk.window.findChildren(Sheet) if shown.isVisible()]) == 1
    assert theme.current().scale == scale
    assert not [path for method, path, _body in desk.server.asked[asked:] if method == "POST" and path.endswith(("/verify", "/test"))]


@pytest.mark.parametrize("name", SHEETS)
def test_esc_closes_a_sheet_and_the_shortcuts_work_again(desk: Desk, wait: Wait, name: str) -> None:
    opened(desk, wait, name)
    press(desk, Qt.Key.Key_Escape)
    assert desk.window.sheet() is None
    press(desk, Qt.Key.Key_2, CONTROL)
    assert desk.window.page().NAME == "clients"


@pytest.mark.parametrize("second", ["dates", "retention", "connection", "log"])
def test_there_is_never_more_than_one_sheet(desk: Desk, wait: Wait, second: str) -> None:
    first = opened(desk, wait, "add client")
    kind, opening = SHEETS[second]
    opening(desk, wait)
    wait(lambda: isinstance(desk.window.sheet(), kind))
    assert not first.isVisible()
    press(desk, Qt.Key.Key_Escape)
    assert desk.window.sheet() is None


def test_every_sheet_of_the_program_is_in_the_table(application: QApplication) -> None:
    assert {kind.__name__ for kind, _ in SHEETS.values()} == {kind.__name__ for kind in Sheet.__subclasses__()}
