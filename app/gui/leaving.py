"""What the Network page says, in words: from the engine's view to lines. Nothing here claims more than was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.control.contract import DestinationView, LeakAttempt, NetworkView
from app.gui import format as fmt
from app.gui.words import tr

CHECKED: Final = ("SSLKEYLOGFILE", "LD_PRELOAD", "HTTPS_PROXY")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a card: what it is, what is said about it, and its state. tone: ok, wa, er or an ink."""

    key: str
    name: str
    words: str
    glyph: str = ""
    state: str = ""
    tone: str = "tx3"
    below: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    text: str


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
    commands: tuple[Command, ...]
    cannot: tuple[str, ...]


def present(view: NetworkView, now_us: int) -> Words:
    red = (*view.unexplained, *view.books.mismatches)
    kernel = view.level == "kernel"
    hosts = fmt.hosts(view.hosts)
    gaps = tr("no gaps") if not view.gaps else tr("{n} gaps in observation", n=len(view.gaps))
    return Words(
        level=tr("Enforced by the kernel") if kernel else tr("Guarded and observed"),
        glyph="lock-key-fill" if kernel else "eye",
        tone="ok" if kernel else "in",
        since=tr("Since {when}, {time}, {gaps}", when=fmt.moment(view.since_us, now_us), time=fmt.lasted(view.since_us, now_us), gaps=gaps),
        verdict=_verdict(view, hosts, red, kernel=kernel),
        explanation=_explanation(view, kernel=kernel),
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
            Line("ledger", tr("Requests in the ledger"), "", state=fmt.count(view.books.ledger)),
            Line("records", tr("Egress records"), "", state=fmt.count(view.books.records)),
            Line("keeper", tr("Made by the keeper"), "", state=fmt.count(view.books.keeper)),
            Line("seen", tr("Seen by the system"), "", state=fmt.count(view.books.seen)),
        ),
        books_glyph="x-circle-fill" if red else "check-circle-fill",
        books_state=tr("Do not agree") if red else tr("Agree"),
        books_tone="er" if red else "ok",
        books_below=_between(view),
        listening=_listening(view),
        names=tuple(
            Line(each.name, each.name, tr("asked {n} times", n=fmt.count(each.times)), state=fmt.moment(each.last_us, now_us))
            for each in view.names
        ),
        environment=_environment(view),
        commands=commands(view),
        cannot=(
            tr("Providers see the prompts you send them, with whatever names, paths and facts they hold."),
            tr("Your DNS resolver sees the names of these hosts."),
            tr("A local server may itself pass on what it is given. Desktop services can be reached from the window."),
            tr("Other programs on this machine are out of scope. Connected clients may have telemetry of their own."),
            tr("A modified copy of this app could lie. That is what the commands are for."),
        ),
    )


def _verdict(view: NetworkView, hosts: str, red: tuple[str, ...], *, kernel: bool) -> str:
    if red:
        return tr("{n} things here are not explained.", n=len(red)) if len(red) > 1 else tr("One thing here is not explained.")
    count = fmt.count(view.connections)
    if not view.connections:
        return tr("No connection yet. None to anything.") if kernel else tr("No connection seen yet.")
    local = tr(" and {n} of your own", n=view.local_hosts) if view.local_hosts else ""
    words = {"n": count, "hosts": hosts, "local": local}
    if kernel:
        return tr("{n} connections, all to {hosts} you added{local}. None to anything else.", **words)
    return tr("{n} connections seen, all to {hosts} you added{local}.", **words)


def _explanation(view: NetworkView, *, kernel: bool) -> str:
    if kernel:
        return tr(
            "The window and the engine have no internet sockets. One process, the keeper, opens connections, only to hosts you added."
        )
    why = f"{view.level_reason} " if view.level_reason else ""
    return why + tr(
        "The keeper and the tripwire refuse other hosts, and the system's table is watched. Native code is observed, not stopped."
    )


def _refused(view: NetworkView, now_us: int) -> tuple[Line, ...]:
    lines = []
    for number, each in enumerate(view.refused):
        asked = tr("Asked by {modules}", modules=" < ".join(_modules(each.stack))) if each.stack else ""
        words = (
            each.sentence
            if each.rule != "tripwire"
            else tr("{process}: {what} ({n} times)", process=each.process, what=each.what, n=each.count)
        )
        when = fmt.moment(each.at_us, now_us)
        lines.append(Line(f"{each.at_us}-{number}", each.target, words, "prohibit", when, below=asked))
    return tuple(lines)


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
    missed = books.keeper - books.seen
    if missed > 0:
        parts.append(tr("{n} closed between two looks.", n=missed))
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
        why = tr("The gateway that your clients call") if each.kind == "gateway" else tr("Window and command line talk to the engine")
        reach = tr("this machine only") if each.kind == "gateway" else tr("your user only")
        lines.append(
            Line(each.address, each.address, tr("{why} · {process}, pid {pid}", why=why, process=each.process, pid=each.pid), state=reach)
        )
    return tuple(lines)


def _environment(view: NetworkView) -> tuple[Line, ...]:
    found = [
        Line(name, name, tr("Set where Gatehouse was started. Not passed on."), "minus-circle-fill", tr("Ignored"), "tx3")
        for name in view.environment
    ]
    clear = [Line(name, name, tr("Not set."), "check-circle-fill", tr("Clear"), "ok") for name in CHECKED if name not in view.environment]
    changed = [f"{each.host}" for each in view.destinations if each.issuer_changed]
    if changed:
        tls = Line(
            "tls", tr("TLS issuers"), tr("Another than at first: {hosts}", hosts=", ".join(changed)), "warning-fill", tr("Changed"), "wa"
        )
    else:
        tls = Line("tls", tr("TLS issuers"), tr("Same as when each host was first used."), "check-circle-fill", tr("Unchanged"), "ok")
    return (*found, *clear, tls)


def commands(view: NetworkView) -> tuple[Command, ...]:
    """Tools we did not write, with the processes that run now."""
    pids = {each.role: each.pid for each in view.processes}
    every = "|".join(str(pid) for pid in pids.values())
    ports = sorted({each.port for each in view.destinations if not each.local and each.declared})
    hosts = " or ".join(f"host {each.host}" for each in view.destinations if not each.local and each.declared)
    engine = pids.get("engine", 0)
    return (
        Command(tr("Sockets of these processes now"), f'sudo ss -tunp | grep -E "pid=({every})"'),
        Command(tr("Every network call of the engine"), f"sudo strace -f -e trace=network -p {engine}"),
        Command(tr("The lock on the engine"), f"grep -E 'Seccomp|NoNewPrivs' /proc/{engine}/status"),
        Command(
            tr("Packets, from outside the app"), f'sudo tcpdump -n -i any "not ({hosts})"' if hosts and ports else "sudo tcpdump -n -i any"
        ),
        Command(tr("Whole app in a sealed network"), "unshare -Urnm python -m tests.packet.inside result.json"),
    )


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
