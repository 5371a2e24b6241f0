"""The field and the menus above the requests: what a person wants to see of them."""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.control.contract import ActivityNames
from app.gui import choices, finding, spans
from app.gui.choices import ChoiceButton, Entry
from app.gui.fields import SearchField
from app.gui.finding import Choice
from app.gui.labels import set_look
from app.gui.spans import RANGES, Range, Span
from app.gui.words import tr

TYPING_MS: Final = 250
_PICK: Final = "pick"


class FilterBar(QWidget):
    """`changed`: something else is wanted; a moment after the last letter where it is typed. `picking`: dates are to be asked for."""

    changed = Signal()
    picking = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._named = dict.fromkeys(("client", "provider", "model", "status"), "")
        self._names = ActivityNames(clients=(), providers=(), models=())
        self.range: Range = "all"
        self.dates: tuple[int | None, int | None] = (None, None)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self.changed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self.field = SearchField(tr("client, model, status, request id"), self)
        self.field.setMinimumWidth(110)
        set_look(self.field.line, "small", "false")  # as high as the menus beside it
        self.field.changed.connect(self._on_typed)
        row.addWidget(self.field, 1)
        self._menus: dict[str, ChoiceButton] = {}
        captions = {"client": tr("Client"), "provider": tr("Provider"), "model": tr("Model"), "status": tr("Status")}
        for name, caption in captions.items():
            menu = ChoiceButton(caption, partial(self._entries, name), parent=self)
            menu.chosen.connect(partial(self.choose, name))
            self._menus[name] = menu
            row.addWidget(menu)
        self._when = ChoiceButton("", self._ranges, tr("Time"), self)
        self._when.chosen.connect(self._on_range)
        row.addWidget(self._when)
        self._show()

    def choice(self) -> Choice:
        return Choice(**self._named, text=self.field.text())

    def span(self, now_us: int) -> Span:
        return spans.span(self.range, now_us, dates=self.dates)

    def is_plain(self) -> bool:
        """Nothing is filtered, but perhaps the time."""
        return self.choice() == Choice()

    def set_names(self, names: ActivityNames) -> None:
        self._names = names

    def show_span(self, over: Span) -> None:
        self._when.show_choice(over.chosen, over.name, marked=over.chosen == "dates")

    def choose(self, name: str, value: str) -> None:
        """ "" for all."""
        if self._named[name] != value:
            self._named[name] = value
            self._show()
            self.changed.emit()

    def choose_range(self, chosen: Range, dates: tuple[int | None, int | None] = (None, None)) -> None:
        if (chosen, dates) != (self.range, self.dates):
            self.range, self.dates = chosen, dates
            self.changed.emit()

    @Slot()
    def clear(self) -> None:
        """Everything, of any time."""
        self._named = dict.fromkeys(self._named, "")
        self.range, self.dates = "all", (None, None)
        self.field.line.setText("")
        self._typing.stop()
        self._show()
        self.changed.emit()

    def clear_text(self) -> None:
        self.field.line.setText("")

    def begin(self) -> None:
        self.field.line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.line.selectAll()

    @Slot(str)
    def _on_typed(self, _text: str) -> None:
        self._typing.start()

    @Slot(str)
    def _on_range(self, value: str) -> None:
        if value == _PICK:
            self.picking.emit()
        else:
            self.choose_range(next(one for one in RANGES if one == value))

    def _show(self) -> None:
        words = dict(finding.statuses())
        for name, menu in self._menus.items():
            value = self._named[name]
            menu.show_choice(value, words.get(value, value) if name == "status" else value or tr("all"), marked=bool(value))

    def _entries(self, name: str) -> list[Entry | None]:
        if name == "status":
            return list(finding.statuses())
        known = {"client": self._names.clients, "provider": self._names.providers, "model": self._names.models}[name]
        return choices.names(known, self._named[name])

    def _ranges(self) -> list[Entry | None]:
        entries: list[Entry | None] = [(one, spans.span(one, 0).name) for one in RANGES]
        return [*entries, None, (_PICK, tr("Pick dates, or jump to one…"))]
