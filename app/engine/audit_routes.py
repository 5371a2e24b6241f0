"""The part of the control API that is about the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from app.control import contract
from app.core.errors import AppError
from app.core.events import Who, audited
from app.engine.numbers import MOST_DAYS, number
from app.engine.status import Status
from app.engine.web import Incoming
from app.store import audit, audit_runs
from app.system.peers import Peer

Read = Callable[[type[Any]], Awaitable[Any]]
MOST_TEXT: Final = 200
_VIAS: Final = frozenset({"window", "command line"})


def who_of(request: Incoming) -> Who:
    """Who steers the gateway: what the system says of the connection's other end, and what that program says it is."""
    peer = Peer.of(request.peer())
    via = request.headers.get("x-gatehouse-via", "")
    return Who(actor="person", user=peer.user, uid=peer.uid, process=peer.process, program=peer.program, via=via if via in _VIAS else "")


async def answer(status: Status, method: str, parts: list[str], arguments: dict[str, str], read: Read, who: Callable[[], Who]) -> Any:
    """What is asked at `parts` (after `/v0`); None when nothing is there. AppError as the auditor says."""
    opened = status.need()
    auditor = opened.auditor
    match method, parts:
        case "GET", ["audit"]:
            return await _page(status, arguments)
        case "GET", ["audit", "status"]:
            return await auditor.status(status.vault.place, status.vault.mode)
        case "GET", ["audit", "prune"]:
            return await auditor.prunable(number(arguments.get("keep_days", ""), "keep_days", MOST_DAYS))
        case "GET", ["audit", seq]:
            return await auditor.entry(number(seq, "seq"))
        case "POST", ["audit", "verify"]:
            return await auditor.verify(who())
        case "POST", ["audit", "prune"]:
            wanted: contract.AuditPrune = await read(contract.AuditPrune)
            count = await auditor.prune(wanted.upto, who())
            return contract.Done(message=f"{count} entries up to {wanted.upto} are removed; a signed record says so.")
        case "PUT", ["audit", "policy"]:
            chosen: contract.AuditPolicy = await read(contract.AuditPolicy)
            await auditor.choose(chosen, who())
            return await auditor.status(status.vault.place, status.vault.mode)
        case "POST", ["audit", "accept"]:
            accepted: contract.AuditAccept = await read(contract.AuditAccept)
            return await auditor.accept(accepted.finding, who())
    return None


async def _page(status: Status, arguments: dict[str, str]) -> contract.AuditPage:
    threads = status.need().threads
    limit = min(1_000, max(1, number(arguments.get("limit", "100"), "limit")))
    before = number(arguments["before"], "before") if arguments.get("before") else None
    group, actor, text = arguments.get("group", ""), arguments.get("actor", "")[:MOST_TEXT], arguments.get("text", "")[:MOST_TEXT]
    kinds = [kind for kind, event in audited().items() if group == event.GROUP]
    if group and not kinds:
        raise AppError("body_invalid", "There is no such group of entries.")
    titled = [kind for kind in arguments.get("titled", "").split(",") if kind in audited()]
    counts = status.need().auditor.counts

    def work() -> contract.AuditPage:
        with threads.store.read() as connection:
            if arguments.get("fold") == "1" and not text:
                entries, runs, following = audit_runs.page(connection, counts, limit, before, kinds=kinds, actor=actor)
                return contract.AuditPage(entries=tuple(entries), next=following, runs=tuple(runs))
            entries, following = audit.find(connection, limit, before, kinds=kinds, actor=actor, text=text, titled=titled)
            return contract.AuditPage(entries=tuple(entries), next=following)

    return await threads.read(work)
