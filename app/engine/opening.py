"""Opening the store: database, then what the journal still holds, then who is known. Runs in a thread, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.core.events import GatewayStarted, GatewayStopped
from app.core.records import Account, Client, Exchange, OwnPrice
from app.core.runs import Runs
from app.core.stuck import ENGINE_STUCK, Stuck
from app.store import accounts, audit, checkpoints, clients, egress, ledger, own_prices, settings
from app.store.database import Store
from app.store.journal import Journal
from app.store.tags import Tags
from app.system.paths import Paths


@dataclass(frozen=True, slots=True)
class Found:
    """replayed: rows the journal held that were not committed yet. interrupted: those among them that never ended.

    crashed: the run before did not say that it stopped. damage: what of the journal could not be read, in one sentence, or "".
    signed, newest: the newest entry of the audit log that a signature covers, and the newest one, before this run wrote any.
    last_connection: the highest number that any connection had so far.
    """

    store: Store
    journal: Journal
    accounts: list[Account]
    clients: list[tuple[Client, bytes]]
    prices: list[OwnPrice]
    settings: dict[str, str]
    replayed: int
    interrupted: int
    crashed: bool
    damage: str
    signed: int
    newest: int
    last_connection: int = 0


def open_store(folder: Path, keys: dict[str, bytes], runs: Runs, now_us: Callable[[], int], stuck: Sequence[Stuck] = ()) -> Found:
    """AppError store_wrong_key, store_newer, store_unavailable or data_folder; nothing stays open then.

    stuck: engines that stood still; the exchanges that they were at say so.
    """
    paths = Paths(folder)
    store = Store.open(paths.database, keys["db"], tagging=Tags(runs))
    try:
        journal, replay = Journal.open(paths.journal, keys["journal"])
        try:
            with store.first_look() as look:
                signed, last = checkpoints.signed_upto(look), audit.newest_number(look)
            left = [*replay.closed, *_named(replay.interrupted, stuck)]
            replayed = 0
            if left:
                with store.write() as connection:
                    replayed = ledger.record(connection, left, now_us())
                journal.committed([row.id for row in left])
                journal.sync()
            # Nothing that needs SQLAlchemy, whose import would stand before the first answer.
            with store.first_look() as look:
                newest = audit.last(look, (GatewayStarted.KIND, GatewayStopped.KIND))
                return Found(
                    store=store,
                    journal=journal,
                    accounts=accounts.all(look),
                    clients=clients.all(look),
                    prices=own_prices.known(look),
                    settings=settings.all(look),
                    replayed=replayed,
                    interrupted=len(replay.interrupted),
                    crashed=newest is not None and newest.kind == GatewayStarted.KIND,
                    damage=replay.damage,
                    signed=signed,
                    newest=last,
                    last_connection=egress.last_number(look),
                )
        except BaseException:
            journal.close()
            raise
    except BaseException:
        store.close()
        raise


def _named(interrupted: Sequence[Exchange], stuck: Sequence[Stuck]) -> list[Exchange]:
    """Those that an engine stood still over say that, instead of nothing."""
    why = {one.request: one for one in stuck if one.request}
    return [
        row if (one := why.get(row.id)) is None else replace(row, error=ENGINE_STUCK, message=one.of_the_request()) for row in interrupted
    ]
