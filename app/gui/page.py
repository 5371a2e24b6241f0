"""What every page has: a title row and a body that is drawn anew only when its view is another."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.gui.labels import Elided, Label
from app.gui.session import Session
from app.gui.state import State


class Page(QWidget):
    """Subclasses build into `body`, and draw in `refresh`, which is called whenever the state is another while the page is seen.

    `wanted` asks the window for something that is not the page's own: `add-provider`, `activity:req_...`.
    """

    NAME: ClassVar[str] = ""
    SCROLLS: ClassVar[bool] = True
    FILTERS: ClassVar[bool] = False

    wanted = Signal(str)

    def __init__(self, title: str, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.narrow = False
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(title)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)

        self.title_row = QHBoxLayout()
        self.title_row.setSpacing(8)
        self.title = Label(title, "title", "tx", self)
        self.remark = Elided("", "body", "tx3", self)
        self.remark.setContentsMargins(4, 3, 0, 0)
        self.title_row.addWidget(self.title)
        self.title_row.addWidget(self.remark, 1)
        self.title.setMinimumHeight(36)

        if not self.SCROLLS:
            self.column = whole
            return
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inner = QWidget(area)
        inner.setProperty("role", "scrolled")
        self.column = QVBoxLayout(inner)
        self.column.setSpacing(16)
        self.column.addLayout(self.title_row)
        self.body = QVBoxLayout()
        self.body.setSpacing(16)
        self.column.addLayout(self.body)
        self.column.addStretch(1)
        area.setWidget(inner)
        whole.addWidget(area)

    def refresh(self, state: State, now_us: int) -> None:
        raise NotImplementedError

    def set_narrow(self, narrow: bool) -> None:
        """Below 1100 px the margins shrink and low-value columns go."""
        self.narrow = narrow
        if self.SCROLLS:
            edge = 16 if narrow else 24
            self.column.setContentsMargins(edge, 16 if narrow else 20, edge, edge)

    def begin_filter(self) -> None:
        """Ctrl F: puts the keyboard into the page's filter, if it has one."""

    def test(self) -> None:
        """F5: tests or reads again what the page is about."""

    def export(self) -> None:
        """Ctrl E: takes what the page shows out as a file, where it can."""

    def open_at(self, about: str) -> None:
        """Shows one thing of the page's: what follows the colon of an intent."""

    def toggle_pause(self) -> None:
        """Space: pauses or resumes the page's live tail, if it has one."""

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.LayoutDirectionChange:
            self.updateGeometry()
