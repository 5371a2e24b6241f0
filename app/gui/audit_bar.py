"""The field and the choices above the audit timeline: which entries a person wants to see."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from app.control.contract import AuditStatus
from app.gui import audit_rows, theme
from app.gui.audit_rows import VIEWS
from app.gui.choices import ChoiceButton, Entry
from app.gui.fields import SearchField, Segmented
from app.gui.labels import set_look
from app.gui.widgets import row_of
from app.gui.words import tr

TYPING_MS: Final = 250
_SEARCH_LEAST: Final = 190  # below it the views are a menu


class AuditBar(QWidget):
    """`typed`: the field has another text, a moment after the last letter. `chosen`: a person chose another view or actor."""

    typed = Signal()
    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.actor = ""
        self._status: AuditStatus | None = None
        self.filter = SearchField(tr("words or entry number"), self)
        set_look(self.filter.line, "small", "false")  # as high as the menus beside it
        self.views = Segmented(tuple(audit_rows.names().values()), tr("What kind of entry"), self)
        self.views.chosen.connect(self._on_view)
        self.menu = ChoiceButton(tr("Kind"), self._view_entries, tr("What kind of entry"), self)
        self.menu.chosen.connect(self._on_menu)
        self._people: dict[str, str] = {
            "": tr("anyone"), "person": tr("You"), "gateway": tr("Gatehouse"), "keeper": tr("Gatehouse, keeper"),
        }  # fmt: skip
        self.who = ChoiceButton(tr("Who"), self._people_entries, parent=self)
        self.who.chosen.connect(self._on_who)
        self._row = row_of(self.filter, self.views, self.menu, self.who)
        self.setLayout(self._row)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self.typed)
        self.filter.changed.connect(self._on_text)
        self._draw()

    def view(self) -> str:
        return VIEWS[self.views.index()]

    def text(self) -> str:
        return self.filter.text().strip()

    def is_filtered(self) -> bool:
        return bool(self.text() or self.actor)

    def set_text(self, text: str) -> None:
        """Without `typed`."""
        self.filter.line.setText(text)
        self._typing.stop()

    def show_choice(self, view: str, actor: str) -> None:
        """Without `chosen`."""
        self.views.choose(VIEWS.index(view))
        self.actor = actor
        self._draw()

    def show_counts(self, status: AuditStatus | None) -> None:
        self._status = status
        self._draw()

    def set_edge(self, edge: int) -> None:
        self._row.setContentsMargins(edge, 0, edge, 12)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _draw(self) -> None:
        """Both ways to choose say the same, whichever is seen."""
        words = audit_rows.counted(self._status)
        self.views.set_names(tuple(words.values()))
        view = self.view()
        self.menu.show_choice(view, words[view], marked=view != VIEWS[0])
        self.who.show_choice(self.actor, self._people[self.actor], marked=bool(self.actor))
        self._fit()

    def _fit(self) -> None:
        """Views side by side where there is room for them beside the field; else a menu."""
        edges = self._row.contentsMargins()
        rest = edges.left() + edges.right() + 2 * self._row.spacing() + self.who.sizeHint().width() + theme.current().px(_SEARCH_LEAST)
        tight = self.width() < rest + self.views.sizeHint().width()
        self.views.setVisible(not tight)
        self.menu.setVisible(tight)

    @Slot(str)
    def _on_text(self, _text: str) -> None:
        self._typing.start()

    @Slot(int)
    def _on_view(self, index: int) -> None:
        self.views.choose(index)
        self._draw()
        self.chosen.emit()

    @Slot(str)
    def _on_menu(self, view: str) -> None:
        self._on_view(VIEWS.index(view))

    @Slot(str)
    def _on_who(self, actor: str) -> None:
        self.actor = actor
        self._draw()
        self.chosen.emit()

    def _view_entries(self) -> list[Entry | None]:
        return list(audit_rows.counted(self._status).items())

    def _people_entries(self) -> list[Entry | None]:
        return list(self._people.items())
