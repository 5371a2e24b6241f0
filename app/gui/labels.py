"""Text on the window: always plain, in the type roles and inks of the theme."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent, QTextCharFormat, QTextLayout, QTextOption
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.gui import theme
from app.gui.theme import Type


def set_look(widget: QWidget, name: str, value: object) -> None:
    """Changes a dynamic property that the style sheet selects by, and has the widget drawn anew."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()


class Label(QLabel):
    """Plain text in one of the type roles and one of the text inks."""

    def __init__(self, text: str = "", kind: Type = "body", ink: str = "tx", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("type", kind)
        self.setProperty("ink", ink)

    def set_ink(self, ink: str) -> None:
        set_look(self, "ink", ink)

    def wrapped(self) -> Label:
        self.setWordWrap(True)
        policy = self.sizePolicy()
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        return self

    def selectable(self) -> Label:
        # Not by keyboard: each would be one more stop of Tab, and what is worth copying has a button.
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setCursor(Qt.CursorShape.IBeamCursor)
        return self


class Elided(Label):
    """A label that shortens its text with … where there is no room, and then shows the whole of it as a tooltip."""

    def __init__(
        self,
        text: str = "",
        kind: Type = "body",
        ink: str = "tx",
        parent: QWidget | None = None,
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__(text, kind, ink, parent)
        self._mode = mode

    def minimumSizeHint(self) -> QSize:
        return QSize(24, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        metrics = self.fontMetrics()
        if metrics.horizontalAdvance(self.text()) <= self.contentsRect().width():
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = metrics.elidedText(self.text(), self._mode, self.contentsRect().width())
        painter.drawText(self.contentsRect(), int(self.alignment() | Qt.AlignmentFlag.AlignVCenter), text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._tip()

    def setText(self, text: str) -> None:
        super().setText(text)
        self._tip()

    def _tip(self) -> None:
        wide = self.fontMetrics().horizontalAdvance(self.text()) > self.contentsRect().width()
        self.setToolTip(plain_tip(self.text()) if wide else "")


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text in one ink; strong: in the heavier weight."""

    text: str
    ink: str = "tx"
    strong: bool = False
    mono: bool = False


class Line(QWidget):
    """A paragraph of runs in different inks and weights, wrapped at the width it gets. Painted as text, never parsed as markup."""

    def __init__(self, runs: Sequence[Run] = (), kind: Type = "body", parent: QWidget | None = None, *, centred: bool = False) -> None:
        super().__init__(parent)
        self._kind: Type = kind
        self._centred = centred
        self._runs: tuple[Run, ...] = ()
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.set_runs(runs)

    def set_runs(self, runs: Sequence[Run]) -> None:
        runs = tuple(runs)
        if runs != self._runs:
            self._runs = runs
            self.setAccessibleName(self.text())
            self.updateGeometry()
            self.update()

    def text(self) -> str:
        return "".join(run.text for run in self._runs)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._lay_out(width)[1]

    def sizeHint(self) -> QSize:
        layout, height = self._lay_out(100_000)
        width = max((layout.lineAt(number).naturalTextWidth() for number in range(layout.lineCount())), default=0)
        return QSize(int(width) + 2, height)

    def minimumSizeHint(self) -> QSize:
        return QSize(min(self.sizeHint().width(), 80), self._line_height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        layout, height = self._lay_out(self.width())
        painter.setPen(theme.current().colour("tx"))
        layout.draw(painter, QRectF(0, max(0, (self.height() - height) / 2), self.width(), height).topLeft())

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.updateGeometry()
            self.update()
        super().changeEvent(event)

    def _line_height(self) -> int:
        return theme.current().px(16 if self._kind in ("small", "caption", "smallstrong", "monosmall") else 20)

    def _lay_out(self, width: int) -> tuple[QTextLayout, int]:
        look = theme.current()
        layout = QTextLayout(self.text().replace("\n", "\u2028"), look.font(self._kind))
        option = QTextOption(Qt.AlignmentFlag.AlignHCenter if self._centred else Qt.AlignmentFlag.AlignLeft)
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option.setTextDirection(self.layoutDirection())
        layout.setTextOption(option)
        formats, start = [], 0
        for run in self._runs:
            form = QTextCharFormat()
            form.setForeground(look.colour(run.ink))
            if run.mono:
                form.setFont(look.font("mono"))
            elif run.strong:
                form.setFont(look.font("strong" if self._kind == "body" else "smallstrong"))
            span = QTextLayout.FormatRange()
            span.start, span.length, span.format = start, len(run.text.encode("utf-16-le")) // 2, form
            formats.append(span)
            start += span.length
        layout.setFormats(formats)
        layout.beginLayout()
        step, height = self._line_height(), 0
        while (line := layout.createLine()).isValid():
            line.setLineWidth(max(1, width))
            line.setPosition(QRectF(0, height + (step - line.height()) / 2, 0, 0).topLeft())
            height += step
        layout.endLayout()
        return layout, max(step, height)


def plain_tip(text: str) -> str:
    """`text` as a tooltip that shows exactly it: Qt reads a tooltip as markup when it looks like markup."""
    return f"<p style='white-space:pre-wrap'>{html.escape(text)}</p>" if text else ""
