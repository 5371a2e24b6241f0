"""A price of the person's own for one model of an account: in dollars for a million tokens, from now on, and for what has none yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.control.client import ControlClient
from app.control.contract import Repriced
from app.core.records import OwnPrice
from app.gui import format as fmt
from app.gui import spans
from app.gui.fields import Field, Segmented, side_by_side
from app.gui.labels import Label
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.spans import Range
from app.gui.state import Notice
from app.gui.widgets import Button, row_of
from app.gui.words import plural, tr

_PRICE: Final = re.compile(r"\d{1,7}(\.\d{1,9})?")
# What is worked out again; None: nothing.
_PERIODS: Final[tuple[Range | None, ...]] = (None, "today", "days", "all")


@dataclass(frozen=True, slots=True)
class Saved:
    price: OwnPrice
    repriced: Repriced | None


def wrong(text: str, *, needed: bool) -> str:
    """What is wrong with a typed price, or ""."""
    if not text:
        return tr("A price is needed; 0 is one.") if needed else ""
    return "" if _PRICE.fullmatch(text) else tr("Dollars for a million tokens, like 2.50.")


def notice(saved: Saved) -> Notice:
    """What came of it, in two sentences."""
    price, done = saved.price, saved.repriced
    what = f"{price.account}/{price.model}" if price.model else price.account
    fact = tr("{what} has a price from now on.", what=what)
    if done is None:
        return Notice(tone="ok", fact=fact, consequence=tr("What was recorded before stays as it is."))
    if not done.changed:
        return Notice(tone="ok", fact=fact, consequence=tr("No recorded request was without one."))
    changed = plural(done.changed, "{n} request was worked out again", "{n} requests were worked out again")
    return Notice(tone="ok", fact=fact, consequence=tr("{changed}: {cost}.", changed=changed, cost=fmt.money(done.after_microusd)))


class SetPriceSheet(Sheet):
    def __init__(self, session: Session, account: str, model: str, now_us: int, parent: QWidget) -> None:
        super().__init__(
            tr("Set a price"),
            tr("For {model} of {account}, in dollars for a million tokens.", model=model, account=account),
            width=520,
            parent=parent,
        )
        self._session = session
        self._account, self._model = account, model
        self._now_us = now_us
        self.fields = {
            "input": Field(tr("Input"), mono=True, parent=self.frame),
            "output": Field(tr("Output"), mono=True, parent=self.frame),
            "cached": Field(tr("Read from cache"), mono=True, help_=tr("Empty: as input"), parent=self.frame),
            "cache_write": Field(tr("Written to cache"), mono=True, help_=tr("Empty: as input"), parent=self.frame),
        }
        for name, field in self.fields.items():
            field.line.setPlaceholderText("2.50" if name == "input" else "10.00" if name == "output" else "")
        pairs = tuple(self.fields.values())
        self.body.addLayout(side_by_side(*pairs[:2]))
        self.body.addLayout(side_by_side(*pairs[2:]))
        free = Button(tr("It costs nothing: 0"), small=True, parent=self.frame)
        free.clicked.connect(self._on_free)
        self.body.addLayout(row_of(free, None))
        again = Label(tr("Also work out what was recorded without a price"), "smallstrong", "tx", self.frame)
        self.body.addWidget(again)
        self.again = Segmented((tr("No"), tr("Today"), tr("30 days"), tr("Everything")), again.text(), self.frame)
        self.again.choose(len(_PERIODS) - 1)
        self.body.addLayout(row_of(self.again, None))
        why = tr("The old value of each request is kept, and the audit log says what was done.")
        self.body.addWidget(Label(why, "small", "tx3", self.frame).wrapped())
        self.add_cancel()
        self.save = self.add_button(tr("Set price"), "primary")
        self.save.clicked.connect(self.submit)
        session.look("prices", lambda client: client.prices(), self._on_known, session.complain)

    def first(self) -> QWidget:
        return self.fields["input"].line

    def _on_known(self, prices: list[OwnPrice]) -> None:
        """What was set before stands in the fields, unless the person typed meanwhile."""
        known = next((one for one in prices if (one.account, one.model) == (self._account, self._model)), None)
        if known is not None and not any(field.text() for field in self.fields.values()):
            for name, field in self.fields.items():
                field.line.setText(getattr(known, name))

    @Slot()
    def _on_free(self) -> None:
        for name, field in self.fields.items():
            field.line.setText("0" if name in ("input", "output") else "")
            field.set_error("")
        self.save.setFocus()

    @Slot()
    def submit(self) -> None:
        errors = {name: wrong(field.text(), needed=name in ("input", "output")) for name, field in self.fields.items()}
        for name, words in errors.items():
            self.fields[name].set_error(words)
        first = next((name for name, words in errors.items() if words), None)
        if first is not None:
            self.fields[first].line.setFocus()
            self.refit()
            return
        typed = {name: field.text() for name, field in self.fields.items()}
        price = OwnPrice(
            account=self._account,
            model=self._model,
            input=typed["input"],
            output=typed["output"],
            cached=typed["cached"],
            cache_write=typed["cache_write"],
        )
        period = _PERIODS[self.again.index()]
        over = None if period is None else spans.span(period, self._now_us)

        def work(client: ControlClient) -> Saved:
            kept = client.set_price(price)
            if over is None:
                return Saved(kept, None)
            return Saved(kept, client.reprice(over.since_us or 0, self._now_us + spans.HOUR_US))

        self.close_now()
        self._session.order("set-price", work, partial(_done, self._session))


def _done(session: Session, saved: Saved) -> None:
    session.notify(notice(saved))
    session.recounted.emit()
