"""Reading the journal at start: what was left uncommitted, what cannot be read, and whether the run before stopped in an orderly way."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from app.core.errors import AppError
from app.core.records import Exchange
from app.store import exchanges, keycheck, segments
from app.store.journal_form import BEGUN, CLOSED, COMMITTED, ENDED, OPENED, TRIMMED, Begun, begun_of, list_of
from app.system.files import open_own, read_own

KEY_MARK: Final = b"GHJK"
_NAME: Final = re.compile(r"(\d{8,})\.journal")


@dataclass(frozen=True, slots=True)
class Replay:
    """What the run before left. closed: finished rows whose commit is not known (recording one again is harmless).

    interrupted: exchanges that never closed, as far as they were known. damage: what could not be read, in sentences, or "".
    clean: that run stopped in an orderly way, or there was none.
    """

    closed: tuple[Exchange, ...] = ()
    interrupted: tuple[Exchange, ...] = ()
    damage: str = ""
    clean: bool = True


@dataclass(slots=True)
class Segment:
    """A file of the journal. ids: the exchanges it speaks of that are not known to be committed."""

    number: int
    path: Path
    ids: set[str] = field(default_factory=set)
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """segments: oldest first. last_number: the highest number in use. last_count: (number, records) of the newest readable one."""

    replay: Replay
    segments: list[Segment]
    last_number: int
    last_count: tuple[int, int]


@dataclass(slots=True)
class _Read:
    segment: Segment
    contents: segments.Contents
    begun: Begun | None
    bytes: int


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.journal"


def read(folder: Path, key: bytes) -> Found:
    """Read every segment in `folder`; nothing is changed but the key file, which is made when it is missing.

    AppError store_wrong_key when what is there was written under another key. OSError when a file cannot be read.
    """
    everything = [_read_segment(path, int(number[1]), key) for path in folder.iterdir() if (number := _NAME.fullmatch(path.name))]
    everything.sort(key=lambda one: one.segment.number)
    known_folder = _check_key(folder / "key", key, everything)
    last_number = max((one.segment.number for one in everything), default=0)

    readable = [one for one in everything if one.begun is not None]
    newest = readable[-1].begun if readable else None
    trimmed = {number for one in everything for record in one.contents.records if record.startswith(TRIMMED) for number in list_of(record)}
    live = (set(newest.live) if newest else set()) - trimmed
    # A segment whose first record was never written is one whose making was cut short: it holds nothing and nobody counts on it.
    kept = [one for one in everything if one.contents.records or one.contents.damage or one.segment.number in live]

    damage = [_damage_of(one, readable) for one in kept]
    missing = sorted(live - {one.segment.number for one in kept})
    damage += [f"Segment {number} of the journal is missing." for number in missing]
    if known_folder and not everything:
        damage.append("The segments of the journal are missing.")

    closed, interrupted, unreadable = _rows([one for one in kept if one.segment.number not in trimmed])
    if unreadable:
        damage.append(f"{unreadable} records of the journal are not understood.")
    stale = [one.segment for one in everything if one not in kept]
    last_records = readable[-1].contents.records if readable else []
    return Found(
        replay=Replay(
            closed=tuple(closed),
            interrupted=tuple(interrupted),
            damage=" ".join(filter(None, damage)),
            clean=any(record.startswith(ENDED) for record in last_records) if readable else not kept and not known_folder,
        ),
        segments=sorted([*stale, *(one.segment for one in kept)], key=lambda segment: segment.number),
        last_number=last_number,
        last_count=(readable[-1].segment.number, readable[-1].contents.count) if readable else (0, 0),
    )


def _read_segment(path: Path, number: int, key: bytes) -> _Read:
    data = read_own(path)
    contents = segments.read(data, key, number)
    begun = begun_of(contents.records[0]) if contents.records else None
    return _Read(Segment(number, path, damaged=bool(contents.damage)), contents, begun, len(data))


def _check_key(path: Path, key: bytes, everything: list[_Read]) -> bool:
    """Whether the folder was in use before. The key file alone decides only when no segment can be read."""
    head = read_own(path) if os.path.lexists(path) else b""
    judgement = keycheck.judged(KEY_MARK, key, head)
    if judgement == "right":
        return True
    if not any(one.contents.records for one in everything) and (judgement == "wrong" or any(one.bytes for one in everything)):
        raise AppError(
            "store_wrong_key",
            "The journal was written under another master key.",
            "Restore the key that belongs to this data folder. Nothing was changed.",
        )
    part = path.with_name("key.part")
    with os.fdopen(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(keycheck.made(KEY_MARK, key, os.urandom(4)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return bool(everything)


def _damage_of(one: _Read, readable: list[_Read]) -> str:
    """What is wrong with a segment, in a sentence, or ""; marks it as damaged so that it is kept."""
    number, contents = one.segment.number, one.contents
    found = [contents.damage] if contents.damage else []
    following = next((later.begun for later in readable if later.begun is not None and later.begun.previous == number), None)
    if following is not None and following.records > contents.count:
        found.append(f"{following.records - contents.count} records at its end are missing")
    if contents.records and one.begun is None and not contents.damage:
        found.append("its first record is missing")
    if not found:
        return ""
    one.segment.damaged = True
    return f"Segment {number} of the journal is damaged: {', '.join(found)}. It is kept as damaged-{one.segment.path.name}."


def _rows(everything: list[_Read]) -> tuple[list[Exchange], list[Exchange], int]:
    """Closed and interrupted rows that are not known to be committed, and how many rows are not understood."""
    opened: dict[str, tuple[tuple[str, ...], list[Any]]] = {}
    closed: dict[str, tuple[tuple[str, ...], list[Any]]] = {}
    committed: set[str] = set()
    for one in everything:
        fields = one.begun.fields if one.begun is not None else exchanges.FIELDS
        for record in one.contents.records:
            kind, values = record[:1], [] if record.startswith(BEGUN) else list_of(record)
            if kind in (OPENED, CLOSED):
                (opened if kind == OPENED else closed)[values[0]] = (fields, values)
                one.segment.ids.add(values[0])
            elif kind == COMMITTED:
                committed.update(values)
    for one in everything:
        one.segment.ids -= committed
    finished: list[Exchange] = []
    interrupted: list[Exchange] = []
    unreadable = 0
    for identifier, (fields, values) in closed.items():
        if identifier not in committed:
            try:
                finished.append(_exchange(fields, values))
            except (TypeError, ValueError):
                unreadable += 1
    for identifier, (fields, values) in opened.items():
        if identifier not in committed and identifier not in closed:
            try:
                interrupted.append(replace(_exchange(fields, values), outcome="interrupted"))
            except (TypeError, ValueError):
                unreadable += 1
    return finished, interrupted, unreadable


def _exchange(fields: tuple[str, ...], values: list[Any]) -> Exchange:
    return exchanges.of_flat(values) if fields == exchanges.FIELDS else exchanges.of_named(fields, values)
