"""The window's process: a child of the keeper, which gave it a channel. Nothing is imported here that the first picture does not need."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication, QObject, QSocketNotifier, QTimer, Slot
from PySide6.QtWidgets import QApplication

from app.gui import theme
from app.gui.leaks import Leaks
from app.gui.session import Session
from app.gui.state import Boot
from app.gui.sweeper import Sweeper
from app.gui.tasks import Post
from app.gui.tray import Tray
from app.gui.window import Window
from app.system.channel import Caller, inherited

# The keeper drains for up to 5 s and then ends us; past this something is wrong and we end ourselves.
_LEAVE_MS: Final = 8000
_log: Final = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Shows the window until the keeper says quit or goes away. Returns the exit code: 0, or 2 when not started by the keeper."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        channel = inherited(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201  there is no window to say it in
        return 2
    first = channel.receive()
    if first is None:
        return 0
    boot = Boot.of(first[0])
    application = make_application()
    desk = Desk(application, boot)
    leaks = Leaks(desk.session.hear)
    caller = Caller(channel, leaks.hear, desk.session.hear_end, "keeper")
    leaks.attach(caller)
    desk.session.attach(caller)
    caller.start()
    desk.show()
    code = application.exec()
    Post.office().close()
    desk.end()
    return code


def make_application() -> QApplication:
    """The application object, in the product's look."""
    QCoreApplication.setApplicationName("Gatehouse")
    QCoreApplication.setOrganizationName("Gatehouse")
    application = QApplication(["gatehouse"])
    application.setApplicationDisplayName("Gatehouse")
    application.setDesktopFileName("gatehouse")
    application.setQuitOnLastWindowClosed(False)
    theme.current().install(application)
    return application


class Desk(QObject):
    """Window, tray and session of one run, and how they end together."""

    def __init__(self, application: QApplication, boot: Boot) -> None:
        super().__init__(application)
        self._sweeper = Sweeper(self)
        self._application = application
        self.session = Session(boot, self)
        self.window = Window(self.session)
        self.tray = Tray(self.session, self)
        self._signal_reader: socket.socket | None = None
        self.window.has_tray = self.tray.is_there
        self.window.quit_wanted.connect(self.quit)
        self.tray.quit_wanted.connect(self.quit)
        self.tray.opened.connect(self.come_up)
        self.tray.copied.connect(self.window.copy_url)
        self.tray.unlocked.connect(self._on_unlock)
        self.session.shown.connect(self.come_up)
        self.session.ended.connect(self._on_ended)
        application.commitDataRequest.connect(self._on_session_end)
        self._leave = QTimer(self)
        self._leave.setSingleShot(True)
        self._leave.setInterval(_LEAVE_MS)
        self._leave.timeout.connect(self._on_ended)
        self._watch_signals()

    def show(self) -> None:
        if self.window.preferences.maximised:
            self.window.showMaximized()
        else:
            self.window.show()
        QTimer.singleShot(0, self._after_first_paint)

    def end(self) -> None:
        self.window.clipboard.forget()
        self.tray.hide()
        self.session.stop()
        # Widgets go before the application object, not whenever the interpreter collects them.
        self.window.deleteLater()
        QCoreApplication.sendPostedEvents()

    @Slot()
    def come_up(self) -> None:
        """Brings the window to the front, wherever it was."""
        if self.session.state.leaving:
            return
        if self.window.isMinimized():
            self.window.showNormal()
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()
        self.window.refresh()

    @Slot(str)
    def quit(self, reason: str) -> None:
        """Everything ends: the window goes at once, the keeper drains the engine and then ends us."""
        self.session.quit(reason)
        self.window.clipboard.forget()
        self.window.hide()
        self.tray.hide()
        self._leave.start()

    @Slot()
    def _after_first_paint(self) -> None:
        from app.gui import icons  # noqa: PLC0415  SVG is loaded once the window is on screen

        self._application.setWindowIcon(icons.application_icon())
        self.window.after_first_paint()
        self.session.start()
        if self.session.state.boot.tray:
            self.tray.start()

    @Slot()
    def _on_ended(self) -> None:
        self._application.exit(0)

    @Slot()
    def _on_unlock(self) -> None:
        self.come_up()
        self.window.unlock()

    @Slot()
    def _on_session_end(self) -> None:
        """The person logs out: nothing is asked."""
        self.quit("the session ends")

    def _watch_signals(self) -> None:
        """SIGTERM and Ctrl C end everything at once. Python runs a handler only between its own steps, and Qt sits in none: a byte
        on a socket wakes it."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _do_nothing)
        self._signal_reader, self._signal_writer = reader, writer
        self._notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_signal)

    @Slot()
    def _on_signal(self) -> None:
        if self._signal_reader is not None:
            try:
                self._signal_reader.recv(64)
            except BlockingIOError:
                return
        self.quit("a signal asked for it")


def _do_nothing(_number: int, _frame: object) -> None:
    """The wake-up byte carries the message."""
