"""The window as a whole: what it loads, how it adapts, what can be heard, and how it closes."""

from __future__ import annotations

import json
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QPlainTextEdit, QPushButton, QScrollArea, QToolTip

from app.gui import preferences, theme
from app.gui.pages import PAGES
from app.gui.palette import Command, Palette, matching
from app.gui.preferences import Preferences
from app.gui.sheets.closing import ClosingSheet
from app.gui.state import Notice, pill
from app.gui.window import NARROW_BELOW
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, Server, client, exchange, provider


def test_only_the_first_page_is_made_before_it_is_needed(desk: Desk) -> None:
    assert list(desk.window._pages) == ["home"]
    desk.window.open_page("activity")
    assert list(desk.window._pages) == ["home", "activity"]
    desk.window.open_page("nonsense")
    assert desk.window.page().NAME == "activity"


def test_nothing_shown_can_be_read_as_markup(server: Server, desk: Desk, wait: Wait) -> None:
    evil = "<img src=http://evil.example/x.png><b>bold</b>"
    server.providers = {"openai": provider(test_ok=False, tested_us=1, test_message=evil)}
    server.clients = {evil: client(evil)}
    row = exchange(1, client=evil, model=evil, asked=evil, message=evil, outcome="failed", status=500, error="provider_error")
    server.rows = [row]
    server.push(row=row)
    wait(lambda: desk.session.state.recent)
    for name in PAGES:
        desk.window.open_page(name)
    desk.window.open_request(exchange(1).id)
    page = desk.window.page()
    wait(page._inspector.isVisible)  # type: ignore[attr-defined]
    labels = desk.window.findChildren(QLabel)
    assert len(labels) > 50
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}
    tips = {widget.toolTip() for widget in desk.window.findChildren(QLabel) if "evil" in widget.toolTip()}
    assert all("<img" not in tip for tip in tips)


def test_every_button_has_a_name_that_can_be_spoken(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    server.clients = {"scripts": client()}
    server.push(row=exchange(1))
    wait(lambda: desk.session.state.recent)
    for name in PAGES:
        desk.window.open_page(name)
        wait(lambda: desk.window.page().isVisible())
    mute = [
        button
        for button in desk.window.findChildren(QAbstractButton)
        if not (button.text() or button.accessibleName()) and button.isVisibleTo(desk.window)
    ]
    assert not mute


def test_small_targets_are_still_large_enough_to_hit(desk: Desk) -> None:
    for button in desk.window.findChildren(QPushButton):
        if button.isVisible() and button.property("kind") != "link":
            assert min(button.width(), button.height()) >= 26, button.text()


def test_a_narrow_window_gets_a_rail_and_shorter_words(desk: Desk, application: QApplication) -> None:
    window = desk.window
    window.resize(1240, 820)
    application.processEvents()
    assert window.sidebar.width() == 200
    assert window.header._url_group.isVisible()
    window.resize(NARROW_BELOW - 1, 700)
    application.processEvents()
    assert window.sidebar.width() == 56
    assert not window.header._url_group.isVisible()
    assert window.minimumSize() == QSize(960, 640)


@pytest.mark.parametrize("scale", theme.SCALES)
def test_nothing_sticks_out_at_the_least_size_in_any_text_size(server: Server, desk: Desk, wait: Wait, scale: float) -> None:
    server.providers = {"openai": provider()}
    server.push(row=exchange(1))
    wait(lambda: desk.session.state.recent)
    window = desk.window
    try:
        theme.current().set_scale(scale)
        window.resize(960, 640)
        for name in PAGES:
            window.open_page(name)
            wait(lambda: window.page().isVisible())
            page = window.page()
            assert page.minimumSizeHint().width() <= page.width(), name
        assert window.header._row.totalMinimumSize().width() <= window.header.width()
    finally:
        theme.current().set_scale(1.0)


def test_another_theme_is_seen_at_once(desk: Desk, application: QApplication) -> None:
    try:
        theme.current().set_scheme("dark")
        application.processEvents()
        assert desk.window.page().NAME == "home"
        picture = desk.window.grab().toImage()
        assert picture.pixelColor(212, 500).name().upper() == theme.DARK.window
    finally:
        theme.current().set_scheme("light")
    picture = desk.window.grab().toImage()
    assert picture.pixelColor(212, 500).name().upper() == theme.LIGHT.window


def test_what_was_copied_is_said_without_moving_the_page(desk: Desk) -> None:
    desk.window.copy("abc")
    assert QApplication.clipboard().text() == "abc"
    assert QToolTip.text() == "Copied."
    assert desk.session.state.notice is None


def test_the_base_url_is_copied_for_the_chosen_kind_of_client(desk: Desk) -> None:
    desk.window.copy_url()
    assert QGuiApplication.clipboard().text() == "http://127.0.0.1:4141/v1"
    desk.window.header.choose_dialect("anthropic")
    desk.window.copy_url()
    assert QGuiApplication.clipboard().text() == "http://127.0.0.1:4141"
    assert preferences.load(desk.window._folder).dialect == "anthropic"


def test_the_palette_finds_pages_commands_and_requests(server: Server, desk: Desk, wait: Wait) -> None:
    server.push(row=exchange(1))
    wait(lambda: desk.session.state.recent)
    desk.window.open_palette()
    sheet = desk.window.sheet()
    assert isinstance(sheet, Palette)
    words = [item.words for item in sheet.found() if isinstance(item, Command)]
    assert {"Copy base URL", "Send test request", "Add provider", "Home", "Activity"} <= set(words)
    QTest.keyClicks(sheet.first(), "provid page")
    assert [item.words for item in sheet.found() if isinstance(item, Command)] == ["Providers"]
    QTest.keyClick(sheet.first(), Qt.Key.Key_Return)
    assert desk.window.page().NAME == "providers"
    assert desk.window.sheet() is None


def test_the_palette_says_when_nothing_is_found(desk: Desk) -> None:
    desk.show()
    desk.window.open_palette()
    sheet = desk.window.sheet()
    assert isinstance(sheet, Palette)
    assert not sheet._nothing.isVisible()
    sheet._line.setText("no such thing")
    assert sheet._nothing.isVisible()
    assert not sheet._list.isVisible()


def test_the_palette_offers_only_what_makes_sense_now(desk: Desk, wait: Wait) -> None:
    desk.hear(op="engine", state="stopped", log=[], at_us=1)
    wait(lambda: not desk.session.state.works)
    desk.window.open_palette()
    sheet = desk.window.sheet()
    assert isinstance(sheet, Palette)
    words = [item.words for item in sheet.found() if isinstance(item, Command)]
    assert "Send test request" not in words
    assert "Show log" in words
    QTest.keyClicks(sheet.first(), "zzz")
    assert sheet.found() == []
    QTest.keyClick(sheet.first(), Qt.Key.Key_Down)
    QTest.keyClick(sheet.first(), Qt.Key.Key_Return)
    assert desk.window.sheet() is sheet


def test_arrows_in_the_palette_pass_over_captions() -> None:
    run = lambda: None  # noqa: E731
    commands = [Command("A", "x", "one", "", "", run), Command("B", "x", "two", "", "", run)]
    assert matching(commands, "") == ["A", commands[0], "B", commands[1]]
    assert matching(commands, "TWO") == ["B", commands[1]]


def test_a_stopped_engine_is_started_again_from_the_banner(desk: Desk, wait: Wait) -> None:
    desk.hear(op="engine", state="stopped", restarts=5, exit=1, log=["boom"], at_us=1)
    wait(lambda: desk.window.banner.banner() is not None)
    start = next(button for button in desk.window.banner.findChildren(QPushButton) if button.text() == "Start again")
    QTest.mouseClick(start, Qt.MouseButton.LeftButton)
    assert ("start_engine", {}) in desk.keeper.told


def test_a_warning_is_in_sight_however_far_a_page_is_scrolled(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {f"c{number}": client(f"c{number}") for number in range(40)}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and len(desk.session.state.snapshot.clients) == 40)
    window = desk.window
    window.resize(960, 640)
    for name in PAGES:
        window.open_page(name)
        for area in window.page().findChildren(QScrollArea):
            area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())
        desk.session.notify(Notice(tone="wa", fact=f"Look at {name}."))
        window.refresh()
        shown = window.banner.banner()
        assert shown is not None
        assert shown.fact == f"Look at {name}."
        QApplication.processEvents()
        assert window.rect().contains(window.banner.geometry())
        assert window.banner.visibleRegion().boundingRect() == window.banner.rect()
    closing = next(button for button in window.banner.findChildren(QPushButton) if button.accessibleName() == "Close")
    QTest.mouseClick(closing, Qt.MouseButton.LeftButton)
    shown = window.banner.banner()
    assert shown is not None
    assert shown.fact == "Look at network."
    assert shown.more == 5


def test_what_went_well_moves_nothing(desk: Desk, wait: Wait, application: QApplication) -> None:
    for name in PAGES:
        desk.window.open_page(name)
        for size in (QSize(1240, 820), QSize(960, 640)):
            desk.window.resize(size)
            application.processEvents()
            before = desk.window.page().mapTo(desk.window, desk.window.page().rect().topLeft()), desk.window.page().size()
            desk.session.notify(Notice(tone="in", fact="New destination: https://api.example:443.", consequence="Declared for work."))
            application.processEvents()
            assert desk.window.toast.isVisible()
            assert desk.window._stack.geometry().contains(desk.window.toast.geometry())
            assert (desk.window.page().mapTo(desk.window, desk.window.page().rect().topLeft()), desk.window.page().size()) == before
            desk.session.close_news()
            assert not desk.window.toast.isVisible()
    del wait


def test_the_log_shows_why_it_stopped_even_if_the_engine_wrote_nothing(desk: Desk, wait: Wait) -> None:
    ended = [f"2026-11-30T15:00:0{n}.000Z the engine (process {n}) ended: killed by SIGKILL" for n in range(6)]
    desk.keeper.logs = {"keeper.log": ended, "engine.log": []}
    desk.hear(op="engine", state="stopped", restarts=6, exit="killed by SIGKILL", log=[], at_us=1)
    wait(lambda: desk.window.banner.banner() is not None)
    show = next(button for button in desk.window.banner.findChildren(QPushButton) if button.text() == "Show log")
    QTest.mouseClick(show, Qt.MouseButton.LeftButton)
    wait(lambda: desk.window.sheet() is not None)
    sheet = desk.window.sheet()
    assert sheet is not None
    text = sheet.findChild(QPlainTextEdit)
    assert isinstance(text, QPlainTextEdit)
    assert text.toPlainText().splitlines() == ["keeper.log", *(f"  {line}" for line in ended), "", "engine.log", "  (empty)"]
    sheet.dismiss()
    desk.keeper.logs = {"keeper.log": [], "engine.log": []}
    desk.window.show_log()
    wait(lambda: desk.window.sheet() is not None)
    assert desk.window.sheet().findChild(QPlainTextEdit).toPlainText() == "The log is empty."  # type: ignore[union-attr]


def test_a_crash_that_healed_leaves_a_trace_that_can_be_closed(desk: Desk, wait: Wait) -> None:
    now_us = time.time_ns() // 1000
    desk.hear(op="engine", state="up", restarts=2, next_s=None, exit=None, log=[], at_us=now_us, crashes_us=[now_us - 9, now_us - 5])
    wait(lambda: desk.window.banner.banner() is not None)
    shown = desk.window.banner.banner()
    assert shown is not None
    assert "2 times" in shown.fact
    closing = next(button for button in desk.window.banner.findChildren(QPushButton) if button.accessibleName() == "Close")
    QTest.mouseClick(closing, Qt.MouseButton.LeftButton)
    assert desk.window.banner.banner() is None


def test_another_port_than_clients_have_is_amber_and_the_new_url_can_be_copied(server: Server, desk: Desk, wait: Wait) -> None:
    note = "Port 4141 is held by python3 (process 1); Gatehouse uses 4142 instead."
    assert pill(desk.session.state, 0.0).tone == "ok"
    desk.session.state = replace(desk.session.state, boot=replace(desk.session.state.boot, port_note=note))
    desk.window.refresh()
    found = pill(desk.session.state, 0.0)
    assert (found.tone, found.shape, found.detail) == ("wa", "attention", note)
    copy = next(button for button in desk.window.banner.findChildren(QPushButton) if button.text() == "Copy new URL")
    QTest.mouseClick(copy, Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text() == "http://127.0.0.1:4141/v1"
    desk.session.notify(Notice(tone="in", fact="New destination."))
    desk.window.refresh()
    shown = desk.window.banner.banner()
    assert shown is not None
    assert "listens on port" in shown.fact
    del server, wait


def test_closing_without_a_tray_quits(desk: Desk) -> None:
    reasons: list[str] = []
    desk.window.quit_wanted.connect(reasons.append)
    desk.window.close()
    assert reasons == ["the window was closed"]


def test_closing_with_a_tray_asks_once(desk: Desk) -> None:
    window = desk.window
    window.has_tray = lambda: True
    reasons: list[str] = []
    window.quit_wanted.connect(reasons.append)
    window.close()
    sheet = window.sheet()
    assert isinstance(sheet, ClosingSheet)
    assert window.isVisible()
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert window.isVisible()
    window.close()
    sheet = window.sheet()
    assert isinstance(sheet, ClosingSheet)
    sheet._on_keep()
    assert not window.isVisible()
    assert reasons == []
    window.show()
    window.close()
    assert not window.isVisible()
    assert window.sheet() is None
    # The tray went: hiding would leave no way back in sight.
    window.show()
    window.has_tray = lambda: False
    window.close()
    assert reasons == ["the window was closed"]


def test_choosing_to_quit_is_remembered(desk: Desk) -> None:
    window = desk.window
    window.has_tray = lambda: True
    reasons: list[str] = []
    window.quit_wanted.connect(reasons.append)
    window._on_close_chosen(keep=False)
    assert reasons == ["the window was closed"]
    assert preferences.load(window._folder).on_close == "quit"


def test_what_is_remembered_survives_and_nonsense_does_not(tmp_path: Path) -> None:
    kept = Preferences(width=1500, height=900, scale=1.2, dialect="anthropic", on_close="tray", maximised=True)
    preferences.save(tmp_path, kept)
    assert preferences.load(tmp_path) == kept
    path = tmp_path / "window.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for nonsense in (b"", b"[]", b"{", b"\xff\xfe", b"null", b'"x"', b"[" * 100_000):
        path.write_bytes(nonsense)
        assert preferences.load(tmp_path) == Preferences()
    path.write_text(json.dumps({"width": -5, "height": 10**9, "scale": 7, "dialect": [], "on_close": "explode", "maximised": "yes"}))
    assert preferences.load(tmp_path) == Preferences()


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    preferences.save(tmp_path / "missing", Preferences())
    assert preferences.load(tmp_path / "missing") == Preferences()
