"""From which day to which: the time that Activity is narrowed to, or the day it jumps to."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.gui import format as fmt
from app.gui import spans
from app.gui.fields import Field, side_by_side
from app.gui.sheet import Sheet
from app.gui.words import tr


class DatesSheet(Sheet):
    """`picked` is called with the first moment and the one after the last; None is open."""

    def __init__(
        self, now_us: int, dates: tuple[int | None, int | None], picked: Callable[[int | None, int | None], None], parent: QWidget
    ) -> None:
        super().__init__(tr("Pick dates"), tr("Whole days of this machine's clock, as year-month-day."), width=440, parent=parent)
        self._picked = picked
        today = fmt.local(now_us).date().isoformat()
        self.first_day = Field(tr("From"), mono=True, help_=tr("Empty: from the beginning"), parent=self.frame)
        self.last_day = Field(tr("To, that day included"), mono=True, help_=tr("Empty: up to now"), parent=self.frame)
        for field in (self.first_day, self.last_day):
            field.line.setPlaceholderText(today)
        since_us, until_us = dates
        if since_us is not None:
            self.first_day.line.setText(fmt.local(since_us).date().isoformat())
        if until_us is not None:
            self.last_day.line.setText(fmt.local(until_us - 1).date().isoformat())
        self.body.addLayout(side_by_side(self.first_day, self.last_day))
        self.consequence.setText(tr("To jump to a day, give it in the second field alone: its last request comes first."))
        self.add_cancel()
        self.show_button = self.add_button(tr("Show"), "primary")
        self.show_button.clicked.connect(self.submit)

    def first(self) -> QWidget:
        return self.first_day.line

    @Slot()
    def submit(self) -> None:
        read: list[int | None] = []
        for field, end in ((self.first_day, False), (self.last_day, True)):
            try:
                read.append(spans.day_of(field.text(), end=end))
                field.set_error("")
            except (ValueError, OverflowError, OSError):
                field.set_error(tr("A day looks like 2026-11-20."))
                field.line.setFocus()
                self.refit()
                return
        since_us, until_us = read
        if since_us is not None and until_us is not None and since_us >= until_us:
            self.last_day.set_error(tr("This day is before the first one."))
            self.refit()
            return
        self.close_now()
        self._picked(since_us, until_us)
