"""What the control channel is told of the network, worked out of facts and records: layers, level, destinations. Pure, but that it asks
whether our own tripwire is armed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from app.control import contract
from app.core.records import AuditEntry, DestinationUse, EgressRecord, RefusedAttempt
from app.egress import tripwire
from app.system import landlock
from app.system.sandbox import FILES_TRIED, Locks


def process(each: dict[str, Any]) -> contract.ProcessView:
    if each["locks"] is None:
        return contract.ProcessView(role=each["role"], pid=each["pid"], measured=False, level="guarded")
    locks = Locks.of(each["locks"])
    return contract.ProcessView(
        role=each["role"], pid=each["pid"], measured=True, level=locks.level, seccomp=locks.seccomp, landlock=locks.landlock,
        landlock_version=locks.landlock_version, hidden=locks.hidden, open=locks.open, reach=locks.reach,
    )  # fmt: skip


def locked(processes: tuple[contract.ProcessView, ...]) -> list[contract.ProcessView]:
    """Those that the kernel is to hold: engine and window. The keeper dials; a vault child lives for seconds and is not asked."""
    return [each for each in processes if each.role in ("engine", "window")]


def level_before(entry: AuditEntry | None) -> str:
    """The level that was written down last, "" for none."""
    detail = entry.body.get("detail") if entry is not None else None
    return str(detail.get("after", "")) if isinstance(detail, dict) else ""


def level_of(processes: tuple[contract.ProcessView, ...]) -> tuple[str, str]:
    """The lowest of what was measured, and why it is not higher."""
    asks = ""
    for each in locked(processes):
        if not each.measured:
            return "guarded", f"The {each.role} has not said how it is locked."
        if each.level == "desktop":
            asks = f"The {each.role} can ask other programs: {', '.join(each.reach)}."
        elif each.level != "kernel":
            left = f"the system did not refuse {', '.join(each.open)}" if each.open else "its lock is not there"
            return "guarded", f"The {each.role} is not wholly locked: {each.seccomp or left}."
    if not any(each.role == "engine" for each in processes):
        return "guarded", "No engine is running."
    return ("desktop", asks) if asks else ("kernel", "")


def layers(processes: tuple[contract.ProcessView, ...], facts: dict[str, Any]) -> tuple[contract.LayerView, ...]:
    held = locked(processes)
    reason = _unfiltered(held)
    asked = [f"open to the {each.role}: {', '.join(each.reach)}" for each in held if each.reach]
    number = min((each.landlock_version for each in held), default=0)
    belt, belt_reason = _belt(held, number)
    watching = "watching" if facts["looks"] else "missing"
    hidden = f"not shown by the system: {', '.join(facts['hidden'])}" if facts["hidden"] else ""
    return (
        contract.LayerView(
            name="Kernel filter", does="seccomp: no internet sockets", state="missing" if reason else "active", reason=reason
        ),
        contract.LayerView(
            name="Other programs",
            does="seccomp: not asked, not signalled",
            state="missing" if reason else "partial" if asked else "active",
            reason=reason or "; ".join(asked),
        ),
        contract.LayerView(name="Keeper", does="the only process that may connect", state="active"),
        contract.LayerView(
            name="Landlock",
            does=f"no file is changed but its own, no TCP; version {number}" if number else "no file is changed but its own, no TCP",
            state=belt,
            reason=belt_reason,
        ),
        contract.LayerView(
            name="Python tripwire", does="refuses and names the module", state="active" if tripwire.armed() is not None else "missing"
        ),
        contract.LayerView(
            name="Socket table",
            does="the system's, one look a second",
            state="partial" if hidden and watching == "watching" else watching,
            reason=hidden,
        ),
        contract.LayerView(name="Packet filter", does="needs an administrator", state="unused"),
    )


def _unfiltered(held: list[contract.ProcessView]) -> str:
    """Why not all of them are held by the filter, "" when they are."""
    for each in held:
        if not each.measured:
            return f"The {each.role} has not said how it is locked."
        if each.seccomp:
            return f"The {each.role}: {each.seccomp}."
        if left := [name for name in each.open if name not in FILES_TRIED]:
            return f"The {each.role} was not refused {', '.join(left)}."
    return "" if held else "No engine is running."


def _belt(held: list[contract.ProcessView], version: int) -> tuple[str, str]:
    """The state of Landlock, and why it is not more."""
    if not held or any(not each.measured for each in held):
        return "missing", _unfiltered(held)
    for each in held:
        if each.landlock:
            return "missing", f"The {each.role}: {each.landlock}."
        if left := [name for name in each.open if name in FILES_TRIED]:
            return "partial", f"Version {version} of this kernel did not refuse the {each.role} {', '.join(left)}."
    less = landlock.missing(version)
    return ("partial", f"Version {version} of this kernel does not know {', '.join(less)}.") if less else ("active", "")


def destinations(
    facts: dict[str, Any], uses: dict[tuple[str, int, bool], Any], added: dict[str, int]
) -> tuple[contract.DestinationView, ...]:
    places: dict[tuple[str, str, int, bool], list[str]] = {}
    for each in facts["declared"]:
        scheme, _, rest = str(each["destination"]).partition("://")
        name, _, number = rest.rpartition(":")
        places.setdefault((scheme, name.strip("[]"), int(number), bool(each["local"])), []).append(str(each["account"]))
    shown = []
    for (scheme, host, port, local), accounts in places.items():
        use = uses.pop((host, port, local), None)
        first = contract.DestinationView(
            host=host, port=port, scheme=scheme, local=local, accounts=tuple(accounts),
            purpose="Given to a program on this machine or network" if local else "Requests you make",
            added_us=min((added[name] for name in accounts if name in added), default=0),
        )  # fmt: skip
        shown.append(first if use is None else _used(first, use))
    for (host, port, local), use in uses.items():
        gone = contract.DestinationView(host=host, port=port, scheme="", local=local, purpose="Removed since", declared=False)
        shown.append(_used(gone, use))
    return tuple(sorted(shown, key=lambda view: (view.local, -view.connections, view.host)))


def with_live(uses: list[DestinationUse], records: list[EgressRecord], live: list[list[int]], from_us: int) -> list[DestinationUse]:
    """The sums, with what open connections have carried so far."""
    places = {
        record.connection: (record.host, record.port, record.local)
        for record in records
        if record.closed_us is None and record.opened_us >= from_us
    }
    more: dict[tuple[str, int, bool], tuple[int, int]] = {}
    for number, bytes_out, bytes_in in live:
        if place := places.get(number):
            before = more.get(place, (0, 0))
            more[place] = (before[0] + bytes_out, before[1] + bytes_in)
    return [
        replace(use, bytes_out=use.bytes_out + added[0], bytes_in=use.bytes_in + added[1])
        for use in uses
        for added in [more.get((use.host, use.port, use.local), (0, 0))]
    ]


def _used(view: contract.DestinationView, use: Any) -> contract.DestinationView:
    return msgspec.structs.replace(
        view, connections=use.connections, bytes_out=use.bytes_out, bytes_in=use.bytes_in, last_us=use.last_us, tls=use.tls,
        issuer=use.issuer, issuer_changed=use.issuer_changed,
    )  # fmt: skip


def stranger(each: dict[str, Any]) -> str:
    return (
        f"The {each.get('process')} has a socket that nothing explains: {each.get('protocol')} {each.get('local')} to {each.get('remote')}."
    )


def fresh(refused: list[RefusedAttempt]) -> list[int]:
    """How often each was tried: reports of the same attempt carry growing counts."""
    highest: dict[tuple[str, str, str], int] = {}
    dials = 0
    for each in refused:
        if each.rule != "tripwire":
            dials += 1
            continue
        key = (each.process, each.what, each.target)
        highest[key] = max(highest.get(key, 0), each.count)
    return [dials, *highest.values()]
