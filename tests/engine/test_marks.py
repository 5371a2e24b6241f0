"""What is found of marked settings, against what the keeper says of it: for how long nothing is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.core import wishes
from app.core.events import GatewayStarted
from app.engine.marks import Marks
from app.engine.recorder import StoreThreads
from app.store import audit, settings
from app.store.database import Store
from app.system.paths import Paths

DEFAULTS = {what: row.default for what, row in wishes.WISHES.items() if row.default is not None and row.about == "nothing"}


class Keeper:
    """Says that what was wished for counts, else the default, as `consent` does."""

    def __init__(self, wished: Mapping[str, str]) -> None:
        self.wished = wished

    async def ask(self, op: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        assert op == "settings"
        used = [self.wished.get(what, DEFAULTS[what]) for what, *_ in fields["found"]]
        held = [None if value == counts else value for counts, (_, _, _, value, _) in zip(used, fields["found"], strict=True)]
        return {"used": list(zip(used, held, strict=True)), "wished": [what in self.wished for what, *_ in fields["found"]]}, []


@pytest.mark.parametrize(
    ("found", "wished", "undecided"),
    [
        ({"ledger.keep_bytes": "0"}, {}, {"ledger.keep_bytes"}),
        ({"ledger.keep_bytes": str(8 << 30)}, {}, {"ledger.keep_bytes"}),
        ({"ledger.keep_bytes": "10000000"}, {}, set()),  # shorter than the default: what is said to be kept is kept
        ({"audit.keep_days": "0", "ledger.keep_days": "7"}, {}, {"audit.keep_days"}),
        ({"audit.keep_days": "1095", "audit.on_failure": "continue"}, {}, {"audit.keep_days"}),
        ({"audit.keep_days": "0"}, {"audit.keep_days": "30"}, set()),  # somebody chose, and nothing is kept longer than that
        ({"audit.keep_days": "30"}, {"audit.keep_days": "30"}, set()),
        ({}, {}, set()),
    ],
)
def test_what_would_go_by_the_default_stays_while_a_person_is_asked_for_longer(
    data_dir: Path, found: dict[str, str], wished: dict[str, str], undecided: set[str]
) -> None:
    paths = Paths(data_dir)
    paths.engine.mkdir()
    store = Store.open(paths.database, bytes(32))
    with store.write() as connection:
        audit.append(connection, GatewayStarted(version="0", port=1, replayed=0), "gateway", 1)
        for name, value in found.items():
            settings.put(connection, name, value)

    async def story() -> frozenset[str]:
        threads = StoreThreads(store)
        marks = Marks(Keeper(wished), lambda: 2)  # type: ignore[arg-type]  # what it asks, answered here
        assert marks.undecided() == frozenset()
        await marks.settle(found, (), threads)
        await asyncio.get_running_loop().run_in_executor(None, threads.close)
        return marks.undecided()

    assert asyncio.run(story()) == undecided
