"""Another theme or text size changes how the window looks, and nothing that a person did in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QScrollArea

from app.gui import theme
from app.gui.page import Page
from app.gui.pages import PAGES
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, client, exchange, provider
from tests.gui.test_audit_page import entry, status
from tests.gui.test_network_page import view
from tests.gui.test_shortcuts import SHEETS, opened
from tests.gui.test_usage_page import ROWS

CHANGES: Final[dict[str, Callable[[], None]]] = {
    "dark": lambda: theme.current().set_scheme("dark"),
    "larger text": lambda: theme.current().set_scale(1.3),
    "smaller text": lambda: theme.current().set_scale(0.9),
    "dark and larger": lambda: (theme.current().set_scheme("dark"), theme.current().set_scale(1.2), None)[2],
}


@pytest.fixture(autouse=True)
def usual_look(application: QApplication) -> Iterator[None]:
    yield
    theme.current().set_scheme("light")
    theme.current().set_scale(1.0)


@pytest.fixture
def full(desk: Desk, wait: Wait) -> Desk:
    """A window with something on every page."""
    server = desk.server
    server.providers = {"openai": provider(models=("gpt-5",)), "ollama": provider("ollama", local=True, keyed=False, key_state="none")}
    server.clients = {name: client(name) for name in ("scripts", "Codex", "Zed", "Cursor")}
    server.rows = [exchange(number) for number in range(1, 81)]
    server.usage = ROWS
    server.entries = [entry(number, "client.added" if number % 3 else "ledger.batch") for number in range(1, 91)]
    server.audit_status = status(entries=90, seq=90)
    server.answer("/v0/network", 200, msgspec.json.encode(view()))
    server.push(row=server.rows[-1])
    wait(lambda: desk.session.state.recent and desk.session.state.snapshot and desk.session.state.snapshot.clients)
    return desk


def _open(desk: Desk, wait: Wait, name: str) -> Any:
    desk.window.open_page(name)
    page: Any = desk.window.page()
    wait(lambda: _is_read(page))
    return page


def _is_read(page: Any) -> bool:
    match page.NAME:
        case "activity":
            return page._begun and page._tail.settled and page._rows.rowCount() > 0
        case "usage" | "network":
            return page._view is not None
        case "audit":
            return page._log.rows.rowCount() > 0 and page._status is not None
    return bool(page.isVisible())


# -- what a person did


def _activity(page: Any) -> Callable[[], object]:
    QTest.keyClicks(page._filter.field.line, "gpt")
    page._filter._typing.stop()  # what it asks for comes in its own time
    page.toggle_pause()
    page._table.selectRow(30)
    page._table.verticalScrollBar().setValue(400)
    page._open(page._rows.row(30))
    return lambda: (
        page._filter.field.text(), page._tail.paused, page._table.current_key(), page._table.indexAt(page._table.rect().topLeft()).row(),
        page._inspector.isVisible(), page._inspector.row().id,
    )  # fmt: skip


def _audit(page: Any) -> Callable[[], object]:
    page._log.bar.filter.line.setText("codex")
    page._log.bar._typing.stop()
    page._log.open_entry(page._log.rows.key(4))
    page._log._table.selectRow(4)
    return lambda: (
        page._log.bar.text(), page._log._table.current_key(), page._detail.isVisible(), page._detail.entry().seq, page._part.index()
    )  # fmt: skip


def _usage(page: Any) -> Callable[[], object]:
    page._groups.choose(1)
    page._on_group(1)
    return lambda: (page._by, page._groups.index(), page._measure)


def _network(page: Any) -> Callable[[], object]:
    page._every.setChecked(True)
    area = page.findChild(QScrollArea)
    area.verticalScrollBar().setValue(120)
    return lambda: (page._every.isChecked(), area.verticalScrollBar().value() > 60, page._period.index())


def _focus(page: Any) -> Callable[[], object]:
    button = page.title_row.itemAt(page.title_row.count() - 1).widget()
    button.setFocus()
    return lambda: page.window().focusWidget() is button


DONE: Final[dict[str, Callable[[Any], Callable[[], object]]]] = {
    "home": _focus, "clients": _focus, "providers": _focus, "activity": _activity, "usage": _usage, "network": _network, "audit": _audit,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_holds_stays(full: Desk, wait: Wait, application: QApplication, name: str, change: str) -> None:
    page = _open(full, wait, name)
    full.window.activateWindow()
    held = DONE[name](page)
    application.processEvents()
    before = held()
    CHANGES[change]()
    for _ in range(3):
        application.processEvents()
    assert full.window.page() is page
    assert held() == before


# -- how it looks


def _picture(desk: Desk) -> QImage:
    return desk.window.page().grab().toImage()


def _anew(desk: Desk, wait: Wait, name: str) -> None:
    """The page is thrown away and made again, in the look there is now."""
    old: Page = desk.window._pages.pop(name)
    desk.window._stack.removeWidget(old)
    old.deleteLater()
    _open(desk, wait, name)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_was_there_looks_like_one_made_in_the_new_look(
    full: Desk, wait: Wait, application: QApplication, name: str, change: str
) -> None:
    _open(full, wait, name)
    application.processEvents()
    CHANGES[change]()
    pictures: list[QImage] = []

    def settled() -> bool:
        pictures.append(_picture(full))
        return len(pictures) > 5 and pictures[-1] == pictures[-5]

    wait(settled)
    kept = pictures[-1]
    _anew(full, wait, name)
    wait(lambda: _picture(full) == kept)


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_stays_open_and_leaves_to_where_it_came_from(desk: Desk, wait: Wait, application: QApplication, name: str) -> None:
    sheet = opened(desk, wait, name)
    page = desk.window.page()
    CHANGES["dark and larger"]()
    application.processEvents()
    assert desk.window.sheet() is sheet
    sheet.dismiss()
    assert desk.window.sheet() is None
    assert desk.window.page() is page


def test_what_followed_the_look_ends_with_its_widget(full: Desk, wait: Wait, application: QApplication) -> None:
    _open(full, wait, "audit")
    page: Any = full.window._pages.pop("audit")
    full.window.open_page("home")
    full.window._stack.removeWidget(page)
    followers = [one for one in page.findChildren(QObject) if isinstance(one, theme._Follower)]
    assert followers
    gone: list[int] = []
    for one in followers:
        one.destroyed.connect(lambda *_: gone.append(1))
    count = len(followers)
    del one, followers
    page.deleteLater()
    del page
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert len(gone) == count
    theme.current().set_scale(1.1)
