"""How observations become a judgement (pure): each function returns `Seen`, and can say no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.attacks.judge import MB
from tests.attacks.registry import Seen

# What keeper.log may hold, with the file that was put aside: twice what it is cut at, and a tick's worth of lines.
LOG: Final = 16 * MB
# What the keeper may hold more than before, whatever it is sent.
KEEPER: Final = 64 * MB


def names(found: Iterable[str], most: int = 5) -> str:
    known = list(found)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def untouched(changed: Sequence[str], tried: int) -> Seen:
    """changed: places outside of the own folder that are not as they were. tried: attempts that were made."""
    if not tried:
        return Seen(False, "nothing was tried")
    return Seen(not changed, f"{len(changed)} changed: {names(changed)}" if changed else f"{tried} attempts, nothing changed")


def refused(said: Mapping[str, str], but: Iterable[str] = ()) -> Seen:
    """What code tried and said became of it; all must have failed. but: names whose success is no harm."""
    tried = {name: what for name, what in said.items() if name not in ("began", "ended", *but)}
    went = [f"{name} ({what})" if what != "went" else name for name, what in tried.items() if what.startswith("went")]
    if not tried:
        return Seen(False, "nothing was tried")
    return Seen(not went, f"{len(went)} of {len(tried)} went: {names(went)}" if went else f"{len(tried)} attempts refused")


def silent(reached: Sequence[str], ran: Sequence[str] = ()) -> Seen:
    """reached: what arrived where nothing is declared. ran: plants that were run."""
    if reached or ran:
        return Seen(False, "; ".join(filter(None, [f"reached: {names(reached)}" if reached else "", f"run: {names(ran)}" if ran else ""])))
    return Seen(True, "nothing ran, nothing was reached")


def locked(statuses: Mapping[str, Mapping[str, str]]) -> Seen:
    """What the system shows of each process of ours that must have a filter, by role: /proc/PID/status."""
    bare = [role for role, status in statuses.items() if status.get("Seccomp") != "2" or status.get("NoNewPrivs") != "1"]
    if not statuses:
        return Seen(False, "no process was looked at")
    return Seen(not bare, f"without a filter: {names(bare)}" if bare else f"{names(statuses)} locked")


def held_or_shown(reached: Sequence[str], marks: Mapping[str, bool]) -> Seen:
    """Stopped before anything was reached; or else it must have been said. marks: where it should be said, and whether it is."""
    silent_at = [name for name, there in marks.items() if not there]
    if reached:
        return Seen(False, f"reached: {names(reached)}" + (f"; not shown by {names(silent_at)}" if silent_at else "; shown"))
    return Seen(not silent_at, f"stopped, but not shown by {names(silent_at)}" if silent_at else "stopped and shown")


def honest(did: Sequence[str], view: Mapping[str, Any]) -> Seen:
    """What the window did that its lock should have stopped; where it did, its level may not read as the kernel's. view: the page."""
    windows = [each for each in view.get("processes", ()) if each.get("role") == "window"]
    level = windows[0].get("level", "") if windows else "not shown"
    if not did:
        return Seen(True, f"refused; the page says {level}")
    words = f"done: {names(did)}; the page calls the window's level {level!r}, {view.get('level_reason') or 'without a reason'!r}"
    return Seen(bool(windows) and level not in ("kernel", ""), words)


def unharmed(before: Mapping[str, Mapping[str, object]], after: Mapping[str, Mapping[str, object]]) -> Seen:
    """How the system treats other programs, by their names, before and after."""
    bad = [f"{name}: {fact}" for name, facts in before.items() for fact in facts if after.get(name, {}).get(fact) != facts[fact]]
    if not any(before.values()):
        return Seen(False, "nothing was looked at")
    return Seen(not bad, f"changed: {names(bad)}" if bad else f"{names(before)} as before")


def goes_on(*, answers: bool, second: int, grown: int, logs: int, most: int = KEEPER) -> Seen:
    """The keeper after a flood. second: exit code of another launch, which it must answer (3). grown, logs: bytes."""
    bad = []
    if not answers:
        bad.append("no status")
    if second != 3:
        bad.append(f"another launch gave {second}")
    if grown > most:
        bad.append(f"memory {grown / MB:+.0f} MB")
    if logs > LOG:
        bad.append(f"{logs / MB:.0f} MB of log")
    return Seen(not bad, "; ".join(bad) if bad else f"answers, memory {grown / MB:+.0f} MB, {logs / MB:.1f} MB of log")


def kept(log: str, needle: str) -> Seen:
    """The line that matters is in the log after everything that came later."""
    return Seen(needle in log, f"the log still says {needle!r}" if needle in log else f"the log no longer says {needle!r}")
