"""What is done to the ledger beside recording: old rows let go, free space given back, costs worked out again.

Everything goes in steps of some milliseconds on the store's writing thread, with a pause as long as the step after it, so that a batch
of rows never waits long behind it. A step does not wait for the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from app.core.errors import AppError
from app.core.events import LedgerRepriced, PriceSet, SettingChanged, Who
from app.core.records import Exchange, OwnPrice
from app.engine.accounts import Accounts
from app.engine.marks import Marks
from app.engine.numbers import MOST_DAYS
from app.engine.recorder import StoreThreads
from app.engine.verifying import Reading
from app.store import audit, daily, floors, own_prices, repricing, responses, retention, search, taken
from app.store.retention import Plan, Policy
from app.store.sealing import Signer
from app.store.search import Filter
from app.store.verified import Told
from app.verifier import BadInputError

_log: Final = logging.getLogger(__name__)

STEP_S: Final = 0.005
# Somebody who reads for long (a verification) keeps the write-ahead log from being folded; work waits rather than let it grow.
MOST_UNFOLDED: Final = 16_000
WAIT_S: Final = 1.0
FIRST_S: Final = 30.0
EVERY_S: Final = 86_400.0
_START: Final = 200
_LEAST, _MOST = 10, 5_000
_VACUUM_PAGES: Final = 64

T = TypeVar("T")
Signed = Callable[[Callable[[Any, Signer], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """rows: how many went. freed_bytes: given back to the disk."""

    rows: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """The last time that everything the policy lets go was let go: when it ended, by which policy, and what was left then."""

    at_us: int
    policy: Policy
    left: retention.Held


@dataclass(frozen=True, slots=True)
class Repriced:
    looked_at: int
    changed: int
    before_microusd: int
    after_microusd: int


class Upkeep:
    def __init__(
        self,
        threads: StoreThreads,
        accounts: Accounts,
        now_us: Callable[[], int],
        signed: Signed,
        undecided: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """signed: see `Auditor.signed`. undecided: see `Marks.undecided`."""
        self._signed: Final = signed
        self._undecided: Final = undecided
        self._threads: Final = threads
        self._accounts: Final = accounts
        self._now_us: Final = now_us
        self.running = False
        self.trouble = ""
        self.ran: Ran | None = None

    async def load(self) -> None:
        """The prices of the person's own."""
        self._accounts.set_prices(await self.prices())

    async def run(self) -> None:
        """Once a day, for as long as the engine lives. `running`, `trouble` (why the last time failed, or "") and `ran` say how it goes."""
        self.running = True
        try:
            await asyncio.sleep(FIRST_S)
            while True:
                await self._once()
                await asyncio.sleep(EVERY_S)
        finally:
            self.running = False

    async def _once(self) -> None:
        try:
            await self._mend()
            while await self._threads.write(self._let_go):
                pass
            await self.trim("gateway")
            self.trouble = ""
        except AppError as error:
            self.trouble = error.sentence()
            _log.warning("the ledger's upkeep waits: %s", error.code)
        except Exception:  # noqa: BLE001 - the edge of the task: what fails today may be done tomorrow
            self.trouble = "It met an error of its own; the log has the details."
            _log.exception("the ledger's upkeep failed")

    # -- retention

    def _let_go(self) -> bool:
        return self._write(lambda c: responses.let_go(c, self._now_us()))

    async def policy(self) -> tuple[Policy, retention.Held]:
        return await self._threads.read(lambda: self._read(lambda c: (retention.policy(c), retention.held(c))))

    async def choose(self, days: int | None, size_bytes: int | None, who: Who, marks: Marks) -> None:
        """None: as it is. AppError body_invalid, confirmation_needed."""
        before, _ = await self.policy()
        chosen = Policy(
            keep_days=before.keep_days if days is None else days,
            keep_bytes=before.keep_bytes if size_bytes is None else size_bytes,
        )
        if not 0 <= chosen.keep_days <= MOST_DAYS or not (chosen.keep_bytes == 0 or 10_000_000 <= chosen.keep_bytes <= 1 << 50):
            raise AppError("body_invalid", "Days go from 0 (no limit) to 36500, bytes from ten million, or 0 for no limit.")
        for name in ("keep_days", "keep_bytes"):
            if getattr(chosen, name) != getattr(before, name):
                await marks.want(f"ledger.{name}", getattr(chosen, name))

        def write() -> None:
            said = SettingChanged(name="ledger retention", before=_words(before), after=_words(chosen))
            with self._threads.store.change(said, who, self._now_us()) as connection:
                retention.choose(connection, chosen)

        if chosen != before:
            await self._threads.write(write)

    async def trim(self, who: audit.Actor) -> Trimmed:
        """Let go what the policy lets go now, and give the space back."""
        async with self._threads.long_work:
            wanted, there = await self.policy()
            before = there.file_bytes
            now = self._now_us()
            lets_go = retention.while_undecided(wanted, self._undecided())
            plan = await self._threads.read(lambda: self._read(lambda c: retention.plan(c, lets_go, now)))
            rows = 0 if plan is None else await self._let_rows_go(plan, who, now)
            await self._give_back()
            self.ran = Ran(self._now_us(), wanted, (await self.policy())[1])
            return Trimmed(rows, max(0, before - self.ran.left.file_bytes))

    async def _let_rows_go(self, plan: Plan, who: audit.Actor, now: int) -> int:
        """What was begun is ended, however often it is cut off. AppError store_unavailable while it cannot be signed."""
        reading = Reading(quiet=who == "gateway")
        weighed = await self._threads.read(
            lambda: self._read(lambda c: retention.weigh(c, plan, lambda rows: reading.told(Told(rows=rows))))
        )
        await self._signed(lambda c, signer: retention.begin(c, signer, plan, weighed, who, now))
        rows = await self._remove(plan)
        sums = await self._threads.read(lambda: self._read(taken.digest))
        ended = self._now_us()
        await self._signed(lambda c, signer: retention.finish(c, signer, plan, weighed, rows, sums, who, ended))
        return rows

    async def _remove(self, plan: Plan) -> int:
        rows, after, most = 0, b"", _START
        while True:
            place, size = after, most
            (gone, following), took = await self._step(lambda c: retention.remove(c, plan, place, size))  # noqa: B023 - awaited
            rows += gone
            if following is None:
                return rows
            after, most = following, _sized(most, took)

    async def _give_back(self) -> None:
        pages, left = _VACUUM_PAGES, 1
        while left > 0:
            size, before = pages, left
            left, took = await self._step(lambda c: retention.give_back(c, size))  # noqa: B023 - awaited
            if left == before:
                return
            pages = _sized(pages, took)

    async def _mend(self) -> None:
        if not await self._threads.read(lambda: self._read(lambda c: daily.fits(c, None))):
            await self._threads.write(lambda: self._write(daily.mend))

    # -- prices

    async def prices(self) -> list[OwnPrice]:
        return await self._threads.read(lambda: self._read(own_prices.known))

    async def set_price(self, price: OwnPrice, who: Who) -> None:
        """From now on; what was recorded before keeps its cost until somebody has it worked out again."""
        before = next((one.words() for one in await self.prices() if (one.account, one.model) == (price.account, price.model)), "")

        def write() -> None:
            event = PriceSet(name=price.account, model=price.model, before=before, after=price.words())
            with self._threads.store.change(event, who, self._now_us()) as connection:
                own_prices.put(connection, price)

        await self._threads.write(write)
        await self.load()

    async def remove_price(self, account: str, model: str, who: Who) -> None:
        """AppError unknown_name."""
        before = next((one.words() for one in await self.prices() if (one.account, one.model) == (account, model)), None)
        if before is None:
            raise AppError("unknown_name", "There is no such price of your own.", "See `gatehouse price list`.")

        def write() -> None:
            with self._threads.store.change(
                PriceSet(name=account, model=model, before=before, after=""), who, self._now_us()
            ) as connection:
                own_prices.remove(connection, account, model)

        await self._threads.write(write)
        await self.load()

    async def reprice(self, since_us: int, until_us: int, who: Who, *, unpriced_only: bool) -> Repriced:
        """Work out the costs of a period by the prices of now. Written into the audit log before and after."""
        async with self._threads.long_work:
            # What the rows that are going cost is signed, so they go first.
            if (going := await self._threads.read(lambda: self._read(floors.unfinished))) is not None:
                await self._let_rows_go(Plan.of(going), "gateway", self._now_us())
            low, high = search.bounds(Filter(since_us=since_us, until_us=until_us), None, None)
            started = LedgerRepriced(
                run=0, since_us=since_us, until_us=until_us, looked_at=0, changed=0, before_microusd=0, after_microusd=0, finished=False
            )
            run = await self._threads.write(lambda: self._write(lambda c: audit.append(c, started, who, self._now_us())))
            looked_at = changed = before = after_sum = 0
            after, most = b"", _START
            while True:
                place, size = after, most
                step, took = await self._step(
                    lambda c: repricing.step(c, run, low, high, place, size, self._price, unpriced_only=unpriced_only)  # noqa: B023 - awaited
                )
                looked_at, changed = looked_at + step.looked_at, changed + step.changed
                before, after_sum = before + step.before_microusd, after_sum + step.after_microusd
                if step.after is None:
                    break
                after, most = step.after, _sized(most, took)
            ended = LedgerRepriced(
                run=run, since_us=since_us, until_us=until_us, looked_at=looked_at, changed=changed, before_microusd=before,
                after_microusd=after_sum, finished=True,
            )  # fmt: skip
            await self._threads.write(lambda: self._write(lambda c: audit.append(c, ended, who, self._now_us())))
            return Repriced(looked_at, changed, before, after_sum)

    def _price(self, row: Exchange) -> tuple[int, str] | None:
        cost = self._accounts.cost(row.account, row.kind, row.model, row.tokens, row.opened_us)
        return None if cost is None else (cost.microusd, cost.price)

    # -- the store's threads

    def _read(self, work: Callable[..., T]) -> T:
        try:
            with self._threads.store.read() as connection:
                return work(connection)
        except BadInputError as error:
            why = "What was signed of old rows cannot be read, so nothing is done to them."
            raise AppError("store_unavailable", why, "See the Audit page, or run: gatehouse audit verify") from error

    def _write(self, work: Callable[..., T]) -> T:
        with self._threads.store.write() as connection:
            return work(connection)

    async def _step(self, work: Callable[..., T]) -> tuple[T, float]:
        """One step and the pause after it; what came of the step, and how long it took."""

        def timed() -> tuple[T, float]:
            began = time.perf_counter()
            with self._threads.store.write(durable=False) as connection:
                done = work(connection)
            return done, time.perf_counter() - began

        done, took = await self._threads.write(timed)
        await asyncio.sleep(took)
        while self._threads.unfolded > MOST_UNFOLDED:
            await asyncio.sleep(WAIT_S)
            await self._threads.fold()
        return done, took


def _sized(size: int, took_s: float) -> int:
    """How much to do in the next step, from how long this one took."""
    return max(_LEAST, min(_MOST, size * 2, int(size * STEP_S / max(took_s, 1e-6))))


def _words(policy: Policy) -> str:
    days = f"{policy.keep_days} days" if policy.keep_days else "any age"
    return f"{days}, {policy.keep_bytes:,} bytes" if policy.keep_bytes else f"{days}, any size"
