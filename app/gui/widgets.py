"""The small parts pages are made of: labels, buttons, pills, tiles, cards, empty states. No policy lives here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.gui import icons, theme
from app.gui.focus import ring_on_focus
from app.gui.labels import Elided, Label, Line, Run, plain_tip
from app.gui.theme import Tone, Type

ButtonKind = Literal["default", "primary", "soft", "ghost", "danger", "dangerous", "link", "head", "segment", "choice"]
# The button style leaves 4 px between icon and word; the look wants 6.
_ICON_GAP: Final = 3


class Glyph(QWidget):
    """One icon in one ink, centred on its own square."""

    def __init__(self, name: str, size: int = 16, ink: str = "tx2", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._size, self._ink = name, size, ink
        self.setFixedSize(size, size)

    def set_glyph(self, name: str, ink: str) -> None:
        if (name, ink) != (self._name, self._ink):
            self._name, self._ink = name, ink
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        icons.paint(painter, QRectF(self.rect()), self._name, theme.current().colour(self._ink), self._size)


class Button(QPushButton):
    """A button of one of the looks. `glyph`: an icon before the word; a button without a word needs `name` for those who hear it."""

    def __init__(
        self,
        text: str = "",
        kind: ButtonKind = "default",
        *,
        glyph: str = "",
        small: bool = False,
        name: str = "",
        trailing: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._glyph = glyph
        self._small = small
        self.setProperty("kind", kind)
        if small:
            self.setProperty("small", "true")
        self._trailing = trailing
        if glyph and not text:
            self.setProperty("iconly", "true")
        if name:
            self.setAccessibleName(name)
            self.setToolTip(name)
        if trailing:
            self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAutoDefault(False)
        self._draw_icon()

    def set_glyph(self, glyph: str) -> None:
        if glyph != self._glyph:
            self._glyph = glyph
            self._draw_icon()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        ring_on_focus(self, event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._draw_icon()

    def _draw_icon(self) -> None:
        if not self._glyph:
            return
        kind = self.property("kind")
        ink = {"primary": "onacc", "soft": "acctx", "danger": "eri", "dangerous": "surface"}.get(str(kind), "tx2")
        size = 14 if self._small or kind == "segment" else 16
        size = 12 if self._trailing else size
        gap = _ICON_GAP if self.text() else 0
        self.setIconSize(QSize(size + gap, size))
        self.setIcon(icons.icon(self._glyph, size, ink, gap=gap, trailing=self._trailing))


class Status(QWidget):
    """An icon and a word in a tone's inks: the state of something, in a dense place."""

    def __init__(self, kind: Type = "small", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        self._glyph = Glyph("minus-circle", 14, "tx3", self)
        self._word = Elided("", kind, "tx3", self)
        layout.addWidget(self._glyph)
        layout.addWidget(self._word, 1)

    def show_state(self, glyph: str, word: str, tone: str) -> None:
        """tone: ok, wa, er, or a text ink."""
        inks = {"ok": ("ok", "oki"), "wa": ("wa", "wai"), "er": ("er", "eri")}.get(tone, (tone, tone))
        self._glyph.set_glyph(glyph, inks[1])
        self._word.set_ink(inks[0])
        self._word.setText(word)

    def set_tip(self, text: str) -> None:
        self.setToolTip(plain_tip(text))

    def word(self) -> str:
        return self._word.text()


class Pill(QWidget):
    """A state as a rounded label: icon and word on the tone's background."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._glyph, self._word = "minus-circle", ""
        self._tone: Tone = "ne"
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_state(self, glyph: str, word: str, tone: Tone) -> None:
        if (glyph, word, tone) != (self._glyph, self._word, self._tone):
            self._glyph, self._word, self._tone = glyph, word, tone
            self.setAccessibleName(word)
            self.updateGeometry()
            self.update()

    def word(self) -> str:
        return self._word

    def sizeHint(self) -> QSize:
        look = theme.current()
        width = QFontMetrics(look.font("smallstrong")).horizontalAdvance(self._word)
        return QSize(6 + 13 + 4 + width + 9, look.px(20))

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        inks = theme.tone_inks(look.tokens, self._tone)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(QColor(inks.line), 1))
        painter.setBrush(QColor(inks.background))
        painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
        icons.paint(painter, QRectF(6, 0, 13, self.height()), self._glyph, QColor(inks.icon), 13)
        painter.setFont(look.font("smallstrong"))
        painter.setPen(QColor(inks.text))
        painter.drawText(QRectF(23, 0, self.width() - 23, self.height()), int(Qt.AlignmentFlag.AlignVCenter), self._word)


class Tile(QWidget):
    """The square at the head of a card or row: a letter or an icon."""

    def __init__(self, letter: str = "", glyph: str = "", edge: int = 32, *, round_: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._letter, self._glyph, self._edge, self._round = letter, glyph, edge, round_
        self.setFixedSize(edge, edge)

    def show_mark(self, letter: str, glyph: str) -> None:
        if (letter, glyph) != (self._letter, self._glyph):
            self._letter, self._glyph = letter, glyph
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_tile(painter, QRectF(self.rect()), self._letter, self._glyph, round_=self._round)


def paint_tile(painter: QPainter, rect: QRectF, letter: str, glyph: str, *, round_: bool = False) -> None:
    look = theme.current()
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    box = rect.adjusted(0.5, 0.5, -0.5, -0.5)
    radius = box.height() / 2 if round_ else 8 if rect.height() > 28 else 6
    painter.setPen(QPen(look.colour("neln"), 1))
    painter.setBrush(look.colour("nebg"))
    painter.drawRoundedRect(box, radius, radius)
    if glyph:
        icons.paint(painter, rect, glyph, look.colour("tx2"), 18 if rect.height() > 28 else 14)
    else:
        font = look.font("heading" if rect.height() > 28 else "caption")
        painter.setFont(font)
        painter.setPen(look.colour("tx2"))
        painter.drawText(rect, int(Qt.AlignmentFlag.AlignCenter), letter)
    painter.restore()


class Card(QFrame):
    """A hairlined surface with a vertical layout. pad: the space inside its edge."""

    def __init__(self, pad: int = 16, spacing: int = 8, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(pad, pad, pad, pad)
        self.column.setSpacing(spacing)


class CardHead(QWidget):
    """The 44 px head of a card that has rows under it: a heading, a remark, and what stands at the right."""

    def __init__(self, title: str, remark: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(16, 0, 8, 0)
        self.row.setSpacing(8)
        theme.follow(self, lambda: self.setFixedHeight(theme.current().px(44)))
        self.title = Label(title, "heading", parent=self)
        self.remark = Elided(remark, "small", "tx3", self)
        self.row.addWidget(self.title)
        self.row.addWidget(self.remark, 1)


class EmptyState(QWidget):
    """What stands where there is nothing yet: an icon, the fact, one sentence, and up to two buttons."""

    def __init__(self, glyph: str, fact: str, sentence: str, buttons: Sequence[QPushButton] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(4)
        column.addStretch(1)
        centre = Qt.AlignmentFlag.AlignHCenter
        self._glyph = Glyph(glyph, 28, "tx3", self)
        column.addWidget(self._glyph, 0, centre)
        column.addSpacing(4)
        self.fact = Label(fact, "card", "tx", self)
        self.fact.setAlignment(centre)
        self.sentence = Line((), parent=self, centred=True)
        column.addWidget(self.fact, 0, centre)
        column.addWidget(self.sentence, 0, centre)
        if buttons:
            column.addSpacing(8)
            row = QHBoxLayout()
            row.setSpacing(8)
            row.addStretch(1)
            for button in buttons:
                button.setParent(self)
                row.addWidget(button)
            row.addStretch(1)
            column.addLayout(row)
        column.addStretch(1)
        self.set_words(fact, sentence)
        theme.follow(self, self._fit)

    def set_glyph(self, glyph: str) -> None:
        self._glyph.set_glyph(glyph, "tx3")

    def set_words(self, fact: str, sentence: str) -> None:
        self.fact.setText(fact)
        self.sentence.set_runs((Run(sentence, "tx2"),))
        self._fit()

    def _fit(self) -> None:
        # A layout that centres a widget does not ask it how high it is at a width.
        width = theme.current().px(300)
        self.sentence.setFixedSize(width, self.sentence.heightForWidth(width))


def hairline(parent: QWidget | None = None) -> QFrame:
    line = QFrame(parent)
    line.setProperty("role", "hairline")
    line.setFixedHeight(1)
    return line


def row_of(*widgets: QWidget | None, spacing: int = 8) -> QHBoxLayout:
    """Widgets side by side; None is a stretch."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
    return layout


def clear_layout(layout: QHBoxLayout | QVBoxLayout) -> None:
    """Takes every widget out of a layout and schedules its end."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.setParent(None)
            widget.deleteLater()
