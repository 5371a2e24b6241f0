"""Cards of lines: a name, what is said about it, and its state; refusals in two lines; commands to copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.gui import checks, theme
from app.gui.checks import PLATFORMS, Command, Platform
from app.gui.fields import Segmented
from app.gui.labels import Elided, Label, Run
from app.gui.labels import Line as Text
from app.gui.leaving import Line
from app.gui.widgets import Button, Card, CardHead, Glyph, Status, clear_layout, hairline
from app.gui.words import tr

_NAME_MOST: Final = 260


class Lines(Card):
    """A card of lines: a name, what is said about it, and a state at the right. two: in two lines each. mono: names are code."""

    def __init__(self, title: str, parent: QWidget, *, remark: str = "", two: bool = False, mono: bool = False) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        self._two, self._mono = two, mono
        self._shown: tuple[Sequence[Line], str, str] | None = None
        self.column.setContentsMargins(1, 0, 1, 6)
        self.head = CardHead(title, remark, self)
        self.column.addWidget(self.head)
        self._lines = QVBoxLayout()
        self._lines.setSpacing(0)
        self.column.addLayout(self._lines)
        self.column.addStretch(1)
        theme.follow(self, self._draw)

    def show_lines(self, lines: Sequence[Line], none: str = "", below: str = "") -> None:
        if self._shown != (lines, none, below):
            self._shown = (lines, none, below)
            self._draw()

    def _draw(self) -> None:
        if self._shown is None:
            return
        lines, none, below = self._shown
        clear_layout(self._lines)
        metrics = theme.current().metrics("mono" if self._mono else "smallstrong")
        # One column for all names, so that what is said about them stands in another.
        width = min(_NAME_MOST, max((metrics.horizontalAdvance(line.name) for line in lines), default=0) + 2)
        for line in lines:
            self._lines.addWidget(hairline(self))
            self._lines.addWidget(_Refusal(line, self) if self._two else _Row(line, width, self, mono=self._mono))
        for words in (none if not lines else "", below):
            if words:
                self._lines.addWidget(hairline(self))
                label = Label(words, "small", "tx3", self).wrapped()
                label.setContentsMargins(16, 8, 16, 6)
                self._lines.addWidget(label)


class _Refusal(QWidget):
    """What was tried, when, why it was refused, and who asked."""

    def __init__(self, line: Line, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"{line.name}: {line.words} {line.state}")
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 7, 14, 7)
        row.setSpacing(10)
        row.addWidget(Glyph(line.glyph, 15, "tx3", self), 0, Qt.AlignmentFlag.AlignTop)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(Elided(line.name, "mono", "tx", self), 1)
        head.addWidget(Label(line.state, "small", "tx3", self))
        texts.addLayout(head)
        texts.addWidget(Text((Run(line.words, "tx2"),), "small", self))  # has names from outside in it
        if line.below:
            texts.addWidget(Text((Run(line.below, "tx3"),), "small", self))
        row.addLayout(texts, 1)


class _Row(QWidget):
    """A name of a given width, what is said about it, and its state: with an icon, as a figure, or as words."""

    def __init__(self, line: Line, width: int, parent: QWidget, *, mono: bool) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"{line.name}: {line.words} {line.state}")
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 7, 14, 7)
        row.setSpacing(14)
        name = Elided(line.name, "mono" if mono else "smallstrong", "tx", self)
        name.setFixedWidth(width)
        row.addWidget(name)
        row.addWidget(Elided(line.words, "small", "tx3", self), 1)
        if line.glyph:
            state = Status("small", self)
            state.show_state(line.glyph, line.state, line.tone)
            state.setMinimumWidth(state.sizeHint().width())
            row.addWidget(state)
        else:
            row.addWidget(Label(line.state, "smallstrong" if line.tone == "tx" else "small", line.tone, self))


class Point(QWidget):
    """One item of a list."""

    def __init__(self, sentence: str, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(Label("•", "small", "tx3", self), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(Label(sentence, "small", "tx2", self).wrapped(), 1)


class Commands(Card):
    """Tools that others wrote, ready to be copied, for the system that is chosen: at first the one the window is on. copied: a command."""

    copied = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        self._commands: Mapping[Platform, Sequence[Command]] = {}
        self._shown: Sequence[Command] = ()
        self.column.setContentsMargins(1, 0, 1, 6)
        head = CardHead(tr("Check without trusting us"), tr("Use tools we did not write. Process ids below are the live ones."), self)
        self._platform = Segmented(tuple(PLATFORMS.values()), tr("System"), head)
        self._platform.choose(list(PLATFORMS).index(checks.here()))
        self._platform.chosen.connect(self._show)
        head.row.addWidget(self._platform, 0, Qt.AlignmentFlag.AlignVCenter)
        self.column.addWidget(head)
        self._lines = QVBoxLayout()
        self._lines.setSpacing(0)
        self.column.addLayout(self._lines)

    def show_commands(self, commands: Mapping[Platform, Sequence[Command]]) -> None:
        self._commands = commands
        self._show()

    @Slot()
    def _show(self) -> None:
        commands = self._commands.get(list(PLATFORMS)[self._platform.index()], ())
        if commands == self._shown:
            return
        self._shown = commands
        clear_layout(self._lines)
        for command in commands:
            self._lines.addWidget(hairline(self))
            holder = QWidget(self)
            row = QHBoxLayout(holder)
            row.setContentsMargins(16, 4, 8, 4)
            row.setSpacing(12)
            name = Label(command.name, "small", "tx", holder)
            name.setFixedWidth(230)
            copy = Button(tr("Copy"), "ghost", glyph="copy", small=True, parent=holder)
            copy.setAccessibleName(tr("Copy: {name}", name=command.name))
            copy.clicked.connect(partial(self.copied.emit, command.text))
            row.addWidget(name)
            row.addWidget(Elided(command.text, "mono", "tx2", holder).selectable(), 1)
            row.addWidget(copy)
            self._lines.addWidget(holder)
