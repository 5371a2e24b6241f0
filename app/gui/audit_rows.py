"""The lines of the audit timeline: entries, and runs of recorded requests that stand for many of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from app.control.contract import AuditEntry, AuditRun, AuditStatus
from app.core.events import GROUPS
from app.gui import entries
from app.gui import format as fmt
from app.gui.cells import Cell, Column
from app.gui.words import plural, tr

Item = AuditEntry | AuditRun
# What the person may look at, in order; "" is everything. The first is what the page begins with.
VIEWS: Final[tuple[str, ...]] = (*GROUPS, "")
FOLDED: Final = frozenset({"", "ledger"})
_NUMBER: Final = re.compile(r"#?\s*(\d[\d, ]*)")


def columns(now_us: list[int]) -> tuple[Column[Item], ...]:
    return (
        Column(tr("Entry"), number_cell, sample="1,234,567", least=62),
        Column(tr("Time"), lambda item: time_cell(item, now_us[0]), sample="18 Nov 14:32", least=90),
        Column(tr("Who"), who_cell, sample="Gatehouse, keeper mm", least=100, low=1),
        Column(tr("What"), what_cell, sample="Went on after a finding", least=120),
        Column(tr("Before → after"), lambda item: change_cell(item, now_us[0]), least=160),
    )


def key(item: Item) -> str:
    """A run keeps its key while it grows."""
    return entries.key(item) if isinstance(item, AuditEntry) else f"{item.first:020d}"


def low(item: Item) -> int:
    return item.seq if isinstance(item, AuditEntry) else item.first


def high(item: Item) -> int:
    return item.seq if isinstance(item, AuditEntry) else item.upto


def names() -> dict[str, str]:
    """What each view is called."""
    groups = (tr("Changes"), tr("Access"), tr("Network"), tr("Gateway"), tr("Audit"), tr("Ledger"))
    return {**dict(zip(GROUPS, groups, strict=True)), "": tr("Everything")}


def counted(status: AuditStatus | None) -> dict[str, str]:
    """The views with how many entries each has, where that is known."""
    if status is None:
        return names()
    return {view: f"{name} {fmt.count(status.groups.get(view, 0) if view else status.entries)}" for view, name in names().items()}


def wanted_number(text: str) -> int | None:
    """The entry that is asked for where nothing but a number was typed: `5`, `#5`, `12,408`."""
    found = _NUMBER.fullmatch(text.strip())
    digits = "" if found is None else re.sub(r"\D", "", found[1])
    return int(digits) if digits and len(digits) < 19 else None


def kinds_called(text: str) -> Sequence[str]:
    """The kinds of entry whose title has these words."""
    words = text.strip().casefold()
    return [kind for kind, title in entries.titles().items() if words in title.casefold()] if words else []


def run_words(run: AuditRun, now_us: int) -> str:
    """ "1,240 in 312 entries, 10:02 to 10:41", or without what is not counted yet."""
    times = fmt.between(run.first_us, run.last_us, now_us)
    if run.entries is None or run.requests is None:
        return tr("entries {first} to {upto}, {times}", first=f"{run.first:,}", upto=f"{run.upto:,}", times=times)
    requests = plural(run.requests, "{n} request", "{n} requests")
    return tr("{requests} in {entries}, {times}", requests=requests, entries=plural(run.entries, "{n} entry", "{n} entries"), times=times)


def missing(number: int, status: AuditStatus | None) -> tuple[str, str]:
    """There is no entry of that number: the fact, and what there is."""
    fact = tr("There is no entry {n}", n=f"{number:,}")
    other = tr("A number alone goes to that entry; anything else in the field looks for words.")
    if status is None or not status.entries:
        return fact, other
    return fact, tr("The log holds entries {first} to {upto}. {other}", first=f"{status.first:,}", upto=f"{status.seq:,}", other=other)


def empty(view: str, *, filtered: bool) -> tuple[str, str]:
    """What stands where no line is."""
    if filtered:
        return tr("No entry"), tr("Nothing fits what is asked for.")
    if view == "changes":
        return tr("No change yet"), tr("What is added, removed or set is written here, with what was before.")
    return tr("No entry yet"), tr("What happens is written here, one entry after the other.")


# -- cells


def number_cell(item: Item) -> Cell:
    if isinstance(item, AuditEntry):
        return entries.number_cell(item)
    words = tr("{first} to {upto}", first=f"{item.first:,}", upto=f"{item.upto:,}")
    return Cell(f"{item.upto:,}", "tx2", mono=True, tip=words, spoken=words)


def time_cell(item: Item, now_us: int) -> Cell:
    if isinstance(item, AuditEntry):
        return entries.time_cell(item, now_us)
    return Cell(fmt.table_time(item.last_us, now_us), tip=f"{fmt.clock_exact(item.first_us)} – {fmt.clock_exact(item.last_us)}")


def who_cell(item: Item) -> Cell:
    return entries.who_cell(item) if isinstance(item, AuditEntry) else Cell(tr("Gatehouse"), glyph="git-branch", tone="tx2")


def what_cell(item: Item) -> Cell:
    return entries.what_cell(item) if isinstance(item, AuditEntry) else Cell(entries.titles()["ledger.batch"])


def change_cell(item: Item, now_us: int) -> Cell:
    if isinstance(item, AuditEntry):
        return entries.change_cell(item)
    words = run_words(item, now_us)
    return Cell(words, "tx2", glyph="caret-right", tone="tx2", spoken=tr("{words}. Enter shows them.", words=words))
