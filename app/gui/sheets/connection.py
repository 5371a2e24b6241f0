"""One connection that was made, in full: where to, through what, how much went over it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from app.core.records import EgressRecord
from app.gui import format as fmt
from app.gui.labels import Label
from app.gui.sheet import Sheet
from app.gui.words import plural, tr


def facts(record: EgressRecord, now_us: int) -> tuple[tuple[str, str, bool], ...]:
    """Name, value, and whether the value is set in monospace."""
    counted = tr("counted by the operating system, TLS included") if record.counted else tr("counted by Gatehouse")
    used = plural(record.used, "{n} request was sent on it", "{n} requests were sent on it")
    amount = tr("{o} out, {i} in, {how}", o=fmt.size(record.bytes_out), i=fmt.size(record.bytes_in), how=counted)
    if record.closed_us is None:  # what passed is written down at the end
        used = amount = tr("known once it is closed")
    lines = [
        (tr("Host"), f"{record.host}:{record.port}", True),
        (tr("Address"), record.address or fmt.ABSENT, True),
        (tr("For"), record.account or fmt.ABSENT, False),
        (tr("Opened"), fmt.moment(record.opened_us, now_us), False),
        (tr("Closed"), fmt.moment(record.closed_us, now_us) if record.closed_us is not None else tr("open, or ended by a crash"), False),
        (tr("Took"), tr("{a} to look up, {b} to connect", a=fmt.duration(record.resolve_us), b=fmt.duration(record.connect_us)), False),
        (tr("Requests"), used, False),
        (tr("Bytes"), amount, False),
        (tr("TLS"), tr("{version}, issued by {issuer}", version=record.tls, issuer=record.issuer) if record.tls else tr("none"), False),
    ]
    if record.spki:
        lines.append((tr("Key SHA-256"), record.spki, True))
    return tuple(lines)


class ConnectionSheet(Sheet):
    def __init__(self, record: EgressRecord, now_us: int, parent: QWidget) -> None:
        super().__init__(
            tr("Connection {n}", n=record.connection),
            tr("As the keeper, which made it, wrote it down."),
            width=560,
            parent=parent,
        )
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        for number, (name, value, mono) in enumerate(facts(record, now_us)):
            grid.addWidget(Label(name, "small", "tx3", self.frame), number, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(Label(value, "mono" if mono else "small", "tx", self.frame).wrapped().selectable(), number, 1)
        self.body.addLayout(grid)
        self._close = self.add_cancel(tr("Close"))

    def first(self) -> QWidget:
        return self._close
