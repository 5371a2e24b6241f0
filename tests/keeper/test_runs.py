"""The secrets of runs: kept before anybody has them, beside those of earlier runs, until these are signed over."""

from __future__ import annotations

import json

import pytest

from app.core.runs import MOST, Runs
from app.keeper.sealing import SEALED_LABEL, derived
from app.keeper.strongbox import Opened, Strongbox
from app.system.paths import Paths
from tests.keeper.test_strongbox import PASSPHRASE, Items, box, items, master_of, opened, paths

__all__ = ["items", "paths"]
ONE, TWO, THREE = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


def begun(strongbox: Strongbox, found: Opened, fresh: bytes) -> tuple[Opened, Runs | None]:
    return strongbox.begin_run(found, fresh, derived(master_of(found), SEALED_LABEL))


@pytest.mark.parametrize("kept", ["keyring", "passphrase"])
def test_each_run_is_kept_beside_those_before_until_they_are_sealed(kept: str, paths: Paths, items: Items) -> None:
    strongbox = box(paths, items if kept == "keyring" else None)
    found = opened(strongbox, kept, PASSPHRASE if kept == "passphrase" else None)
    assert begun(strongbox, found, ONE) == (found, Runs((ONE,), untagged=True))
    assert begun(strongbox, found, TWO) == (found, Runs((ONE, TWO), untagged=True))
    strongbox.keep_runs(Runs((ONE, TWO), untagged=True).sealed(), derived(master_of(found), SEALED_LABEL))
    assert begun(strongbox, found, THREE) == (found, Runs((TWO, THREE)))
    everything = paths.vault.read_text()
    assert not any(key.hex() in everything for key in (ONE, TWO, THREE)), "in the clear nowhere in the folder"


def test_a_vault_that_does_not_keep_it_gives_no_key_at_all(paths: Paths, items: Items) -> None:
    strongbox = box(paths, items)
    found = opened(strongbox)
    items.locked = True
    shown, runs = begun(strongbox, found, ONE)
    assert (shown.state, shown.master, runs) == ("locked", None, None)
    assert shown.message


@pytest.mark.parametrize("damage", ["sealed", "text"])
def test_what_cannot_be_read_counts_as_nothing(damage: str, paths: Paths, items: Items) -> None:
    """And not as a vault that never held one: what lies untagged is not excused."""
    if damage == "text":
        strongbox = box(paths, items)
        found = opened(strongbox)
        items.items[found.service, "audit-run"] = '{"v":1,"untagged":true,"keys":["00"]}'
    else:
        strongbox = box(paths, None)
        found = opened(strongbox, "passphrase", PASSPHRASE)
        begun(strongbox, found, ONE)
        file = json.loads(paths.vault.read_text())
        file["sealed"]["audit-run"] = file["sealed"]["master-key"]
        paths.vault.write_text(json.dumps(file))
    assert begun(strongbox, found, TWO) == (found, Runs((TWO,)))


def test_however_often_a_run_dies_before_it_signs_the_list_ends_somewhere() -> None:
    runs = Runs(untagged=True)
    for number in range(MOST + 5):
        runs = runs.begun(number.to_bytes(32))
    assert (len(runs.keys), runs.keys[-1], runs.untagged) == (MOST, (MOST + 4).to_bytes(32), True)
