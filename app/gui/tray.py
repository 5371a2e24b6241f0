"""The icon in the system's tray, where there is one. It is never the only way in: starting Gatehouse again opens the window.

A desktop that is still logging in may offer its tray late, so it is looked for during the first minute. GNOME sends no left click,
so Open is the first entry of the menu.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final, Literal

from PySide6.QtCore import QObject, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction, QGuiApplication, QIcon
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from app.gui import format as fmt
from app.gui import theme
from app.gui.header import menu_text
from app.gui.session import Session
from app.gui.state import State, known, left_hosts, pill
from app.gui.words import plural, tr

Shape = Literal["running", "paused", "attention", "error"]
LOOK_EVERY_MS: Final = 2000
LOOK_FOR_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class View:
    """What icon and menu say. last_host: the host contacted last, or ""."""

    shape: Shape
    status: str
    today: str
    last_host: str
    locked: bool


def present(state: State, now_s: float) -> View:
    seen = pill(state, now_s)
    snapshot = state.snapshot
    today, last = tr("Today: not known yet"), ""
    if snapshot is not None and known(snapshot):
        figures = snapshot.today
        requests = plural(figures.requests, "{n} request", "{n} requests")
        spent = fmt.ABSENT if figures.unpriced and not figures.cost_microusd else fmt.money(figures.cost_microusd)
        today = tr("Today: {requests}, {cost}", requests=requests, cost=spent)
        hosts = sorted(left_hosts(snapshot) or (), key=lambda host: host.last_us)
        if hosts:
            last = tr("Last host: {host}, {time}", host=hosts[-1].host, time=fmt.clock(hosts[-1].last_us)[:5])
    status = (
        tr("{word} on {address}", word=seen.word, address=state.address) if seen.shape == "running" else f"{seen.word}, {state.address}"
    )
    locked = snapshot is not None and snapshot.vault.state not in ("ready", "starting", "empty")
    return View(seen.shape, status, today, last, locked)


class Tray(QObject):
    """`opened`, `copied`, `unlocked`, `quit_wanted`: what was chosen from the menu."""

    opened = Signal()
    copied = Signal()
    unlocked = Signal()
    quit_wanted = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._icon: QSystemTrayIcon | None = None
        self._view: View | None = None
        self._icons: dict[str, QIcon] = {}
        self._menu: QMenu | None = None
        self._looked_ms = 0
        self._look = QTimer(self)
        self._look.setInterval(LOOK_EVERY_MS)
        self._look.timeout.connect(self._look_again)

    def start(self) -> None:
        if not self._try():
            self._look.start()

    def is_there(self) -> bool:
        """An icon of ours can be seen now; the tray may also have gone since."""
        return self._icon is not None and self._icon.isVisible() and QSystemTrayIcon.isSystemTrayAvailable()

    def hide(self) -> None:
        self._look.stop()
        if self._icon is not None:
            self._icon.hide()

    @Slot()
    def refresh(self) -> None:
        if self._icon is None:
            return
        view = present(self._session.state, time.monotonic())
        if view == self._view:
            return
        self._view = view
        self._icon.setIcon(self._drawn(view.shape))
        self._icon.setToolTip(f"Gatehouse: {view.status}")
        self._status.setText(menu_text(view.status))
        self._today.setText(menu_text(view.today))
        self._last.setText(menu_text(view.last_host))
        self._last.setVisible(bool(view.last_host))
        self._unlock.setVisible(view.locked)

    @Slot()
    def _look_again(self) -> None:
        self._looked_ms += LOOK_EVERY_MS
        if self._try() or self._looked_ms >= LOOK_FOR_MS:
            self._look.stop()

    def _try(self) -> bool:
        if not QSystemTrayIcon.isSystemTrayAvailable():
            return False
        self._menu = self._build_menu()
        self._icon = QSystemTrayIcon(self)
        self._icon.setContextMenu(self._menu)
        self._icon.activated.connect(self._on_activated)
        self._session.changed.connect(self.refresh)
        theme.current().changed.connect(self._on_theme)
        beat = QTimer(self)
        beat.setInterval(2000)
        beat.timeout.connect(self.refresh)  # a proof grows old without anything being said
        beat.start()
        self.refresh()
        self._icon.show()
        return True

    def _build_menu(self) -> QMenu:
        menu = QMenu()
        menu.addAction(tr("Open Gatehouse")).triggered.connect(self.opened)
        menu.addAction(tr("Copy base URL")).triggered.connect(self.copied)
        self._unlock = menu.addAction(tr("Unlock keys…"))
        self._unlock.triggered.connect(self.unlocked)
        menu.addSeparator()
        self._status = self._fact(menu)
        self._today = self._fact(menu)
        self._last = self._fact(menu)
        menu.addSeparator()
        menu.addAction(tr("Quit")).triggered.connect(self._on_quit)
        return menu

    def _fact(self, menu: QMenu) -> QAction:
        action = menu.addAction("")
        action.setEnabled(False)
        return action

    def _drawn(self, shape: Shape) -> QIcon:
        """Black on a mask for macOS, which colours it; elsewhere for the panel's likely ground."""
        mac = QGuiApplication.platformName() == "cocoa"
        ground = "mask" if mac else "for-dark" if _panel_is_dark() else "for-light"
        name = f"tray-{shape}-{ground}.svg"
        icon = self._icons.get(name)
        if icon is None:
            icon = QIcon()
            for edge in (16, 22, 24, 32, 44, 48):
                icon.addFile(str(theme.resources_dir() / "icons" / name), QSize(edge, edge))
            icon.setIsMask(mac)
            self._icons[name] = icon
        return icon

    @Slot()
    def _on_theme(self) -> None:
        self._view = None
        self.refresh()

    @Slot(QSystemTrayIcon.ActivationReason)
    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        # macOS opens the menu on a click; opening the window as well would be one thing too many.
        if reason == QSystemTrayIcon.ActivationReason.Trigger and QGuiApplication.platformName() != "cocoa":
            self.opened.emit()

    @Slot()
    def _on_quit(self) -> None:
        self.quit_wanted.emit("the person chose Quit in the tray")


def _panel_is_dark() -> bool:
    """GNOME's panel is dark whatever the theme; elsewhere the panel follows it."""
    if "GNOME" in os.environ.get("XDG_CURRENT_DESKTOP", "").upper().split(":"):
        return True
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
