"""What the Network page says, in words: from the engine's view to lines. Nothing here claims more than was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final, Literal

from app.control.contract import DestinationView, LeakAttempt, NetworkView
from app.control.report import LEVELS
from app.gui import format as fmt
from app.gui import spans
from app.gui.checks import Command, Platform, commands
from app.gui.state import only_here
from app.gui.words import plural, tr

CHECKED: Final = ("SSLKEYLOGFILE", "LD_PRELOAD", "HTTPS_PROXY")
Period = Literal["start", "today", "days"]
PERIODS: Final[tuple[Period, ...]] = ("start", "today", "days")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a card: what it is, what is said about it, and its state. tone: ok, wa, er or an ink; tx makes a figure of the state."""

    key: str
    name: str
    words: str
    glyph: str = ""
    state: str = ""
    tone: str = "tx3"
    below: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The whole page. tone: ok for the kernel's level, in for a lower one, er when something is red."""

    level: str
    glyph: str
    tone: str
    since: str
    verdict: str
    explanation: str
    red: tuple[str, ...]
    removed: str
    destinations: tuple[DestinationView, ...]
    refused_count: str
    refused: tuple[Line, ...]
    layers: tuple[Line, ...]
    books: tuple[Line, ...]
    books_glyph: str
    books_state: str
    books_tone: str
    books_below: str
    listening: tuple[Line, ...]
    names: tuple[Line, ...]
    environment: tuple[Line, ...]
    commands: Mapping[Platform, tuple[Command, ...]]
    cannot: tuple[str, ...]


def begins(period: Period, now_us: int, zone: tzinfo | None = None) -> int:
    """When a period began, in local days; 0 for the start of the gateway. zone: None for this machine's."""
    if period == "start":
        return 0
    return spans.span(period, now_us, zone).since_us or 0


def present(view: NetworkView, now_us: int, period: Period = "start") -> Words:
    red = (*view.unexplained, *view.books.mismatches)
    gaps = tr("no gaps") if not view.gaps else plural(len(view.gaps), "{n} gap in observation", "{n} gaps in observation")
    return Words(
        level=tr(LEVELS.get(view.level, LEVELS["guarded"])),
        glyph="lock-key-fill" if view.level in ("kernel", "desktop") else "eye",
        tone="ok" if view.level == "kernel" else "in",
        since=tr("Since {when}, {time}, {gaps}", when=fmt.moment(view.since_us, now_us), time=fmt.lasted(view.since_us, now_us), gaps=gaps),
        verdict=_verdict(view, red, period),
        explanation=_explanation(view),
        red=red,
        removed=tr(
            "Removed before it left: {headers} headers and {identifiers} identifiers, from {requests} requests.",
            headers=fmt.count(view.removed_headers),
            identifiers=fmt.count(view.removed_identifiers),
            requests=fmt.count(view.removed_from),
        ),
        destinations=view.destinations,
        refused_count=str(view.refused_count),
        refused=_refused(view, now_us),
        layers=tuple(_layer(each.name, each.does, each.state, each.reason) for each in view.layers),
        books=(
            Line("ledger", tr("Named by requests"), "", state=fmt.count(view.books.ledger), tone="tx"),
            Line("records", tr("Egress records"), "", state=fmt.count(view.books.records), tone="tx"),
            Line("keeper", tr("Dialled by the keeper"), "", state=fmt.count(view.books.keeper), tone="tx"),
            Line("seen", tr("Seen by the system"), "", state=fmt.count(view.books.seen), tone="tx"),
        ),
        books_glyph="x-circle-fill" if red else "check-circle-fill",
        books_state=tr("Do not agree") if red else tr("Agree"),
        books_tone="er" if red else "ok",
        books_below=_between(view),
        listening=_listening(view),
        names=tuple(
            Line(
                each.name,
                each.name,
                plural(each.times, "asked once", "asked {n} times"),
                state=fmt.moment(each.last_us, now_us),
                tone="tx2",
            )
            for each in view.names
        ),
        environment=_environment(view),
        commands=commands(view),
        cannot=(
            tr("Providers see the prompts you send them, with whatever names, paths and facts they hold."),
            tr("Your DNS resolver sees the names of these hosts."),
            tr("A local server may itself pass on what it is given."),
            tr("The engine can read the files that you can read: code that got into it could send them to a host you added."),
            tr("What the desktop's programs send when the window asks them for something, as every desktop app can."),
            tr("Other programs on this machine are out of scope. Connected clients may have telemetry of their own."),
            tr("A modified copy of this app could lie. That is what the commands are for."),
        ),
    )


def _verdict(view: NetworkView, red: tuple[str, ...], period: Period) -> str:
    if red:
        return plural(len(red), "One thing here is not explained.", "{n} things here are not explained.")
    lead = {"start": "", "today": tr("Today: "), "days": tr("30 days: ")}[period]
    # Only of the time since it was measured may it be said that nothing else was possible, and of other programs never.
    held = view.level in ("kernel", "desktop")
    proved = held and not _reaches_back(view)
    if not view.connections:
        if not proved:
            return lead + tr("No connection seen yet.")
        return lead + (tr("No connection yet. None to anything.") if view.level == "kernel" else tr("No connection of Gatehouse yet."))
    count = plural(view.connections, "{n} connection", "{n} connections")
    places = {"n": count, "places": _places(view)}
    if proved and view.level == "kernel":
        return lead + tr("{n}, all to {places}. None to anything else.", **places)
    if proved:
        return lead + tr("{n}, all to {places}. Gatehouse made no other.", **places)
    return lead + (tr("{n}, all to {places}.", **places) if held else tr("{n} seen, all to {places}.", **places))


def _places(view: NetworkView) -> str:
    if not view.hosts:
        return plural(view.local_hosts, "a server of your own", "{n} servers of your own")
    local = tr(" and {n} of your own", n=view.local_hosts) if view.local_hosts else ""
    return tr("{hosts} you added{local}", hosts=fmt.hosts(view.hosts), local=local)


def _reaches_back(view: NetworkView) -> bool:
    """Whether the period holds time before this run."""
    return view.from_us < view.since_us


def _explanation(view: NetworkView) -> str:
    before = " " + tr("What was before this start is from the records of earlier runs.") if _reaches_back(view) else ""
    sockets = tr(
        "The window and the engine have no internet sockets and change files in their own folders alone. One process, the keeper, opens "
        "connections, only to hosts you added."
    )
    why = f"{view.level_reason} " if view.level_reason else ""
    if view.level == "kernel":
        return sockets + before
    if view.level == "desktop":
        asks = tr(
            "The engine can reach no other program. {why}Every desktop app can, and code in the window could have them connect for it. "
            "With “gatehouse serve” there is no window.",
            why=why,
        )
        return f"{sockets} {asks}{before}"
    return (
        why
        + tr("The keeper and the tripwire refuse other hosts, and the system's table is watched. Native code is observed, not stopped.")
        + before
    )


def _refused(view: NetworkView, now_us: int) -> tuple[Line, ...]:
    """One line for what was tried again and again, with its last time."""
    lines: dict[tuple[str, str, str, str], Line] = {}
    times: dict[tuple[str, str, str, str], int] = {}
    for each in view.refused:
        wire = each.rule == "tripwire"
        key = (each.process, each.what, each.target, each.sentence)
        times[key] = max(times.get(key, 0), each.count) if wire else times.get(key, 0) + 1
        if key not in lines:
            asked = tr("Asked by {modules}", modules=" < ".join(_modules(each.stack))) if each.stack else ""
            words = tr("{process}: {what}", process=each.process, what=each.what) if wire else each.sentence
            name = each.target.partition("://")[2] or each.target
            lines[key] = Line(f"{each.at_us}-{len(lines)}", name, words, "prohibit", fmt.moment(each.at_us, now_us), below=asked)
    return tuple(
        line if times[key] == 1 else replace(line, words=tr("{words} ({n} times)", words=line.words, n=fmt.count(times[key])))
        for key, line in lines.items()
    )


def _modules(stack: tuple[str, ...]) -> list[str]:
    """The first three that say who wanted it: not Python's own."""
    own = re.compile(r"(socket|subprocess|asyncio|threading|concurrent|contextlib|runpy)\b")
    telling = [frame for frame in stack if not own.match(frame)]
    return (telling or list(stack))[:3]


def _layer(name: str, does: str, state: str, reason: str) -> Line:
    glyph, word, tone = {
        "active": ("check-circle-fill", tr("Active"), "ok"),
        "watching": ("check-circle-fill", tr("Watching"), "ok"),
        "partial": ("eye", tr("In part"), "wa"),
        "missing": ("minus-circle-fill", tr("Not active"), "wa"),
        "unused": ("minus-circle-fill", tr("Not used"), "tx3"),
    }[state]
    return Line(name, name, reason or does, glyph, word, tone)


def _between(view: NetworkView) -> str:
    books = view.books
    parts = []
    if (idle := books.records - books.ledger) > 0:
        parts.append(tr("{n} carried no request of a client.", n=fmt.count(idle)))
    if (missed := books.keeper - books.seen) > 0:
        parts.append(tr("{n} closed between two looks.", n=fmt.count(missed)))
    if books.not_compared:
        parts.append(tr("{n} ended with a crash and cannot be compared.", n=books.not_compared))
    if books.hidden:
        parts.append(
            tr("The system does not show us the sockets of: {names}. Two books agree; with sudo, three do.", names=", ".join(books.hidden))
        )
    parts.append(tr("{n} sockets without a record.", n=len(view.unexplained)))
    return " ".join(parts)


def _listening(view: NetworkView) -> tuple[Line, ...]:
    lines = []
    for each in view.listening:
        why = {
            "gateway": tr("The gateway that your clients call"),
            "control": tr("Window and command line talk to the engine"),
        }.get(each.kind, tr("Nothing of ours explains this one"))
        reach = tr("your user only") if each.kind == "control" else tr("this machine only")
        reach = reach if only_here((each.address,)) else tr("other machines, too")
        words = tr("{process}, pid {pid} · {why}", why=why, process=each.process, pid=each.pid)
        lines.append(Line(each.address, _short(each.address), words, state=reach, tone="tx2"))
    return tuple(lines)


def _short(place: str) -> str:
    """A path by its last two parts."""
    parts = place.split("/")
    return place if len(parts) <= 3 else f"…/{'/'.join(parts[-2:])}"


def _environment(view: NetworkView) -> tuple[Line, ...]:
    found = [Line(name, name, tr("Set, not passed on."), "minus-circle-fill", tr("Ignored"), "tx3") for name in view.environment]
    clear = [Line(name, name, tr("Not set."), "check-circle-fill", tr("Clear"), "ok") for name in CHECKED if name not in view.environment]
    changed = [f"{each.host}" for each in view.destinations if each.issuer_changed]
    if changed:
        tls = Line(
            "tls", tr("TLS issuers"), tr("Another than at first: {hosts}", hosts=", ".join(changed)), "warning-fill", tr("Changed"), "wa"
        )
    else:
        tls = Line("tls", tr("TLS issuers"), tr("Same as at first."), "check-circle-fill", tr("Unchanged"), "ok")
    return (*found, *clear, tls)


def address(each: DestinationView) -> str:
    return f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}"


def leak(attempt: LeakAttempt) -> tuple[str, str, str]:
    """Glyph, words and tone of one line of the self-test."""
    if attempt.must_pass:
        if attempt.good:
            return "check-circle-fill", tr("Got through, as it must"), "ok"
        return "x-circle-fill", tr("Did not get through: this test proves nothing"), "er"
    words = {
        "kernel": tr("Stopped by the kernel filter"),
        "tripwire": tr("Stopped by the tripwire"),
        "keeper": tr("Refused by the keeper"),
        "absent": tr("No such way in this program"),
        "stopped": tr("Failed by itself"),
    }
    if attempt.good:
        return "check-circle-fill", words.get(attempt.result, attempt.result), "ok"
    return "x-circle-fill", tr("Got out"), "er"
