"""The header on every page: the proven state, the base URL to copy, and how many hosts were contacted today."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QFocusEvent, QFont, QFontMetrics, QGuiApplication, QKeySequence, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QFrame, QHBoxLayout, QMenu, QSizePolicy, QWidget

from app.gui import format as fmt
from app.gui import icons, theme
from app.gui.focus import ring_on_focus
from app.gui.labels import Label, Run
from app.gui.state import Dialect, Pill, State, base_url, left_hosts, pill
from app.gui.widgets import Button
from app.gui.words import plural, tr

DIALECTS: Final[dict[Dialect, str]] = {"openai": "OpenAI", "anthropic": "Anthropic"}


@dataclass(frozen=True, slots=True)
class HeaderView:
    """hosts: None while it is not known how many there were."""

    pill: Pill
    address: str
    url: str
    hosts: int | None


def present(state: State, now_s: float, dialect: Dialect) -> HeaderView:
    hosts = left_hosts(state.snapshot)
    return HeaderView(pill(state, now_s), state.address, base_url(state, dialect), None if hosts is None else len(hosts))


def hosts_words(hosts: int | None) -> str:
    return fmt.ABSENT if hosts is None else fmt.hosts(hosts)


class HeadButton(QAbstractButton):
    """A framed field of the header that opens something: an icon and runs of text in different inks."""

    def __init__(self, *, caret: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caret = caret
        self._glyph, self._ink = "", "tx2"
        self._runs: tuple[Run, ...] = ()
        self._keys = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def show_keys(self, keys: str) -> None:
        """A shortcut in a frame of its own, after the icon."""
        self._keys = keys
        self.updateGeometry()

    def show_runs(self, glyph: str, ink: str, runs: tuple[Run, ...]) -> None:
        if (glyph, ink, runs) != (self._glyph, self._ink, self._runs):
            self._glyph, self._ink, self._runs = glyph, ink, runs
            self.setAccessibleName("".join(run.text for run in runs))
            self.updateGeometry()
            self.update()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        ring_on_focus(self, event)

    def sizeHint(self) -> QSize:
        look = theme.current()
        width = sum(QFontMetrics(_run_font(run)).horizontalAdvance(run.text) for run in self._runs)
        if self._keys:
            width = QFontMetrics(look.font("caption")).horizontalAdvance(self._keys) + 8
        return QSize(11 + 16 + 6 + width + (20 if self._caret else 0) + 10, look.px(30))

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(look.colour("line2"))
        painter.setBrush(look.colour("select" if self.isDown() else "hover" if self.underMouse() else "surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        edge = 14 if self._keys else 16
        icons.paint(painter, QRectF(11, 0, edge, self.height()), self._glyph, look.colour(self._ink), edge)
        x = 33.0
        for run in self._runs:
            font = _run_font(run)
            painter.setFont(font)
            painter.setPen(look.colour(run.ink))
            width = QFontMetrics(font).horizontalAdvance(run.text)
            painter.drawText(QRectF(x, 0, width + 2, self.height()), int(Qt.AlignmentFlag.AlignVCenter), run.text)
            x += width
        if self._keys:
            box = QRectF(31.5, self.height() / 2 - 9, self.width() - 38, 18)
            painter.setPen(look.colour("line"))
            painter.setBrush(look.colour("sunken"))
            painter.drawRoundedRect(box, 4, 4)
            painter.setFont(look.font("caption"))
            painter.setPen(look.colour("tx3"))
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), self._keys)
        if self._caret:
            icons.paint(painter, QRectF(self.width() - 22, 0, 12, self.height()), "caret-down", look.colour("tx"), 12)


class Header(QFrame):
    """`copied`: the base URL was asked for. `chose_dialect`, `wants_log`, `wants_quit`, `wants_palette`: what was picked."""

    copied = Signal()
    chose_dialect = Signal(str)
    wants_log = Signal()
    wants_quit = Signal()
    wants_palette = Signal()

    def __init__(self, dialect: Dialect, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "header")
        self._state: State | None = None
        self._view: HeaderView | None = None
        self.dialect: Dialect = dialect
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 0, 24, 1)
        row.setSpacing(8)
        self.setFixedHeight(theme.current().px(52))

        self.state_button = HeadButton(caret=True, parent=self)
        self.state_button.clicked.connect(self._open_state_menu)
        row.addWidget(self.state_button)

        self._url_group = QFrame(self)
        self._url_group.setProperty("role", "group")
        group = QHBoxLayout(self._url_group)
        group.setContentsMargins(1, 0, 1, 0)
        group.setSpacing(0)
        self._dialect = Button(DIALECTS[dialect], "segment", glyph="caret-down", trailing=True, parent=self._url_group)
        self._dialect.setAccessibleName(tr("Which kind of client the base URL is for"))
        self._dialect.setProperty("quiet", "true")
        self._dialect.clicked.connect(self._open_dialect_menu)
        self._url = Label("", "mono", "tx", self._url_group).selectable()
        self._url.setContentsMargins(10, 0, 10, 0)
        self._copy = Button(tr("Copy"), "segment", glyph="copy", parent=self._url_group)
        self._copy.setToolTip(tr("Copy the base URL ({keys})", keys=key_words("Ctrl+Shift+C")))
        self._copy.clicked.connect(self.copied)
        for part in (self._dialect, _upright(self._url_group), self._url, _upright(self._url_group), self._copy):
            group.addWidget(part)
        self._url_group.setFixedHeight(theme.current().px(30))
        row.addWidget(self._url_group)
        self._copy_short = Button(tr("Copy base URL"), "head", glyph="copy", parent=self)
        self._copy_short.clicked.connect(self.copied)
        row.addWidget(self._copy_short)
        row.addStretch(1)

        self.hosts_button = HeadButton(caret=False, parent=self)
        self.hosts_button.clicked.connect(self._open_hosts_menu)
        row.addWidget(self.hosts_button)
        self._find = HeadButton(caret=False, parent=self)
        self._find.show_runs("magnifying-glass", "tx3", ())
        self._find.show_keys(key_words("Ctrl+K"))
        self._find.setAccessibleName(tr("Find a page or command"))
        self._find.setToolTip(tr("Find a page or command"))
        self._find.clicked.connect(self.wants_palette)
        row.addWidget(self._find)
        self._row = row
        self.set_narrow(False)

    def set_narrow(self, narrow: bool) -> None:
        self._url_group.setHidden(narrow)
        self._copy_short.setVisible(narrow)
        edge = 16 if narrow else 24
        self._row.setContentsMargins(edge, 0, edge, 1)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Where words are too wide for the window, the ones that the tooltip repeats go first."""
        for short_hosts, short_state in ((False, False), (True, False), (True, True)):
            self._write(short_hosts=short_hosts, short_state=short_state)
            if self._row.totalMinimumSize().width() <= self.width():
                return

    def _write(self, *, short_hosts: bool, short_state: bool) -> None:
        view = self._view
        if view is None:
            return
        ink = {"ok": "oki", "wa": "wai", "er": "eri", "ne": "tx2", "in": "acctx"}[view.pill.tone]
        word, address = Run(view.pill.word, "tx", strong=True), Run(f" · {view.address}", "tx2", mono=True)
        self.state_button.show_runs(view.pill.glyph, ink, (word,) if short_state else (word, address))
        left, hosts = Run(tr("Left this machine today: "), "tx2"), Run(hosts_words(view.hosts), "tx", strong=True)
        self.hosts_button.show_runs("arrow-line-right", "tx2", (hosts,) if short_hosts else (left, hosts))
        self._row.invalidate()

    def retheme(self) -> None:
        """The text size is another: heights that grow with it."""
        look = theme.current()
        self.setFixedHeight(look.px(52))
        self._url_group.setFixedHeight(look.px(30))
        self.state_button.updateGeometry()
        self.hosts_button.updateGeometry()

    def show_state(self, state: State, now_s: float) -> None:
        self._state = state
        view = present(state, now_s, self.dialect)
        if view == self._view:
            return
        self._view = view
        self.state_button.setToolTip(view.pill.detail)
        self._url.setText(view.url)
        said = tr("Left this machine today: {hosts}", hosts=hosts_words(view.hosts))
        self.hosts_button.setToolTip(
            tr("What left this machine today is not known: the records are not open.") if view.hosts is None else said
        )
        self._fit()

    @Slot()
    def _open_state_menu(self) -> None:
        state = self._state
        if state is None or self._view is None:
            return
        menu = styled_menu(self)
        _fact(menu, self._view.pill.detail)
        if state.proof is not None and state.proof.ok and self._view.pill.tone == "ok":
            _fact(menu, tr("Last proof at {time}", time=fmt.clock(state.proof.at_us)))
        snapshot = state.snapshot
        for address in snapshot.addresses if snapshot is not None else state.boot.addresses:
            _fact(menu, tr("Listens on {address}", address=address))
        _fact(menu, tr("Data in {folder}", folder=state.boot.data_dir))
        menu.addSeparator()
        menu.addAction(_act(menu, "file-text", tr("Show log"), self.wants_log.emit))
        menu.addAction(_act(menu, "power", tr("Quit Gatehouse"), self.wants_quit.emit))
        menu.popup(self.state_button.mapToGlobal(self.state_button.rect().bottomLeft()))

    @Slot()
    def _open_dialect_menu(self) -> None:
        menu = styled_menu(self)
        for dialect, name in DIALECTS.items():
            action = _act(menu, "check" if dialect == self.dialect else "", name, partial(self.choose_dialect, dialect))
            menu.addAction(action)
        menu.popup(self._url_group.mapToGlobal(self._url_group.rect().bottomLeft()))

    @Slot()
    def _open_hosts_menu(self) -> None:
        menu = styled_menu(self)
        hosts = left_hosts(self._state.snapshot if self._state is not None else None)
        if hosts is None:
            _fact(menu, tr("Not known: the records are not open."))
        elif not hosts:
            _fact(menu, tr("No connection left this machine today."))
        hosts = hosts or ()
        for host in hosts[:12]:
            connections = plural(host.connections, "{n} connection", "{n} connections")
            _fact(menu, tr("{host}   {connections}, {size} out", host=host.host, connections=connections, size=fmt.size(host.bytes_out)))
        if len(hosts) > 12:
            _fact(menu, tr("and {n} more", n=len(hosts) - 12))
        corner = self.hosts_button.mapToGlobal(self.hosts_button.rect().bottomRight())
        corner.setX(corner.x() - menu.sizeHint().width())
        menu.popup(corner)

    def choose_dialect(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._dialect.setText(DIALECTS[dialect])
        self._view = None
        self.chose_dialect.emit(dialect)


def styled_menu(parent: QWidget) -> QMenu:
    """A menu in the product's look. Round corners need a compositor, which X11 may not have."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    if QGuiApplication.platformName() in ("windows", "cocoa", "wayland"):
        menu.setProperty("rounded", "true")
        menu.setWindowFlags(menu.windowFlags() | Qt.WindowType.FramelessWindowHint | Qt.WindowType.NoDropShadowWindowHint)
        menu.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
    return menu


def _fact(menu: QMenu, text: str) -> None:
    action = menu.addAction(menu_text(text))
    action.setEnabled(False)


def _act(menu: QMenu, glyph: str, text: str, call: object) -> QAction:
    action = QAction(menu_text(text), menu)
    if glyph:
        action.setIcon(icons.icon(glyph, 16, "tx2"))
    action.triggered.connect(call)
    return action


def key_words(keys: str) -> str:
    """A shortcut as this system writes it."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText).replace("+", " ")


def menu_text(text: str) -> str:
    """`text` as a menu shows it: & would mark a shortcut letter, a tab would split it."""
    return text.replace("&", "&&").replace("\t", " ")


def _run_font(run: Run) -> QFont:
    return theme.current().font("mono" if run.mono else "strong" if run.strong else "body")


def _upright(parent: QWidget) -> QFrame:
    line = QFrame(parent)
    line.setProperty("role", "hairline")
    line.setFixedWidth(1)
    return line
