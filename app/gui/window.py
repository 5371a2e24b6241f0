"""The window: sidebar, header, pages, the sheets over them, and the keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import QRect, QTimer, Signal, Slot
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QCloseEvent,
    QCursor,
    QGuiApplication,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QToolTip, QVBoxLayout, QWidget

from app.gui import notices, preferences, theme
from app.gui.clipboard import Clipboard
from app.gui.forms import Forms
from app.gui.header import DIALECTS, Header
from app.gui.messages import BannerArea, Toast
from app.gui.notices import Banner
from app.gui.page import Page
from app.gui.pages import PAGES, entries, make_page
from app.gui.session import Session
from app.gui.sheet import Sheet, sheet_over
from app.gui.sidebar import Sidebar
from app.gui.state import Dialect, base_url
from app.gui.words import tr
from app.system.paths import Paths

NARROW_BELOW: Final = 1100
LEAST: Final = (960, 640)
SAID_MS: Final = 4_000


class Window(QFrame):
    """`quit_wanted`: the person wants all of it to end, and why."""

    quit_wanted = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._folder = Paths(Path(session.state.boot.data_dir)).window
        self.preferences = preferences.load(self._folder)
        theme.current().set_scale(self.preferences.scale)
        self.clipboard = Clipboard(self)
        self.forms = Forms(session, self.clipboard, self)
        self.has_tray: Callable[[], bool] = _no_tray
        self._pages: dict[str, Page] = {}
        self._page = ""
        self._note_read = False
        self._crashes_read_us = 0
        self._narrow = False
        self.setWindowTitle(tr("Gatehouse"))
        self.setProperty("role", "window")
        self.setMinimumSize(*LEAST)
        room = self.screen().availableSize()
        self.resize(min(self.preferences.width, room.width()), min(self.preferences.height, room.height()))

        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        self.sidebar = Sidebar(entries(), self)
        self.sidebar.chosen.connect(self.open_page)
        whole.addWidget(self.sidebar)
        main = QVBoxLayout()
        main.setSpacing(0)
        self.header = Header(self.preferences.dialect, self)
        self.header.copied.connect(self.copy_url)
        self.header.chose_dialect.connect(self._on_dialect)
        self.header.wants_log.connect(self.show_log)
        self.header.wants_quit.connect(partial(self.quit_wanted.emit, "the person chose Quit"))
        self.header.wants_palette.connect(self.open_palette)
        main.addWidget(self.header)
        self.banner = BannerArea(self)
        self.banner.chosen.connect(self._on_banner)
        self._slot = QVBoxLayout()  # under the header, not in the scrolled page: what is wrong is in sight on every page
        self._slot.addWidget(self.banner)
        main.addLayout(self._slot)
        self._stack = QStackedWidget(self)
        main.addWidget(self._stack, 1)
        self.toast = Toast(self._stack, self)
        self.toast.chosen.connect(session.close_news)
        whole.addLayout(main, 1)

        session.changed.connect(self.refresh)
        theme.current().changed.connect(self._on_theme)
        self._beat = QTimer(self)
        self._beat.setInterval(2000)
        self._beat.timeout.connect(self.refresh)
        self._beat.start()
        self._add_shortcuts()
        self.sidebar.select("home")

    def after_first_paint(self) -> None:
        """What can wait until the window is on screen."""
        self.sidebar.set_mark()

    # -- pages

    @Slot(str)
    def open_page(self, name: str) -> None:
        if name not in PAGES:
            return
        page = self._pages.get(name)
        if page is None:
            page = make_page(name, self._session, self._stack)
            page.wanted.connect(self.do)
            row_opened = getattr(page, "row_opened", None)
            if row_opened is not None:
                row_opened.connect(self.open_request)
            self._pages[name] = page
            self._stack.addWidget(page)
        self._page = name
        page.set_narrow(self._narrow)
        self._stack.setCurrentWidget(page)
        self.sidebar.select(name)
        self.refresh()

    def page(self) -> Page:
        return self._pages[self._page]

    @Slot(str)
    def open_request(self, identifier: str) -> None:
        self.do(f"activity:{identifier}")

    @Slot()
    def refresh(self) -> None:
        state = self._session.state
        self.header.show_state(state, time.monotonic())
        self.sidebar.show_state(state)
        now_us = time.time_ns() // 1000
        self._show_banner(notices.banner(state, note_read=self._note_read, now_us=now_us, crashes_read_us=self._crashes_read_us))
        self.toast.show_banner(notices.toast(state))
        page = self._pages.get(self._page)
        if page is not None:
            page.refresh(state, now_us)

    def _show_banner(self, banner: Banner | None) -> None:
        edge = 16 if self._narrow else 24
        self._slot.setContentsMargins(*((edge, 12, edge, 0) if banner is not None else (0, 0, 0, 0)))
        self.banner.show_banner(banner)

    # -- what is wanted

    @Slot(str)
    def do(self, intent: str) -> None:
        """Carries out an intent: `verb`, or `verb:about`."""
        verb, _, about = intent.partition(":")
        if verb in PAGES:
            self.open_page(verb)
            if about:
                self.page().open_at(about)
        elif verb == "copy":
            self.copy(about)
        else:
            intents: dict[str, Callable[[str], None]] = {
                "add-provider": self.forms.add_provider,
                "replace-key": self.forms.replace_key,
                "remove-provider": self.forms.remove_provider,
                "models": self.forms.models,
                "add-client": self.forms.add_client,
                "client-settings": self.forms.client_settings,
                "set-price": self.forms.set_price,
                "remove-client": self.forms.remove_client,
                "copy-url": lambda _about: self.copy_url(),
                "log": lambda _about: self.show_log(),
                "unlock": lambda _about: self.unlock(),
                "confirm": self.forms.confirm_waiting,
                "refuse": lambda about: self._session.answer(int(about), False),
            }
            intents[verb](about)

    def copy(self, text: str) -> None:
        self.clipboard.copy(text)
        self._say_copied(tr("Copied."))

    @Slot()
    def copy_url(self) -> None:
        url = base_url(self._session.state, self.header.dialect)
        self.clipboard.copy(url)
        self._say_copied(tr("Copied {url}.", url=url) + "\n" + _url_words(self.header.dialect))

    def _say_copied(self, words: str) -> None:
        """Where the person is looking, and gone by itself: a banner would move the page away under the pointer."""
        place = QCursor.pos()
        focused = self.focusWidget()
        if not self.frameGeometry().contains(place) and focused is not None:
            place = focused.mapToGlobal(focused.rect().bottomLeft())
        QToolTip.showText(place, words, self, QRect(), SAID_MS)
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, words))

    @Slot(str)
    def _on_banner(self, chosen: str) -> None:
        act, _, about = chosen.partition(":")
        match act:
            case "confirm":
                self.forms.confirm_waiting(about)
            case "refuse":
                self._session.answer(int(about), False)
            case "see-waiting":
                self.open_page("network")
            case "unlock":
                self.unlock()
            case "passphrase":
                self.forms.passphrase()
            case "start-engine":
                self._session.start_engine()
            case "show-log":
                self.show_log()
            case "note-read":
                self._note_read = True
                self.refresh()
            case "crashes-read":
                self._crashes_read_us = time.time_ns() // 1000
                self.refresh()
            case "copy-url":
                self.copy_url()
            case "replace-key" | "test-again":
                notice = self._session.state.wrong
                if notice is not None and act == "test-again":
                    self._session.test_provider(notice.about)
                elif notice is not None:
                    self.forms.replace_key(notice.about)
            case _:
                self._session.close_wrong()

    @Slot()
    def send_test(self) -> None:
        self.open_page("home")
        self._session.echo()

    @Slot()
    def unlock(self) -> None:
        snapshot = self._session.state.snapshot
        if snapshot is not None and snapshot.vault.mode == "passphrase":
            self.forms.passphrase()
        else:
            # The person asked, so the system may prompt now.
            self._session.unlock(None, self._on_unlocked, self._session.complain)

    def _on_unlocked(self, vault: object) -> None:
        """The next snapshot shows what came of it, also that it was in vain, and why."""

    @Slot()
    def show_log(self) -> None:
        self._session.read_log(self.forms.log)

    @Slot()
    def open_palette(self) -> None:
        from app.gui.palette import Palette  # noqa: PLC0415  read when first opened, for a quick start
        from app.gui.palette_commands import commands  # noqa: PLC0415

        if self.sheet() is None:
            palette = Palette(commands(self, self._session.state), self)
            palette.open(palette.first())

    def sheet(self) -> Sheet | None:
        """The sheet that is open over the page."""
        return sheet_over(self)

    # -- keyboard

    def _add_shortcuts(self) -> None:
        for number, name in enumerate(PAGES, 1):
            self._shortcut(f"Ctrl+{number}", partial(self.open_page, name))
        self._shortcut("Ctrl+K", self.open_palette)
        self._shortcut("Ctrl+F", self._find)
        self._shortcut("Ctrl+E", self._export)
        self._shortcut("Ctrl+Shift+C", self.copy_url)
        self._shortcut("F5", self._test)
        self._shortcut("Ctrl++", partial(self.step_scale, 1))
        self._shortcut("Ctrl+=", partial(self.step_scale, 1))
        self._shortcut("Ctrl+-", partial(self.step_scale, -1))
        self._shortcut("Ctrl+0", partial(self.step_scale, 0))
        quit_ = QShortcut(QKeySequence("Ctrl+Q"), self)
        quit_.activated.connect(partial(self.quit_wanted.emit, "the person pressed Ctrl Q"))

    def _shortcut(self, keys: str, run: Callable[[], None]) -> None:
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.activated.connect(partial(self._unless_sheet, run))

    def _unless_sheet(self, run: Callable[[], None]) -> None:
        if self.sheet() is None:
            run()

    def _find(self) -> None:
        if not self.page().FILTERS:
            self.open_page("activity")
        self.page().begin_filter()

    def _export(self) -> None:
        self.page().export()

    def _test(self) -> None:
        self.page().test()

    def step_scale(self, step: int) -> None:
        """Text one size larger (1), smaller (-1), or usual (0)."""
        scales, now = theme.SCALES, theme.current().scale
        wanted = 1.0 if not step else scales[max(0, min(len(scales) - 1, scales.index(now) + step))]
        self._remember(scale=wanted)
        theme.current().set_scale(wanted)

    # -- size, theme, closing

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._set_narrow()

    def _set_narrow(self) -> None:
        """Larger text needs more room, so it turns narrow sooner."""
        narrow = self.width() < theme.current().px(NARROW_BELOW)
        if narrow != self._narrow:
            self._narrow = narrow
            self.sidebar.set_rail(narrow)
            self.header.set_narrow(narrow)
            page = self._pages.get(self._page)
            if page is not None:
                page.set_narrow(narrow)

    @Slot()
    def _on_theme(self) -> None:
        """Pages and sheets stay as they are, with all they hold; what a style sheet cannot say follows by itself (`theme.follow`)."""
        self.header.retheme()
        self._set_narrow()
        self.sidebar.set_rail(self._narrow)
        self.sidebar.set_mark()
        self.refresh()
        for widget in self.findChildren(QWidget):
            widget.update()

    @Slot(str)
    def _on_dialect(self, dialect: Dialect) -> None:
        self._remember(dialect=dialect)
        self.refresh()

    def _remember(self, **changes: object) -> None:
        self.preferences = replace(self.preferences, **changes)  # type: ignore[arg-type]  # the fields of Preferences
        preferences.save(self._folder, self.preferences)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Closing asks once whether the gateway goes on behind the tray icon. Without a tray there is no way back in sight, so it quits."""
        application = QGuiApplication.instance()
        saving = isinstance(application, QGuiApplication) and application.isSavingSession()
        if not self.isMaximized():
            self._remember(width=self.width(), height=self.height(), maximised=False)
        else:
            self._remember(maximised=True)
        if self._session.state.leaving or saving:
            event.accept()
            return
        event.ignore()
        if not self.has_tray():
            self.quit_wanted.emit("the window was closed")
        elif self.preferences.on_close == "tray":
            self.hide()
        elif self.preferences.on_close == "quit":
            self.quit_wanted.emit("the window was closed")
        else:
            self.forms.closing(self._on_close_chosen)

    def _on_close_chosen(self, keep: bool) -> None:
        self._remember(on_close="tray" if keep else "quit")
        self.close()


def _no_tray() -> bool:
    return False


def _url_words(dialect: Dialect) -> str:
    return tr("It goes into the base URL field of {kind} clients.", kind=DIALECTS[dialect])


__all__ = ["LEAST", "NARROW_BELOW", "Window"]
