"""What Activity says of the requests that are loaded, and its columns. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.records import Exchange
from app.gui import exchanges
from app.gui import format as fmt
from app.gui.cells import Column
from app.gui.state import State, closed
from app.gui.words import plural, tr


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is loaded. total: how many there are in that time by the sums, None while not known. exact: the sums count just what is
    asked for. plain: nothing is filtered, and any time is wanted. words: of the time."""

    loaded: int
    more: bool = False
    settled: bool = True
    total: int | None = None
    exact: bool = True
    plain: bool = True
    waiting: int = 0
    paused: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class View:
    remark: str
    live: str
    live_glyph: str
    live_tone: str
    pause: str
    foot: str
    empty: tuple[str, str] | None
    can_send: bool
    can_clear: bool


def present(state: State, shown: Shown, live: bool = True) -> View:
    """live: the time that is shown goes on to the present."""
    snapshot = state.snapshot
    today = snapshot.today.requests if snapshot is not None else 0
    if shown.paused:
        word, glyph, tone = tr("Paused"), "pause", "wa"
    elif not state.live:
        word, glyph, tone = tr("Not connected"), "minus-circle", "tx3"
    elif not live:
        word, glyph, tone = tr("Past"), "minus-circle", "tx3"
    else:
        word, glyph, tone = tr("Live"), "record-fill", "ok"
    pause = tr("Pause")
    if shown.paused:
        pause = plural(shown.waiting, "Resume, {n} new", "Resume, {n} new") if shown.waiting else tr("Resume")
    empty = _empty(state, shown)
    return View(
        remark=tr("{n} today", n=f"{today:,}") if snapshot is not None else "",
        live=word,
        live_glyph=glyph,
        live_tone=tone,
        pause=pause,
        foot="" if empty is not None else _foot(shown),
        empty=empty,
        can_send=state.works and snapshot is not None and snapshot.state == "running" and not state.is_busy("echo"),
        can_clear=not shown.plain,
    )


def _foot(shown: Shown) -> str:
    """16 of 61 in the last hour. Never a total that was not counted."""
    if not shown.settled:
        return tr("Looking…")
    loaded, total = f"{shown.loaded:,}", f"{max(shown.loaded, shown.total or 0):,}"
    if not shown.more and shown.exact:
        return plural(shown.loaded, "{n} request {words}", "{n} requests {words}", words=shown.words)
    if shown.total is not None and (shown.exact or not shown.more):
        words = tr("{loaded} of {total} {words}", loaded=loaded, total=total, words=shown.words)
    else:
        words = tr("{loaded} found {words}", loaded=loaded, words=shown.words)
    return tr("{words}, older ones as you scroll", words=words) if shown.more else words


def _empty(state: State, shown: Shown) -> tuple[str, str] | None:
    if shown.loaded:
        return None
    shut = closed(state)
    if shut is not None:
        return shut.fact, shut.sentence
    if not state.live or state.snapshot is None:
        return tr("Not connected"), tr("The gateway is not answering. Nothing is lost meanwhile.")
    if not shown.settled:
        return None
    if shown.plain:
        since = fmt.clock(state.snapshot.started_us)[:5]
        return tr("Waiting for the first request"), tr("Listening on {address} since {time}.", address=state.address, time=since)
    if shown.exact and not shown.total:
        return tr("No request {words}", words=shown.words), tr("What closes from now on appears here.")
    return tr("No request matches"), tr("Nothing {words} fits what is chosen above.", words=shown.words)


def columns(now_us: list[int]) -> tuple[Column[Exchange], ...]:
    """now_us: a list of one, the present moment, which decides whether a time shows its day."""
    return (
        Column(tr("Time"), lambda row: exchanges.time_cell(row, now_us[0]), sample="18 Nov 14:32", least=86),
        Column(tr("Client"), exchanges.client_cell, sample="Claude Code", least=86),
        Column(tr("Asked → served"), exchanges.asked_cell, least=150),
        Column(tr("Provider"), exchanges.provider_cell, sample="gatehouse m", least=70, low=2),
        Column(tr("Status"), exchanges.code_cell, sample="499 mm", least=62),
        Column(tr("In / out"), exchanges.tokens_cell, sample="12.4k / 1.1k", number=True, least=84, low=1),
        Column(tr("Cost"), exchanges.cost_cell, sample="<$0.00001", number=True, least=56),
        Column(tr("TTFT, s"), exchanges.first_byte_cell, sample="0.004", number=True, least=50),
        Column(tr("Took, s"), exchanges.took_seconds_cell, sample="0.004", number=True, least=64),
    )
