"""When the audit log is signed, when the vault is told how far it has come, and what is done about a finding.

    at start      what the vault remembers is held against the log; then the key turns: the vault holds the old key and the new one, the
                  turn is committed, the old one is dropped. Nobody can sign for an earlier epoch after that
                  what came after the last verification is read then, and once a week everything, without haste (`store.verified`)
    all the time  a checkpoint every 1,000 entries or 60 s, and about a second after anything but routine; the vault is told after the
                  commit, at most once a minute, sooner after anything but routine, and at the end
    a finding     nothing more is signed and the vault's memory stays as it is, until a person goes on from the log as it is (`accept`)

The log ahead of what the vault remembers is normal (the process may die between the two); behind it is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from app import __version__
from app.control import contract
from app.core import wishes
from app.core.errors import AppError
from app.core.events import ROUTINE_KINDS, AuditExported, AuditFound, AuditPruned, AuditVerified, SettingChanged, Who
from app.engine import audit_answers, tasks
from app.engine.audit_keys import Keys
from app.engine.lifeline import Lifeline
from app.engine.marks import Marks
from app.engine.numbers import MOST_DAYS
from app.engine.recorder import Recorder, StoreThreads
from app.engine.verifying import EndedError, Reading
from app.store import audit, audit_runs, checkpoints, floors, ledger, sealing, settings, sums, verified
from app.store.exporting import Export
from app.store.sealing import HeldError, Signer
from app.store.verified import Verified
from app.verifier import Anchor, BadInputError, Finding

_log: Final = logging.getLogger(__name__)

SEAL_S: Final = 60.0
SEAL_ENTRIES: Final = 1_000
REMEMBER_S: Final = 60.0
SOON_S: Final = 1.0
AGAIN_S: Final = 60.0  # the vault, which may have to ask a person
SOON_AGAIN_S: Final = 5.0  # a disk, which may have room again
PRUNE_EVERY_S: Final = 86_400.0
WATCH_S: Final = 15.0
AGAIN_US: Final = 3_600_000_000
FULL_EVERY_US: Final = 7 * 86_400_000_000
_DAY_US: Final = 86_400_000_000
_ROUTINE: Final = ", ".join("?" * len(ROUTINE_KINDS))
_NEWS: Final = f"SELECT 1 FROM audit WHERE seq > ? AND (kind IS NULL OR kind NOT IN ({_ROUTINE})) LIMIT 1"  # noqa: S608 - question marks

T = TypeVar("T")


class Auditor:
    """Lives on the loop; signs on the store's writing thread. `changed()` is called when what `status` says is different."""

    def __init__(
        self,
        lifeline: Lifeline,
        marks: Marks,
        threads: StoreThreads,
        recorder: Recorder,
        now_us: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._lifeline: Final = lifeline
        self._marks: Final = marks
        self._threads: Final = threads
        self._recorder: Final = recorder
        self._now_us: Final = now_us
        self._changed: Final = changed
        self._signer: Signer | None = None
        self._anchor: Anchor | None = None
        self._fresh_anchor = False  # something is signed that the vault does not know of
        self._remembered_s = 0.0
        self._sealed_s = time.monotonic()
        self._pruned_s = 0.0
        self._held: Finding | None = None
        self._trouble = "Gatehouse is still starting."
        self._starting = True
        self._asked_s: float | None = None
        self._not_before_s = 0.0  # the vault refused: no more of it until then
        self._again_s = AGAIN_S
        self._verdict: contract.AuditVerdict | None = None
        self._reading: Reading | None = None
        self._verified: Verified | None = None
        self._tried_us = 0  # when everything was last begun to be read without being asked for
        self._looked: Final = asyncio.Event()  # the vault was asked, with whatever came of it
        self.counts: Final = audit_runs.Counts()
        self.exporting: Final = asyncio.Lock()
        self._verifying = asyncio.Lock()
        self._turning = asyncio.Lock()
        self._wake = asyncio.Event()
        threads.written = self._wake.set

    # -- the loop

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(SOON_S)  # the first answer first
        await self.choices()
        await self._threads.read(lambda: Signer.fresh(0))  # imports the ciphers off the loop
        watching = tasks.start(self._watch(), "audit check")
        try:
            await self._sign()
        finally:
            watching.cancel()

    async def _sign(self) -> None:
        while True:
            if self._trouble and (self._asked_s is None or time.monotonic() - self._asked_s > self._again_s):
                self._asked_s = time.monotonic()
                await self._guarded(self._open)
                self._changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._again_s if self._trouble else SEAL_S / 4):
                    await self._wake.wait()
            await asyncio.sleep(SOON_S)
            self._wake.clear()
            await self._guarded(self._seal_if_due)

    async def _watch(self) -> None:
        """What reads for long, beside the signing, which does not wait for it."""
        await self._looked.wait()
        while True:
            await self._guarded(self._found_ledger)
            await self._guarded(self._check)
            await self._guarded(self._retain)
            await asyncio.sleep(WATCH_S)

    def vault_opened(self) -> None:
        """What the vault could not be told or asked while it was locked is due now."""
        self._asked_s, self._not_before_s = None, 0.0
        self._wake.set()

    async def stop(self) -> None:
        """At the end: sign what there is and tell the vault."""
        if self._reading is not None:
            self._reading.end()
        await self._guarded(lambda: self._seal_if_due(last=True))
        await self._guarded(self._close)

    async def _close(self) -> None:
        """The vault knows that nothing comes after the newest entry."""
        async with self._turning:
            if self._signer is not None and self._held is None:
                await self._remember(closing=True)

    async def _guarded(self, step: Callable[[], object]) -> None:
        try:
            await step()  # type: ignore[misc]  # each is a coroutine function
        except HeldError as error:
            self._hold(error.kind, error.seq, error.message)
        except BadInputError:
            self._hold("forged", 0, "A record of the checkpoints cannot be read.")
        except AppError as error:
            _log.warning("audit log: %s", error)
            self._trouble = error.sentence() if self._signer is None else self._trouble
            self._again_s = AGAIN_S if error.code.startswith("vault_") else SOON_AGAIN_S
        except Exception:  # noqa: BLE001 - the task's edge: a log that nobody signs any more looks like one with nothing to sign
            _log.exception("audit log: a step failed")

    async def choices(self) -> None:
        """What requests do while the log cannot be written, as it is set now."""
        with contextlib.suppress(AppError):
            self._recorder.stops_on_problem = (
                await self._read(lambda c: settings.get(c, "audit.on_failure", wishes.default("audit.on_failure")))
            ) == "stop"

    # -- opening

    async def _open(self) -> None:
        """Hold the log against what the vault remembers, and turn the key. Whoever asks first, the checks after it may begin."""
        try:
            await self._open_once()
        finally:
            self._starting = False
            self._looked.set()

    async def _open_once(self) -> None:
        async with self._turning:
            if self._signer is not None:
                return
            keys = Keys.of(await self._kept("audit-key"))
            text = await self._kept("audit-anchor")
            try:
                self._anchor, self._verified = (None, None) if text is None else (Anchor.of(text), verified.of(text))
            except BadInputError:
                self._anchor = self._verified = None
            records = await self._read(checkpoints.count)
            if not records and self._anchor is None:
                await self._begin(keys)
                return
            self._trouble = ""
            if (wrong := await self._wrong(keys, records)) is not None:
                self._hold(*wrong)
                return
            await self._turn()
            await self._earlier_runs_signed()
            if self._verdict is not None and self._verdict.state == "incomplete":
                self._verdict = None  # of a time when the vault could not be asked

    async def _begin(self, keys: Keys | None) -> None:
        """A log that was never signed. A start that died here before left a key, which is used."""
        signer = keys.key if keys is not None else Signer.fresh(0)
        await self._keep("audit-key", Keys(signer).text())
        await self._write(lambda c: sealing.genesis(c, signer, self._now_us()))
        self._signer, self._trouble = signer, ""
        await self._remember()
        await self._earlier_runs_signed()

    async def _earlier_runs_signed(self) -> None:
        """What earlier runs left is signed now, and nothing more may be written in their name."""
        try:
            await self._lifeline.ask("runs_sealed", {})
        except AppError as error:
            _log.warning("the secrets of earlier runs are kept until the next start: %s", error)

    async def _wrong(self, keys: Keys | None, records: int) -> tuple[str, int, str] | None:
        """What speaks against signing on; otherwise the signer is known afterwards."""
        anchor = self._anchor
        found = await self._read(lambda c: sealing.first_look(c, anchor))
        if found is not None:
            return found
        current = await self._read(sealing.current_key)
        candidates = [] if keys is None else [keys.key, *([keys.following] if keys.following is not None else [])]
        for signer in candidates:
            if current == (signer.public, signer.epoch):
                self._signer = signer
        if self._signer is None:
            return "no key", 0, "The vault does not hold the key that signs this log."
        if anchor is None and records > 1:
            self._signer = None
            return "no anchor", 0, "The vault does not remember this log, although it was signed."
        return None

    async def _turn(self) -> None:
        """The epoch ratchet. Killed at any point, the next start finds either key in the vault and the log says which counts."""
        signer = self._signer
        assert signer is not None
        following = Signer.fresh(signer.epoch + 1)
        await self._keep("audit-key", Keys(signer, following).text())

        def turn(connection: Any) -> None:
            sealing.state(connection, signer, self._now_us())
            sealing.turn(connection, signer, following, self._now_us())

        await self._write(turn)
        self._signer = following
        await self._keep("audit-key", Keys(following).text())
        self._sealed_s = time.monotonic()
        await self._remember()

    def signer(self) -> Signer:
        """The key of the present epoch, for a report. AppError store_unavailable while the log cannot be signed."""
        if self._signer is None or self._held is not None:
            raise AppError("store_unavailable", "The audit log cannot be signed now, so no report can be.", "See the Audit page.")
        return self._signer

    async def _found_ledger(self) -> None:
        """In a log that no claim about the ledger was signed in yet: how it stands, so that nothing unsigned is believed from now on."""
        if self._signer is None or self._held is not None or (await self._read(floors.known)).signed:
            return
        async with self._threads.long_work:
            rows, wrong = await self._read(lambda c: (ledger.pinned(c), ledger.verify(c, upto=floors.known(c).most).finding))

            def sign(connection: Any, signer: Signer) -> None:
                if wrong:
                    raise HeldError("ledger", audit.newest(connection), wrong)
                sealing.claim(connection, signer, floors.LEDGER, rows.said(), self._now_us())

            await self.signed(sign)

    # -- signing

    async def signed(self, work: Callable[[Any, Signer], T]) -> T:
        """`work(connection, signer)` in one transaction, for what is believed only signed. AppError store_unavailable while the log cannot
        be signed."""
        await self._opened()
        async with self._turning:
            signer = self._signer
            if signer is None or self._held is not None:
                why = self._held.sentence if self._held is not None else self._trouble
                hint = "See the Audit page, or run: gatehouse audit verify"
                raise AppError("store_unavailable", f"The audit log cannot be signed now: {why}", hint)
            try:
                done = await self._write(lambda c: work(c, signer))
            except HeldError as error:
                self._hold(error.kind, error.seq, error.message)
                raise
            self._fresh_anchor = True
        self._wake.set()
        return done

    async def _seal_if_due(self, *, last: bool = False) -> None:
        async with self._turning:  # a record under a key that turns meanwhile would look forged
            signer = self._signer
            if signer is None or self._held is not None:
                return
            now = time.monotonic()
            waiting, news = await self._read(_due)
            if waiting and (news or last or waiting >= SEAL_ENTRIES or now - self._sealed_s >= SEAL_S):
                await self._write(lambda c: sealing.checkpoint(c, signer, self._now_us()))
                self._sealed_s, self._fresh_anchor = now, True
            due = news or now - self._remembered_s >= REMEMBER_S
            if self._fresh_anchor and (last or (due and now >= self._not_before_s)):
                await self._remember()
                self._changed()

    async def _remember(self, *, closing: bool = False) -> None:
        """Tell the vault, after the commit and never before. What it could not be told it is told later, or at the end."""
        self._fresh_anchor = True
        anchor = await self._read(lambda c: sealing.anchor_of(c, closing=closing))
        if anchor is not None:
            self._not_before_s = time.monotonic() + AGAIN_S
            await self._keep("audit-anchor", verified.text(anchor, self._verified))
            self._not_before_s = 0.0
            self._anchor, self._remembered_s, self._fresh_anchor = anchor, time.monotonic(), False

    def _hold(self, kind: str, seq: int, sentence: str) -> None:
        if self._held is None:
            self._held = Finding(kind, seq, sentence)
            _log.error("audit log: %s: %s", kind, sentence)
            self._recorder.note(AuditFound(found=kind, at=seq, sentence=sentence), "gateway")
            self._changed()

    # -- what a person asks for

    async def verify(self, who: Who) -> contract.AuditVerdict:
        """Read everything and judge it; written down. One at a time: a second asker waits, then reads anew."""
        await self._opened()
        said = await self._judge()
        self._recorder.note(AuditVerified(state=said.state, seq=said.seq, finding=said.finding), who)
        return said

    async def _check(self) -> None:
        """After a start what came after the last time, and once a week everything. Without haste: most of the time is left to requests.

        What cannot be read at all is a finding too.
        """
        now_us = self._now_us()
        full_us = 0 if self._verified is None or self._verified.full_us > now_us else self._verified.full_us
        tried_us = 0 if self._tried_us > now_us else self._tried_us  # the clock was put back since
        due = now_us - max(full_us, tried_us) > FULL_EVERY_US
        if self._verifying.locked() or (self._verdict is not None and (not due or self._held is not None)):
            return
        whole = due or self._held is not None
        self._tried_us = now_us if whole else self._tried_us
        try:
            await self._judge(whole=whole, quiet=True)
        except EndedError:
            self._tried_us = 0  # whoever ended it reads everything now, if nothing ends that
        except AppError as error:
            if error.code != "store_unavailable" or error.retry_after_s is not None:
                self._tried_us = now_us - FULL_EVERY_US + AGAIN_US if whole else self._tried_us  # it passes: in an hour, not in a week
                raise
            self._hold("damaged", 0, error.sentence())

    def _public(self) -> bytes:
        return b"" if self._signer is None else self._signer.public

    async def _judge(self, *, whole: bool = True, quiet: bool = False) -> contract.AuditVerdict:
        """Everything, or what came after the last time. One at a time. EndedError when somebody who waits wants to begin."""
        if self._reading is not None and self._reading.quiet and not quiet:
            self._reading.end()
        async with self._verifying:
            async with self._turning:  # between a commit and what the vault is told of it, the log would seem to be unknown to the vault
                anchor, before, key, began = self._anchor, self._verified, self._public(), time.monotonic()
            self._reading = reading = Reading(quiet=quiet)
            try:
                looked = await self._read(lambda c: verified.look(c, anchor, key, None if whole else before, reading.told))
            finally:
                reading.end()
                self._reading = None
            verdict = looked.verdict
            if key != self._public():  # it turned meanwhile
                verdict.findings = [finding for finding in verdict.findings if finding.kind != "no key"]
            if anchor is None and not verdict.findings:
                verdict.find("no anchor", verdict.seq, self._trouble or "The vault does not remember this log.")
            if self._held is not None and all(finding.kind != self._held.kind for finding in verdict.findings):
                verdict.findings.append(self._held)
            now_us, took_ms = self._now_us(), round((time.monotonic() - began) * 1000)
            self._verdict = said = audit_answers.verdict(looked, anchor, now_us, took_ms)
            if verdict.state == "tampered":
                first = verdict.findings[0]
                self._hold(first.kind, first.seq, first.sentence)
            elif verdict.state == "intact" and before == self._verified:
                self._verified = looked.remembered(before, now_us)
                self._fresh_anchor = True
            self._changed()
            return said

    async def _opened(self) -> None:
        """In the first second of a start nothing would be signed yet: who asks then waits for that."""
        if self._signer is None and self._held is None and not self._turning.locked():
            await self._guarded(self._open)

    async def begin_export(self, who: Who) -> Export:
        """Written down and signed first, so that the export holds its own entry. AppError store_unavailable."""
        await self._opened()
        event = AuditExported(entries=(await self._read(audit.span))[0], upto=await self._read(audit.newest))
        await self._write(lambda c: audit.append(c, event, who, self._now_us()))
        await self._guarded(lambda: self._seal_if_due(last=True))
        return Export(self._signer if self._held is None else None, self._now_us(), __version__)

    async def exported(self, export: Export) -> contract.AuditExport:
        """What was exported, once all of it was read."""
        pin = await self._read(audit_answers.fingerprint)
        return contract.AuditExport(
            entries=export.entries, upto=export.upto, size_bytes=export.size, signed=export.is_signed, fingerprint=pin
        )

    async def prunable(self, keep_days: int) -> contract.AuditPrunable:
        return await self._read(lambda c: audit_answers.prunable(c, self._now_us() - keep_days * _DAY_US))

    async def prune(self, upto: int, who: Who | str) -> int:
        """Take away the entries up to `upto`, as a preview named it; how many. The log is verified first: evidence is not pruned. What a
        person asks for, and not the policy, is a grant's to allow. AppError confirmation_needed, store_unavailable."""
        if who != "gateway":
            await self._marks.want("audit.prune", upto)
        said = self._verdict if self._held is not None else await self._judge(quiet=who == "gateway")
        # First what takes long, because the key is not held still meanwhile.
        async with self._threads.long_work:
            rows = await self._read(lambda c: ledger.pinned(c, upto))
            async with self._turning:
                signer = self._signer
                if signer is None or self._held is not None or said is None or said.findings:
                    why = self._held.sentence if self._held is not None else said.finding if said is not None else ""
                    hint = "See the Audit page, or run: gatehouse audit verify"
                    raise AppError("store_unavailable", f"Nothing is pruned: {why or self._trouble}", hint)
                try:
                    count = await self._write(lambda c: sealing.prune(c, signer, upto, rows, who, self._now_us()).count)
                except HeldError as error:
                    self._hold(error.kind, error.seq, error.message)
                    raise
                await self._remember()
        self._changed()
        return count

    async def accept(self, kind: str, who: Who) -> contract.Done:
        """A person goes on from the log as it is. `kind`: the finding they saw; another one now is refused."""
        async with self._threads.long_work, self._turning:  # no rows go meanwhile
            held = self._held
            if held is None:
                raise AppError("body_invalid", "There is no finding to go on from.")
            if held.kind != kind:
                raise AppError("body_invalid", f"The finding is now: {held.sentence}", "Look at it first.")
            await self._marks.want("audit.accept", kind)
            anchor = self._anchor
            found = (f"{held.kind}: {held.sentence}", *(f.sentence for f in (self._verdict.findings if self._verdict else ())))
            keys = Keys.of(await self._kept("audit-key"))
            epochs = [0 if anchor is None else anchor.epoch, 0 if keys is None else keys.key.epoch + 1]
            with contextlib.suppress(BadInputError):
                current = await self._read(sealing.current_key)
                epochs.append(0 if current is None else current[1])
            signer = Signer.fresh(max(epochs) + 1)
            await self._keep("audit-key", Keys(signer).text())
            await self._restore(signer, found[:20], anchor, who)
            self._signer, self._held, self._trouble, self._verdict, self._verified = signer, None, "", None, None
            await self._remember()
        self._changed()
        return contract.Done(message="The log goes on from here under a new key. What was found stays written down.")

    async def _restore(self, signer: Signer, found: tuple[str, ...], anchor: Anchor | None, who: Who) -> None:
        """With the ledger as it is; without, where it cannot be read."""

        def work(connection: Any, rows: ledger.Pinned | None) -> None:
            counted = None if rows is None else sums.as_found(connection, rows)
            sealing.restore(connection, signer, found, anchor, who, self._now_us(), counted)

        try:
            rows = await self._read(ledger.as_found)
            await self._write(lambda c: work(c, rows))
        except AppError:
            await self._write(lambda c: work(c, None))

    async def choose(self, chosen: contract.AuditPolicy, who: Who) -> None:
        """Retention, and what happens to requests while the log cannot be written."""
        if chosen.keep_days is not None and not 0 <= chosen.keep_days <= MOST_DAYS:
            raise AppError("body_invalid", "Keep the log for 1 to 36,500 days, or 0 for ever.")
        wanted = {"audit.keep_days": chosen.keep_days, "audit.on_failure": chosen.on_failure}

        before = await self._read(lambda c: {name: settings.get(c, name, wishes.default(name)) for name in wanted})
        changes = {name: str(value) for name, value in wanted.items() if value is not None and str(value) != before[name]}
        for name, value in changes.items():
            await self._marks.want(name, value)

        def work() -> None:
            events = [SettingChanged(name=name, before=before[name], after=value) for name, value in changes.items()]
            with self._threads.store.change(events, who, self._now_us()) as connection:
                for name, value in changes.items():
                    settings.put(connection, name, value)

        if changes:
            await self._threads.write(work)
        await self.choices()
        self._changed()

    async def status(self, place: str, mode: str) -> contract.AuditStatus:
        """How the log stands. `place`, `mode`: of the vault."""
        signer, anchor = self._signer, self._anchor
        known = audit_answers.Known(
            epoch=0 if signer is None else signer.epoch,
            anchored=0 if anchor is None else anchor.seq,
            anchored_us=0 if anchor is None else anchor.at_us,
            trouble=self._trouble,
            starting=self._starting,
            held=self._held,
            verdict=self._verdict,
            progress=None if self._reading is None else self._reading.so_far,
            verified=self._verified,
        )
        return await self._read(lambda c: audit_answers.status(c, known, place, mode))

    async def entry(self, seq: int) -> contract.AuditDetail:
        """AppError unknown_name."""
        return await self._read(lambda c: audit_answers.entry(c, seq))

    async def _retain(self) -> None:
        """Once a day, what is older than the person wants to keep it. A log with a finding is kept whole."""
        now = time.monotonic()
        if self._signer is None or self._held is not None or (self._pruned_s and now - self._pruned_s < PRUNE_EVERY_S):
            return
        if "audit.keep_days" in self._marks.undecided():
            return
        self._pruned_s = now
        pruned = await self._read(lambda c: audit.last(c, (AuditPruned.KIND,)))
        if pruned is not None and 0 <= self._now_us() - pruned.at_us < _DAY_US:
            return  # each prune reads everything first; a start is no reason for another one
        days = int(await self._read(lambda c: settings.get(c, "audit.keep_days", wishes.default("audit.keep_days"))))
        found = await self.prunable(days) if days else None
        if found is not None and found.upto:
            try:
                await self.prune(found.upto, "gateway")
            except EndedError:
                self._pruned_s = 0.0

    # -- the vault and the store

    async def _kept(self, item: str) -> str | None:
        text = (await self._lifeline.ask("audit_get", {"item": item}))[0]["text"]
        return None if text is None else str(text)

    async def _keep(self, item: str, text: str) -> None:
        await self._lifeline.ask("audit_put", {"item": item, "text": text})

    async def _read(self, work: Callable[[Any], T]) -> T:
        def reading() -> T:
            with self._threads.store.read() as connection:
                return work(connection)

        return await self._threads.read(reading)

    async def _write(self, work: Callable[[Any], T]) -> T:
        def writing() -> T:
            with self._threads.store.write() as connection:
                return work(connection)

        return await self._threads.write(writing)


def _due(connection: Any) -> tuple[int, bool]:
    """How many entries are not signed yet, and whether one of them is anything but routine."""
    record = checkpoints.newest(connection)
    sealed = 0 if record is None else record.seq
    waiting = audit.newest(connection) - sealed
    return waiting, waiting > 0 and connection.exec_driver_sql(_NEWS, (sealed, *ROUTINE_KINDS)).first() is not None
