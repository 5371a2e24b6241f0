"""Network: what leaves this machine, and proof of what does not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from PySide6.QtCore import QElapsedTimer, QTimer, Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.control.contract import DestinationView, NetworkReport, NetworkView
from app.core.errors import AppError
from app.core.exports import KINDS
from app.core.records import EgressRecord
from app.gui import format as fmt
from app.gui import leaving, theme
from app.gui.cells import Cell, Column
from app.gui.exporting import ask_folder, give_report
from app.gui.fields import Segmented
from app.gui.labels import Elided, Label, Line, Run
from app.gui.leaving import PERIODS, Period, Words
from app.gui.lines import Commands, Lines, Point
from app.gui.page import Page
from app.gui.session import Session
from app.gui.sheets.connection import ConnectionSheet
from app.gui.sheets.leaks import LeakSheet
from app.gui.state import Notice, State, closed
from app.gui.tables import Rows, Table
from app.gui.waiting import WaitingCard
from app.gui.widgets import Button, Card, CardHead, EmptyState, Pill, Status, clear_layout
from app.gui.words import tr

EVERY_MS: Final = 3_000
_SHARE: Final = 10  # a look at a run of a million requests takes seconds: at most this part of the time is spent on it
REFUSED_SHOWN: Final = 3


def columns(now: list[int]) -> tuple[Column[DestinationView], ...]:
    def host(row: DestinationView) -> Cell:
        stays = tr("local") if row.local else ("" if row.declared else tr("removed"))
        return Cell(leaving.address(row), "tx2" if row.local else "tx", mono=True, spoken=f"{leaving.address(row)} {stays}")

    def why(row: DestinationView) -> Cell:
        return Cell(
            tr("Given to a program") if row.local and row.declared else row.purpose,
            "tx" if row.declared else "tx3",
            tip=tr("{accounts}: on this machine or network", accounts=", ".join(row.accounts)) if row.local else ", ".join(row.accounts),
        )

    def added(row: DestinationView) -> Cell:
        return Cell(tr("You {day}", day=fmt.day(row.added_us, now[0])) if row.added_us else fmt.ABSENT, "tx2")

    def last(row: DestinationView) -> Cell:
        return Cell(fmt.moment(row.last_us, now[0]) if row.last_us else tr("never"), "tx2")

    def issuer(row: DestinationView) -> Cell:
        if not row.issuer:
            return Cell(tr("no TLS") if row.scheme == "http" else fmt.ABSENT, "tx3")
        return Cell(row.issuer, glyph="warning-fill" if row.issuer_changed else "", tone="wa", tip=row.tls)

    return (
        Column(tr("Host"), host, least=190),
        Column(tr("Why"), why, sample="Given to a program m"),
        Column(tr("Added by"), added, sample="You 12 Oct m", low=2),
        Column(tr("Connections"), lambda row: Cell(fmt.count(row.connections)), sample="100,000", number=True),
        Column(tr("Bytes out"), lambda row: Cell(fmt.size(row.bytes_out)), sample="100.0 MB", number=True),
        Column(tr("Bytes in"), lambda row: Cell(fmt.size(row.bytes_in)), sample="100.0 MB", number=True),
        Column(tr("Last contact"), last, sample="18 Nov 10:02 m", low=1),
        Column(tr("TLS issuer"), issuer, sample="Google Trust Services m", low=3),
    )


class NetworkPage(Page):
    NAME: ClassVar[str] = "network"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Network"), session, parent)
        self._state: State = session.state
        self._now: list[int] = [0]
        self._view: NetworkView | None = None
        self._words: Words | None = None
        self._asking = False
        self._took = QElapsedTimer()
        self._asked: Period = "start"
        self.remark.setText(tr("What leaves this machine, and proof of what does not"))
        self._try = Button(tr("Try to leak"), parent=self)
        self._try.clicked.connect(self.test)
        self._export = Button(tr("Export signed report"), glyph="file-text", parent=self)
        self._export.clicked.connect(self._choose_folder)
        self.title_row.addWidget(self._try)
        self.title_row.addWidget(self._export)
        self._waiting = WaitingCard(self)
        self._waiting.answered.connect(self._on_answered)
        self.body.addWidget(self._waiting)
        self._none = EmptyState("globe", tr("Not read yet"), "", (), self)
        self.body.addWidget(self._none)
        self._all = QWidget(self)
        column = QVBoxLayout(self._all)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        self._build(column)
        self._all.hide()
        self.body.addWidget(self._all)
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._ask)
        self._watch.start(EVERY_MS)

    # -- building

    def _build(self, column: QVBoxLayout) -> None:
        self._verdict = Card(pad=20, parent=self._all)
        self._pill = Pill(self._verdict)
        self._since = Elided("", "small", "tx3", self._verdict)
        top = QHBoxLayout()
        top.setSpacing(8)
        self._period = Segmented((tr("Since start"), tr("Today"), tr("30 days")), tr("Period"), self._verdict)
        self._period.chosen.connect(self._ask)
        top.addWidget(self._pill)
        top.addWidget(self._since, 1)
        top.addWidget(self._period)
        self._fact = Label("", "title", "tx", self._verdict).wrapped()
        self._explanation = Label("", "body", "tx2", self._verdict).wrapped()
        self._removed = Label("", "small", "tx2", self._verdict).wrapped()
        self._red = QVBoxLayout()
        self._red.setSpacing(4)
        self._verdict.column.addLayout(top)
        self._verdict.column.addWidget(self._fact)
        self._verdict.column.addLayout(self._red)
        self._verdict.column.addWidget(self._explanation)
        self._verdict.column.addWidget(self._removed)
        column.addWidget(self._verdict)

        places = Card(pad=0, spacing=0, parent=self._all)
        places.column.setContentsMargins(1, 0, 1, 1)
        remark = tr("Everything this app may contact, used or not. Bytes as counted by the operating system.")
        places.column.addWidget(CardHead(tr("Destinations"), remark, places))
        self._rows: Rows[DestinationView] = Rows(columns(self._now), leaving.address, self)
        self._table = Table(self._rows, row_height=34, parent=places)
        self._table.setAccessibleName(tr("Destinations"))
        self._table.fit()
        places.column.addWidget(self._table)
        self._nothing = Label(tr("Nothing is declared: nothing can be contacted."), "body", "tx3", places)
        self._nothing.setContentsMargins(16, 10, 16, 12)
        places.column.addWidget(self._nothing)
        column.addWidget(places)

        self._refused = Lines(tr("Refused attempts"), self._all, two=True)
        self._every = Button(tr("All"), "ghost", small=True, parent=self._refused)
        self._every.setCheckable(True)
        self._every.toggled.connect(self._show_refused)
        self._refused.head.row.addWidget(self._every)
        self._layers = Lines(tr("Layers"), self._all, remark=tr("what each one does"))
        self._books = Lines(tr("Books"), self._all, remark=tr("connections"))
        self._agree = Status("smallstrong", self._books)
        self._books.head.row.addWidget(self._agree)
        theme.follow(self._agree, self._widen_agree)
        self._three = QGridLayout()
        self._three.setSpacing(16)
        self._arrange()
        column.addLayout(self._three)

        self._checks = Commands(self._all)
        self._checks.copied.connect(self._on_copied)
        column.addWidget(self._checks)
        self._listening = Lines(tr("Listening"), self._all, remark=tr("Every address this app answers on."), mono=True)
        column.addWidget(self._listening)
        self._names = Lines(tr("Names asked"), self._all, remark=tr("What the resolver was asked for."), mono=True)
        column.addWidget(self._names)
        remark = tr("Things that could redirect or record traffic.")
        self._environment = Lines(tr("Environment"), self._all, remark=remark, mono=True)
        self._cannot = Card(parent=self._all)
        self._cannot.column.addWidget(Label(tr("What this page cannot show"), "heading", parent=self._cannot))
        self._limits = QVBoxLayout()
        self._limits.setSpacing(4)
        self._cannot.column.addLayout(self._limits)
        self._cannot.column.addStretch(1)
        low = QHBoxLayout()
        low.setSpacing(16)
        low.addWidget(self._environment, 1)
        low.addWidget(self._cannot, 1)
        column.addLayout(low)

    def _arrange(self) -> None:
        """Three cards beside each other; where it is narrow, the refused attempts, which have the most to say, above the others."""
        below = 1 if self.narrow else 0
        self._three.addWidget(self._refused, 0, 0, 1, 2 if self.narrow else 1)
        self._three.addWidget(self._layers, below, 1 - below)
        self._three.addWidget(self._books, below, 2 - below)
        for number, share in enumerate((5, 3, 0) if self.narrow else (10, 15, 7)):
            self._three.setColumnStretch(number, share)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        self._arrange()

    # -- drawing

    def refresh(self, state: State, now_us: int) -> None:
        came = state.live and not self._state.live
        self._state, self._now[0] = state, now_us
        if self._view is None or came:
            self._ask()
        self._draw()

    def _draw(self) -> None:
        shut, view = closed(self._state), self._view
        able = view is not None and shut is None
        self._waiting.show_waiting(self._state.waiting, self._state.unlisted)
        self._try.setEnabled(able)
        self._export.setEnabled(able)
        self._none.setVisible(view is None)
        self._all.setVisible(view is not None)
        if view is None:
            self._none.set_words(*((shut.fact, shut.sentence) if shut is not None else (tr("Looking"), "")))
            return
        words = leaving.present(view, self._now[0], self._asked)
        if words == self._words:
            return
        before, self._words = self._words, words
        self._pill.show_state(words.glyph, words.level, "ok" if words.tone == "ok" else "in")
        self._since.setText(words.since)
        self._fact.setText(words.verdict)
        self._fact.set_ink("er" if words.red else "tx")
        self._explanation.setText(words.explanation)
        self._removed.setText(words.removed)
        if before is None or before.red != words.red:
            clear_layout(self._red)
            for sentence in words.red:
                self._red.addWidget(Line((Run(sentence, "er"),), parent=self._verdict))
        self._rows.show(words.destinations)
        self._table.setVisible(bool(words.destinations))
        self._nothing.setVisible(not words.destinations)
        self._refused.head.remark.setText(words.refused_count)
        self._show_refused()
        self._layers.show_lines(words.layers)
        self._books.show_lines(words.books, below=words.books_below)
        self._agree.show_state(words.books_glyph, words.books_state, words.books_tone)
        self._widen_agree()
        self._checks.show_commands(words.commands)
        self._listening.show_lines(words.listening)
        self._names.show_lines(words.names, tr("No name was asked for."))
        self._environment.show_lines(words.environment)
        if before is None:
            for sentence in words.cannot:
                self._limits.addWidget(Point(sentence, self._cannot))

    @Slot(int, bool)
    def _on_answered(self, number: int, yes: bool) -> None:
        self.wanted.emit(f"{'confirm' if yes else 'refuse'}:{number}")

    def _widen_agree(self) -> None:
        self._agree.setMinimumWidth(self._agree.sizeHint().width())

    @Slot(str)
    def _on_copied(self, text: str) -> None:
        self.wanted.emit(f"copy:{text}")

    @Slot()
    def _show_refused(self) -> None:
        if self._words is None:
            return
        every = self._every.isChecked()
        self._every.setText(tr("Fewer") if every else tr("All"))
        self._every.setVisible(len(self._words.refused) > REFUSED_SHOWN)
        self._refused.show_lines(self._words.refused[: None if every else REFUSED_SHOWN], tr("Nothing was refused."))

    # -- one connection

    def open_at(self, about: str) -> None:
        """Shows the record of the connection with that number."""
        number = int(about)
        self.session.look("connection", lambda client: client.egress_record(number), self._on_record, self.session.complain)

    def _on_record(self, record: EgressRecord) -> None:
        sheet = ConnectionSheet(record, self._now[0], self.window())
        sheet.open(sheet.first())

    # -- asking

    @Slot()
    def _ask(self) -> None:
        if not self._asking and self.isVisible() and self._state.live:
            self._asking = True
            self._took.start()
            period = PERIODS[self._period.index()]
            since = leaving.begins(period, self._now[0])
            self.session.look("network", lambda client: client.network(since), partial(self._on_view, period), self._on_failed)

    def _on_view(self, period: Period, view: NetworkView) -> None:
        self._asking = False
        self._watch.setInterval(max(EVERY_MS, self._took.elapsed() * _SHARE))
        if period != PERIODS[self._period.index()]:
            self._ask()  # another was chosen meanwhile
            return
        self._asked, self._view = period, view
        self._draw()

    def _on_failed(self, _error: AppError) -> None:
        self._asking = False  # the banner says what is wrong; the timer asks again

    @Slot()
    def test(self) -> None:
        """Try to leak: the button, and F5."""
        if self._view is not None:
            sheet = LeakSheet(self.session, self.window())
            sheet.open()

    def export(self) -> None:
        if self._export.isEnabled():
            self._choose_folder()

    @Slot()
    def _choose_folder(self) -> None:
        self.export_into(ask_folder(self, tr("Where the report goes")))

    def export_into(self, folder: str) -> None:
        """A new folder in `folder`; "" when the person changed their mind."""
        if not folder:
            return
        name = f"{KINDS['network'].prefix}{self._now[0] // 1_000_000}"
        self.session.write("network", Path(folder) / name, give_report, partial(self._on_exported, name), self.session.complain)

    def _on_exported(self, name: str, made: NetworkReport) -> None:
        fact = tr("The signed report is in {folder}.", folder=name)
        command = f"python -I verify.py --key {made.key}"
        self.session.notify(Notice(tone="ok", fact=fact, consequence=tr("Check it anywhere: {command}", command=command)))
