"""An entry of the audit log in words and cells: the same for the timeline and for the entry in full. Pure."""

from __future__ import annotations

from typing import Final

from app.control.contract import AuditEntry
from app.core.stuck import Stuck
from app.gui import format as fmt
from app.gui.cells import Cell
from app.gui.words import plural, tr

_TITLES: Final = {
    "gateway.started": "Gateway started",
    "gateway.stopped": "Gateway stopped",
    "gateway.quit_asked": "Asked to quit",
    "gateway.crash_found": "Crash found",
    "engine.stuck": "Did not answer, ended",
    "provider.added": "Provider added",
    "provider.removed": "Provider removed",
    "provider.key_changed": "Key replaced",
    "provider.tested": "Key tested",
    "client.added": "Client added",
    "client.blocked": "Client blocked",
    "client.unblocked": "Client unblocked",
    "client.removed": "Client removed",
    "client.content_changed": "Keeping of answers changed",
    "client.identifiers_changed": "Handling of identifiers changed",
    "setting.changed": "Setting changed",
    "key.refused": "Key refused",
    "access.refused": "Request turned away",
    "vault.changed": "Vault",
    "vault.refused": "Wrong passphrase",
    "egress.refused": "Connection refused",
    "egress.held": "Destination held",
    "setting.held": "Setting put aside",
    "confirmation.answered": "Confirmation",
    "egress.tripped": "Way out refused",
    "egress.unexplained": "Not explained",
    "egress.level": "Level of protection",
    "egress.self_test": "Leaks tried",
    "egress.report": "Network report signed",
    "ledger.batch": "Requests recorded",
    "ledger.trimming": "Requests about to go",
    "ledger.trimmed": "Requests removed",
    "ledger.repriced": "Costs worked out again",
    "ledger.exported": "Requests exported",
    "price.set": "Price set",
    "audit.verified": "Log verified",
    "audit.exported": "Log exported",
    "audit.pruned": "Log pruned",
    "audit.finding": "Finding in the log",
    "audit.restored": "Went on after a finding",
    "unreadable": "Unreadable",
}
_WRONG: Final = frozenset(
    {
        "engine.stuck",
        "key.refused",
        "access.refused",
        "vault.refused",
        "egress.refused",
        "egress.held",
        "setting.held",
        "egress.tripped",
        "egress.unexplained",
        "audit.finding",
        "unreadable",
    }
)
# Codes of `core.errors` as a person reads them in the log.
_REASONS: Final = {
    "key_missing": "no key",
    "key_malformed": "not a key of Gatehouse",
    "key_unknown": "unknown key",
    "key_blocked": "blocked client",
    "key_in_url": "key in the address",
    "host_not_allowed": "wrong Host header",
    "origin_not_allowed": "asked by a web page",
    "cross_site": "asked by a web page",
    "peer_not_allowed": "another user, or without the token",
    "too_many_connections": "too many connections",
}
_PLACES: Final = {"gateway": "at the gateway", "control": "on the control channel"}
_LEVELS: Final = {
    "kernel": "enforced by the kernel",
    "desktop": "enforced by the kernel, desktop in reach",
    "guarded": "guarded and observed",
}
_IDENTIFIERS: Final = {"pseudonym": "replaced by pseudonyms", "remove": "removed", "pass": "passed on"}
# What a pair of before and after is about, where the entry does not name it.
_FIELDS: Final = {
    "provider.key_changed": "key",
    "client.content_changed": "keeps answers",
    "client.identifiers_changed": "identifiers",
    "egress.level": "level",
    "vault.changed": "state",
    "price.set": "price",
}
# Numbers of entries and of things: written with their thousands apart; a port or a process is a name.
_COUNTED: Final = frozenset({"base", "changed", "count", "got_out", "interrupted", "rows", "seq", "stopped", "upto"})
_PAGES: Final = {"provider": "providers", "client": "clients", "ledger": "activity"}
_ANSWERS: Final = {"confirmed": "Confirmed", "refused": "Refused"}
_SETTINGS: Final = {
    "audit.keep_days": "days the audit log is kept",
    "audit.on_failure": "requests while the log cannot be written",
    "vault.forget_on_lock": "keys are forgotten when the keyring locks",
}


def title(entry: AuditEntry) -> str:
    return tr(_TITLES.get(entry.kind, entry.kind))


def titles() -> dict[str, str]:
    """What each kind of entry is called."""
    return {kind: tr(words) for kind, words in _TITLES.items()}


def who(entry: AuditEntry) -> str:
    return {"person": tr("You"), "gateway": tr("Gatehouse"), "keeper": tr("Gatehouse, keeper")}.get(entry.actor, entry.actor)


def origin(entry: AuditEntry) -> str:
    """From where it was done: "in this window", "on the command line, as anna, process 4711 (python)"."""
    found = entry.body.get("origin")
    if not isinstance(found, dict):
        return tr("by itself")
    via = {"window": tr("in the window"), "command line": tr("on the command line")}.get(
        str(found.get("via")), tr("on the control channel")
    )
    parts = [via]
    if found.get("user"):
        parts.append(tr("as {user}", user=found["user"]))
    if found.get("process"):
        parts.append(tr("process {n} ({program})", n=found["process"], program=found.get("program") or "?"))
    return ", ".join(parts)


def detail(entry: AuditEntry) -> dict[str, object]:
    found = entry.body.get("detail")
    return found if isinstance(found, dict) else {}


def change(entry: AuditEntry) -> tuple[str, str]:
    """What was before, "" where there was nothing, and what is after or what happened."""
    said = detail(entry)

    def get(name: str) -> str:
        value = said.get(name, "")
        return f"{value:,}" if name in _COUNTED and isinstance(value, int) else str(value)

    match entry.kind:
        case "setting.changed":
            return get("before"), tr("{after}: {name}", after=get("after"), name=tr(_SETTINGS.get(get("name"), get("name"))))
        case "provider.key_changed":
            return get("before"), tr("{after} for {name}", after=get("after") or tr("no key"), name=entry.subject)
        case "provider.added":
            return tr("not declared"), f"{entry.subject}, {get('destination')}"
        case "provider.removed":
            return f"{entry.subject}, {get('destination')}", tr("removed")
        case "provider.tested":
            return "", f"{entry.subject}: {get('result')}"
        case "client.added":
            return tr("not allowed"), tr("{name}, key {hint}", name=entry.subject, hint=get("key_hint"))
        case "client.blocked":
            return tr("allowed"), tr("{name} blocked", name=entry.subject)
        case "client.unblocked":
            return tr("blocked"), tr("{name} allowed", name=entry.subject)
        case "client.removed":
            return entry.subject, tr("removed")
        case "client.content_changed":
            words = {True: tr("kept"), False: tr("not kept")}
            return words[said.get("before") is True], tr("{after} for {name}", after=words[said.get("after") is True], name=entry.subject)
        case "client.identifiers_changed":
            before, after = (tr(_IDENTIFIERS.get(get(side), get(side))) for side in ("before", "after"))
            return before, tr("{after} for {name}", after=after, name=entry.subject)
        case "vault.changed":
            return get("before"), f"{get('state')}, {get('place')}"
        case "key.refused" | "access.refused":
            place = get("client") or tr(_PLACES.get(get("where"), get("where")))
            return "", f"{_times(said)}{tr(_REASONS.get(get('reason'), get('reason')))}" + (f", {place}" if place else "")
        case "vault.refused":
            return "", _times(said).strip(" ,") or tr("once")
        case "egress.refused":
            return "", f"{_times(said)}{get('destination')}: {get('reason')}"
        case "egress.held":
            return "", tr("{name} to {place}", name=entry.subject, place=get("destination"))
        case "setting.held":
            return get("found"), tr("{after}: {name}", after=get("used"), name=tr(_SETTINGS.get(get("name"), get("name"))))
        case "confirmation.answered":
            what = f"{entry.subject} {get('value')}".strip() if get("what") == "destination" else f"{get('what')} {get('value')}".strip()
            return "", tr("{answer}: {what}", answer=tr(_ANSWERS.get(get("answer"), get("answer"))), what=what)
        case "egress.level":
            before, after = (tr(_LEVELS.get(get(side), get(side))) for side in ("before", "after"))
            return before, after
        case "egress.tripped":
            return "", tr("{times}{what} to {target}, in the {process}", times=_times(said), **_texts(said, "what", "target", "process"))
        case "egress.unexplained":
            return "", get("sentence")
        case "egress.self_test":
            return "", tr("{stopped} ways stopped, {got_out} got out", **_texts(said, "stopped", "got_out"))
        case "egress.report":
            return "", tr("SHA-256 {digest}", digest=short_hash(get("digest")))
        case "price.set":
            model = entry.subject + (f", {get('model')}" if get("model") else "")
            return get("before") or tr("none"), tr("{after} for {model}", after=get("after") or tr("none"), model=model)
        case "ledger.repriced" if said.get("finished") is False:
            return "", tr("begun")
        case "ledger.repriced":
            sums = [fmt.money(value) if isinstance(value := said.get(f"{side}_microusd"), int) else "" for side in ("before", "after")]
            return sums[0], tr("{sum}, {n} requests changed", sum=sums[1], n=get("changed"))
        case "ledger.exported":
            return "", tr("{n} requests as {form}", n=get("rows"), form=get("form"))
        case "ledger.trimmed":
            return tr("{n} requests", n=get("rows")), tr("removed, their sums stay")
        case "ledger.batch":
            count = said.get("count")
            return "", plural(count, "{n} request", "{n} requests") if isinstance(count, int) else ""
        case "audit.pruned":
            return tr("{n} entries up to {upto}", n=get("count"), upto=get("upto")), tr("removed")
        case "audit.exported":
            return "", tr("{count} entries, up to entry {n}", count=get("entries"), n=get("upto"))
        case "audit.verified":
            return "", get("finding") or tr("{state} to entry {n}", state=get("state"), n=get("seq"))
        case "audit.finding":
            return "", get("sentence")
        case "audit.restored":
            return tr("entry {n}", n=get("base")), tr("a new beginning under a new key")
        case "gateway.started":
            return "", tr("{version}, port {port}", version=get("version"), port=get("port"))
        case "gateway.stopped":
            return "", get("reason")
        case "engine.stuck":
            one = Stuck.of(said)
            return one.work, tr("{n} s without an answer", n=one.silent_s)
        case "gateway.crash_found":
            return "", tr("{n} requests were left open", n=get("interrupted"))
    return "", ", ".join(f"{name} {value}" for name, value in said.items() if name != "name" and value not in ("", None))


def _texts(said: dict[str, object], *names: str) -> dict[str, str]:
    return {name: str(said.get(name, "")) for name in names}


def _times(said: dict[str, object]) -> str:
    count = said.get("count")
    return f"{count:,} ×, " if isinstance(count, int) and count > 1 else ""


def difference(entry: AuditEntry) -> tuple[tuple[str, str], ...]:
    """Lines of a difference: a sign (" ", "-", "+") and the words."""
    said = dict(detail(entry))
    lines: list[tuple[str, str]] = []
    field = _FIELDS.get(entry.kind, "")
    if entry.kind == "setting.changed":
        field = str(said.pop("name", ""))
    lines += [(" ", f"{name}  {_value(said.pop(name))}") for name in ("name", "kind", "model") if name in said]
    after = "after" if "after" in said else field
    if "before" in said and after in said:
        lines += [("-", f"{field or 'before'}  {_value(said.pop('before'))}"), ("+", f"{field or 'after'}  {_value(said.pop(after))}")]
    sign = {"added": "+", "removed": "-"}.get(entry.kind.rpartition(".")[2], " ")
    lines += [(sign, _named(name, value)) for name, value in said.items() if value not in ("", None)]
    return tuple(lines)


def _named(name: str, value: object) -> str:
    """A field with its value; times and sums as a person reads them."""
    if isinstance(value, int) and value and name.endswith("_us"):
        return f"{name.removesuffix('_us')}  {fmt.local(value):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and name.endswith("_microusd"):
        return f"{name.removesuffix('_microusd')}  {fmt.money(value)}"
    if name in _COUNTED and isinstance(value, int):
        return f"{name}  {value:,}"
    return f"{name}  {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or fmt.ABSENT
    return fmt.ABSENT if value in ("", None) else str(value).lower() if isinstance(value, bool) else str(value)


def page_of(entry: AuditEntry) -> str:
    """The page that shows what the entry is about, or ""."""
    return _PAGES.get(entry.kind.partition(".")[0], "")


def short_hash(digest: str) -> str:
    return f"{digest[:4]} {digest[4:8]}…{digest[-4:]}" if digest else fmt.ABSENT


def key(entry: AuditEntry) -> str:
    return f"{max(entry.seq, 0):020d}"


# -- cells


def number_cell(entry: AuditEntry) -> Cell:
    return Cell(f"{entry.seq:,}", "tx2", mono=True)


def time_cell(entry: AuditEntry, now_us: int) -> Cell:
    return Cell(fmt.table_time(entry.at_us, now_us) if entry.at_us else fmt.ABSENT, tip=fmt.clock_exact(entry.at_us) if entry.at_us else "")


def who_cell(entry: AuditEntry) -> Cell:
    glyph = {"person": "app-window", "gateway": "git-branch", "keeper": "lock-key-fill"}.get(entry.actor, "terminal-window")
    return Cell(who(entry), glyph=glyph, tone="tx2", tip=origin(entry))


def what_cell(entry: AuditEntry) -> Cell:
    return Cell(title(entry), glyph="prohibit", tone="er") if entry.kind in _WRONG else Cell(title(entry))


def change_cell(entry: AuditEntry) -> Cell:
    before, after = change(entry)
    return Cell(f"→ {after}", lead=f"{before} ") if before else Cell(after)
