"""What is known of the network, brought together: the keeper's facts, our own locks, the records, and whether the books agree.

Everything shown comes from a measurement or a record of this run; a layer that could not be measured is shown as missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any, Final

import msgspec

from app.control import contract
from app.core import chain
from app.core.errors import AppError
from app.core.events import Answered, DestinationHeld, EgressTripped, EgressUnexplained, LevelMeasured, ReportMade, SelfTested, Who
from app.core.records import AuditEntry, EgressRecord, RefusedAttempt
from app.egress import tripwire, witness
from app.egress.door import Ended, Opened, Purpose
from app.egress.tripwire import Trip
from app.engine import network_answers as answers
from app.engine.declared import COMMANDS, Declared
from app.engine.lifeline import Lifeline
from app.engine.status import Status
from app.store import audit, egress, search
from app.system import leaks, sandbox

_WAITING_MAX: Final = 200
_SHOWN: Final = 50
_SETTLE_S: Final = 0.7
_REPORT_DOMAIN: Final = b"gatehouse-network-report-v1\0"
_REPORT_ROWS: Final = 5_000


class Network:
    """Lives on the loop."""

    def __init__(self, status: Status, lifeline: Lifeline, now_us: Callable[[], int]) -> None:
        self._status: Final = status
        self._lifeline: Final = lifeline
        self._now_us: Final = now_us
        self._open: Final[dict[int, EgressRecord]] = {}
        self._waiting: list[dict[str, Any]] = []
        self._told_mismatches: set[str] = set()
        self._declared: Final = Declared()
        self._level: str | None = None

    def begin(self) -> None:
        """Tell the keeper how this process is locked, and whatever its tripwire refuses from now on or refused before."""
        own = sandbox.own()
        if own is not None:
            self._lifeline.tell("locks", own.fields())
        wire = tripwire.armed()
        if wire is not None:
            wire.attach(lambda trip: self._lifeline.tell("tripped", trip.fields()))

    def opened(self) -> None:
        """The store is open: what came before is written now."""
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.told(message)

    # what happens

    def told(self, message: dict[str, Any]) -> None:
        """A push of the keeper: a trip, a refused dial, a name that was asked for, a socket nobody explains."""
        opened = self._status.opened
        if opened is None:
            if len(self._waiting) < _WAITING_MAX:
                self._waiting.append(message)
            return
        recorder, known = opened.recorder, str(message.get("op"))
        try:
            if known == "tripped":
                trip = Trip.of(message)
                sentence = f"Code in the {trip.process} tried to get out by itself."
                recorder.attempt(
                    RefusedAttempt(
                        at_us=trip.at_us, process=trip.process, what=trip.what, target=trip.target, rule="tripwire", sentence=sentence,
                        stack=trip.stack, count=trip.count,
                    )
                )  # fmt: skip
                event = EgressTripped(process=trip.process, what=trip.what, target=trip.target, stack=trip.stack, count=trip.count)
                recorder.note(event, "keeper")
            elif known == "refusal":
                recorder.attempt(
                    RefusedAttempt(
                        at_us=int(message["at_us"]), process="keeper", what="dial", target=str(message["target"]),
                        account=str(message["account"]), address=str(message["address"]), rule=str(message["rule"]),
                        sentence=str(message["sentence"]),
                    )
                )  # fmt: skip
            elif known == "asked":
                recorder.asked(str(message["name"]), int(message["found"]), int(message["at_us"]))
            elif known == "lost":
                for told in message["connections"]:
                    recorder.connection(msgspec.convert(told, EgressRecord))
            elif known == "held":
                recorder.note(DestinationHeld(name=str(message["subject"]), destination=str(message["value"])), "keeper")
            elif known == "answered":
                said = {name: str(message[name]) for name in ("what", "value", "answer")}
                answered = Answered(name=str(message["subject"]), asked=str(message["kind"]), **said)
                recorder.note(answered, Who(actor="person", via=str(message["by"])))
            else:
                recorder.note(EgressUnexplained(what="socket", sentence=answers.stranger(message)), "keeper")
        except (KeyError, TypeError, ValueError, msgspec.ValidationError):
            return  # only the keeper speaks here; what it does not say right is not made up

    def made(self, account: str, purpose: Purpose, made: Opened) -> None:
        """A connection was handed over."""
        opened = self._status.opened
        place = opened.accounts.destination(account) if opened is not None else None
        if opened is None or place is None:
            return
        record = EgressRecord(
            connection=made.connection, opened_us=self._now_us(), purpose=purpose, account=account, host=place.host, port=place.port,
            local=place.local, address=made.address, resolve_us=round(made.resolve_ms * 1000), connect_us=round(made.connect_ms * 1000),
        )  # fmt: skip
        self._open[made.connection] = record
        opened.recorder.connection(record)

    def ended(self, ended: Ended) -> None:
        """A connection is no more, and counted."""
        record, opened = self._open.pop(ended.connection, None), self._status.opened
        if record is None or opened is None:
            return
        facts, counts = ended.facts, ended.counts
        opened.recorder.connection(
            replace(
                record, closed_us=self._now_us(), tls=facts.tls, issuer=facts.issuer, spki=facts.spki, used=facts.used,
                other_out=facts.other_out, bytes_out=counts.bytes_out, bytes_in=counts.bytes_in, counted=counts.counted,
            )
        )  # fmt: skip

    # what is shown

    async def records(self, limit: int) -> list[EgressRecord]:
        """The newest connections."""
        threads = self._status.need().threads

        def read() -> list[EgressRecord]:
            with threads.store.read() as connection:
                return egress.page(connection, 0, limit)

        return await threads.read(read)

    async def record(self, number: int) -> EgressRecord:
        """AppError unknown_name."""
        threads = self._status.need().threads

        def read() -> list[EgressRecord]:
            with threads.store.read() as connection:
                return egress.page(connection, 0, 1, number + 1)

        found = await threads.read(read)
        if not found or found[0].connection != number:
            raise AppError("unknown_name", f"Connection {number} is not recorded.", "It may have gone with the retention of old records.")
        return found[0]

    async def view(self, from_us: int = 0) -> contract.NetworkView:
        """from_us: since when to sum up connections, refusals, names and what was removed; 0: since the keeper started. Levels, layers and
        books are always those of this run. AppError vault_* or store_* while nothing is open."""
        opened = self._status.need()
        facts, _ = await self._lifeline.ask("network")
        from_us = from_us or int(facts["started_us"])
        stored = await self._stored(facts, from_us)
        if len(stored.records) != facts["opened"] or stored.mismatches(set(self._open)):
            await asyncio.sleep(_SETTLE_S)  # a batch may be on its way to the disk
            facts, _ = await self._lifeline.ask("network")
            stored = await self._stored(facts, from_us)
        processes = tuple(answers.process(each) for each in facts["processes"])
        level, reason = answers.level_of(processes)
        if self._level is None:
            self._level = stored.level
        mismatches = stored.mismatches(set(self._open))
        if len(stored.records) != facts["opened"]:
            mismatches.append(f"The keeper made {facts['opened']} connections, {len(stored.records)} are recorded.")
        strange = [answers.stranger(each) for each in facts["unexplained"]] + self._declared.silent(
            facts, stored.commands, self._now_us(), stored.pruned_us
        )
        self._note(level, reason, mismatches, strange)
        uses = {(use.host, use.port, use.local): use for use in answers.with_live(stored.uses, stored.records, facts["live"], from_us)}
        destinations = answers.destinations(
            facts, uses, {a.name: a.created_us for a in (v.account for v in opened.accounts.views(self._status.vault, {}))}
        )
        remote = {(use.host, use.port) for use in stored.uses if not use.local}
        pids = {each["role"]: each["pid"] for each in facts["processes"]}
        return contract.NetworkView(
            level=level,
            level_reason=reason,
            since_us=facts["started_us"],
            from_us=from_us,
            gaps=tuple(contract.Gap(**gap) for gap in facts["gaps"]),
            connections=sum(use.connections for use in stored.uses),
            hosts=len(remote),
            local_hosts=len(stored.uses) - len(remote),
            destinations=destinations,
            refused=tuple(stored.refused[:_SHOWN]),
            refused_count=sum(answers.fresh(stored.refused)),
            names=tuple(stored.names),
            layers=answers.layers(processes, facts),
            processes=processes,
            listening=tuple(
                contract.ListeningView(
                    address=each["address"], process=each["process"], pid=pids.get(each["process"], 0), kind=each["kind"]
                )
                for each in facts["listening"]
            ),
            environment=tuple(facts["environment"]),
            books=contract.BooksView(
                ledger=len(stored.ledger),
                records=len(stored.records),
                keeper=facts["opened"],
                seen=facts["seen"],
                looks=facts["looks"],
                hidden=tuple(facts["hidden"]),
                mismatches=tuple(mismatches),
                not_compared=sum(1 for record in stored.records if record.closed_us is None and record.connection not in self._open),
            ),
            unexplained=tuple(strange),
            removed_headers=stored.removed[0],
            removed_from=stored.removed[1],
            removed_identifiers=stored.removed[2],
            waiting=tuple(msgspec.convert(each, contract.WaitingView) for each in facts["waiting"]["items"]),
            waiting_unlisted=int(facts["waiting"]["unlisted"]),
        )

    def _note(self, level: str, reason: str, mismatches: list[str], strange: list[str]) -> None:
        """Into the audit log: a level that changed, and whatever is red; each once."""
        opened = self._status.need()
        if level != self._level:
            opened.recorder.note(LevelMeasured(before=self._level or "", after=level, reason=reason), "gateway")
            self._level = level
        for what, sentences in (("books", mismatches), ("destination", strange)):
            for sentence in sentences:
                if sentence not in self._told_mismatches and len(self._told_mismatches) < _WAITING_MAX:
                    self._told_mismatches.add(sentence)
                    opened.recorder.note(EgressUnexplained(what=what, sentence=sentence), "gateway")

    async def _stored(self, facts: dict[str, Any], from_us: int) -> _Stored:
        threads, since_us, first = self._status.need().threads, int(facts["started_us"]), int(facts["first"])
        run_id = search.at(since_us - 3_600_000_000)  # an hour for a clock that was set back
        from_id = search.at(from_us)
        commands_us = self._declared.wants(facts)

        def read() -> _Stored:
            with threads.store.read() as connection:
                commands = audit.since(connection, COMMANDS, commands_us) if commands_us is not None else []
                oldest = audit.oldest(connection) if commands_us is not None else None
                return _Stored(
                    egress.since(connection, first),
                    egress.ledger(connection, first, run_id),
                    egress.uses(connection, from_us),
                    egress.refusals(connection, from_us, 1_000),
                    egress.names(connection, from_us),
                    commands,
                    egress.removed(connection, from_id),
                    answers.level_before(audit.last(connection, [LevelMeasured.KIND])),
                    0 if oldest is None or oldest.seq == 1 else oldest.at_us,
                )

        return await threads.read(read)

    # trying

    async def try_to_leak(self, who: Who) -> AsyncIterator[contract.LeakAttempt]:
        """Every process tries every way it has; each result as it comes, then one line in the audit log, also when whoever asked has gone.
        The last must get through."""
        opened = self._status.need()
        stopped, out, passed = 0, 0, False
        try:
            async for attempt in self._attempts():
                stopped += attempt.good and not attempt.must_pass
                out += not attempt.good and not attempt.must_pass
                passed = passed or (attempt.must_pass and attempt.good)
                yield attempt
        finally:
            opened.recorder.note(SelfTested(stopped=stopped, got_out=out, control_passed=passed), who)

    async def _attempts(self) -> AsyncIterator[contract.LeakAttempt]:
        wire = tripwire.armed()
        quietly: Callable[[], AbstractContextManager[None]] = wire.quietly if wire is not None else nullcontext
        ways = iter(
            leaks.of_process(
                "engine", [("TCP, uvloop", f"{leaks.TCP[0]}:{leaks.TCP[1]}", _uvloop)], tripwire.permitted, quietly, tripwire.RefusedError
            )
        )
        while (one := await asyncio.to_thread(next, ways, None)) is not None:
            yield _shown(one.fields())
        answer, _ = await self._lifeline.ask("try_to_leak")
        found = [_shown(each) for each in answer["attempts"]]
        for each in sorted(found, key=lambda attempt: attempt.must_pass):
            yield each

    # a report that can be given away

    async def report(self, who: Who) -> contract.NetworkReport:
        """Everything of this run, signed with the key of the audit log's present epoch. AppError store_unavailable when there is none."""
        opened = self._status.need()
        view = await self.view()
        records = await self.records(_REPORT_ROWS)
        signer = opened.auditor.signer()
        body = chain.canonical(
            {
                "format": "gatehouse network report",
                "version": 1,
                "made_us": self._now_us(),
                "audit_epoch": signer.epoch,
                "view": msgspec.to_builtins(view),
                "records": [asdict(record) for record in records if record.opened_us >= view.since_us],
                "says": SAYS,
            }
        )
        signature = signer.sign(_REPORT_DOMAIN, body)
        opened.recorder.note(ReportMade(digest=_digest(body)), who)
        return contract.NetworkReport(report=body.decode("utf-8"), signature=signature.hex(), key=signer.public.hex())


SAYS: Final = (
    "The signature shows that this text was made by the program that holds the audit log's key and was not changed since. "
    "It cannot show that the program told the truth: a changed copy of it could sign anything. "
    "What it names can be checked from outside: compare the connections with your router, firewall or packet capture, "
    "and run the checks on the Network page yourself."
)


class _Stored:
    """What the database says. records, ledger: of this run; uses, refused, names, removed: of the time that was asked for. pruned_us: the
    time of the oldest entry of a log that was pruned, else 0."""

    def __init__(
        self,
        records: list[EgressRecord],
        ledger: dict[int, tuple[int, int, int]],
        uses: list[Any],
        refused: list[RefusedAttempt],
        names: list[Any],
        commands: list[AuditEntry],
        removed: tuple[int, int, int],
        level: str,
        pruned_us: int,
    ) -> None:
        self.records, self.ledger, self.uses, self.refused = records, ledger, uses, refused
        self.names, self.commands, self.removed, self.level, self.pruned_us = names, commands, removed, level, pruned_us

    def mismatches(self, open_now: set[int]) -> list[str]:
        connections = [
            witness.Connection(
                number=r.connection, closed=r.closed_us is not None and r.connection not in open_now, used=r.used, other_out=r.other_out,
                bytes_out=r.bytes_out, bytes_in=r.bytes_in, tls=bool(r.tls), counted=r.counted,
            )
            for r in self.records
        ]  # fmt: skip
        told = {number: witness.Told(*counts) for number, counts in self.ledger.items()}
        return [f"Connection {found.connection}: {found.sentence}" for found in witness.compare(connections, told)]


def _shown(attempt: Any) -> contract.LeakAttempt:
    told = leaks.Attempt(**attempt)
    return contract.LeakAttempt(good=told.good, **asdict(told))


def _uvloop() -> None:
    import uvloop  # noqa: PLC0415 - only Linux has it

    async def go() -> None:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*leaks.TCP), leaks.WAIT_S)
        writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


def _digest(body: bytes) -> str:
    import hashlib  # noqa: PLC0415 - only a report needs it

    return hashlib.sha256(body).hexdigest()
