"""The banner at the top of a page, as a widget."""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.gui import theme
from app.gui.labels import Elided, Label, Line, Run, set_look
from app.gui.notices import Banner
from app.gui.widgets import Button, Glyph
from app.gui.words import tr

_TOAST_WIDTH: Final = 560
_TOAST_EDGE: Final = 24
_TOAST_LIFT: Final = 48  # over the line at the foot of some pages


class BannerArea(QWidget):
    """Shows one banner, or nothing and takes no room. `chosen` carries the act of the pressed button."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._banner: Banner | None = None
        self._frame: QFrame | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.hide()

    def banner(self) -> Banner | None:
        return self._banner

    def show_banner(self, banner: Banner | None) -> None:
        if banner == self._banner:
            return
        self._banner = banner
        if self._frame is not None:
            self._column.removeWidget(self._frame)
            self._frame.hide()
            self._frame.deleteLater()
            self._frame = None
        if banner is not None:
            self._frame = self._build(banner)
            self._column.addWidget(self._frame)
            self.setAccessibleName(f"{banner.fact} {banner.consequence} {banner.below}".strip())
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, self.accessibleName()))
        self.setVisible(banner is not None)

    def _build(self, banner: Banner) -> QFrame:
        frame = QFrame(self)
        frame.setProperty("role", "banner")
        set_look(frame, "tone", banner.tone)
        tall = bool(banner.code or banner.below)
        row = QHBoxLayout(frame)
        row.setContentsMargins(14, 12 if tall else 6, 8 if not tall else 12, 12 if tall else 6)
        row.setSpacing(10)
        top = Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter
        inks = {"ok": "oki", "wa": "wai", "er": "eri", "in": "acctx", "ne": "tx2"}
        mark = QVBoxLayout()
        mark.setContentsMargins(0, 2 if tall else 0, 0, 0)
        mark.addWidget(Glyph(banner.glyph, 16, inks[banner.tone], frame))
        row.addLayout(mark)
        row.setAlignment(mark, top)
        text = QVBoxLayout()
        text.setSpacing(6)
        joiner = " " if banner.consequence else ""
        text.addWidget(Line((Run(banner.fact + joiner, "tx", strong=True), Run(banner.consequence, "tx2")), parent=frame))
        if banner.code:
            text.addWidget(_code(banner.code, frame))
        if banner.below:
            text.addWidget(Line((Run(banner.below, "tx2"),), "small", frame))
        row.addLayout(text, 1)
        if banner.more:
            more = Label(tr("and {n} more", n=banner.more), "small", "tx2", frame)
            more.setContentsMargins(0, 5 if tall else 0, 0, 0)
            row.addWidget(more, 0, top)
        for choice in banner.choices:
            if choice.words:
                button = Button(choice.words, "primary" if choice.primary else "default", small=True, parent=frame)
            else:
                button = Button(kind="ghost", glyph="x", small=True, name=tr("Close"), parent=frame)
            button.clicked.connect(partial(self.chosen.emit, f"{choice.act}:{choice.about}" if choice.about else choice.act))
            row.addWidget(button, 0, top)
        if not tall:
            frame.setMinimumHeight(44)
        return frame


class Toast(BannerArea):
    """What went well, over the lower right corner of what it belongs to: nothing moves when it comes and when it goes."""

    def __init__(self, over: QWidget, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = over
        over.installEventFilter(self)

    def show_banner(self, banner: Banner | None) -> None:
        super().show_banner(banner)
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._over and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        if self.isHidden():
            return
        place = self._over.geometry()
        width = min(theme.current().px(_TOAST_WIDTH), place.width() - 2 * _TOAST_EDGE)
        layout = self.layout()
        assert layout is not None
        layout.activate()
        height = max(layout.heightForWidth(width), layout.minimumSize().height())
        left = (
            place.left() + _TOAST_EDGE if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else place.right() - width - _TOAST_EDGE
        )
        self.setGeometry(left, place.bottom() - height - _TOAST_LIFT, width, height)
        self.raise_()


def _code(text: str, parent: QWidget) -> QFrame:
    box = QFrame(parent)
    box.setProperty("role", "bannercode")
    layout = QHBoxLayout(box)
    layout.setContentsMargins(12, 5, 12, 5)
    line = Elided(text, "mono", "tx2", box)
    line.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    layout.addWidget(line)
    return box
