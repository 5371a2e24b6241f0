"""What the audit log keeps outside of the database: two named items, and nothing else by that way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.secret import Secret
from app.keeper.sealing import SEALED_LABEL, derived
from app.keeper.strongbox import AUDIT_ITEMS, Strongbox
from app.system.keyrings import Keyring
from app.system.paths import Paths
from tests.keeper.test_strongbox import PASSPHRASE, Items


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "data")
    made.data_dir.mkdir(mode=0o700)
    return made


def test_in_a_keyring_they_are_items_of_their_own(paths: Paths) -> None:
    items = Items()
    strongbox = Strongbox(paths, Keyring(items, "a keyring"), default_folder=False)
    opened = strongbox.open("keyring", prompt=False, passphrase=None)
    assert opened.master is not None
    sealing = derived(opened.master, SEALED_LABEL)
    for item in AUDIT_ITEMS:
        assert strongbox.audit_get(item, sealing) is None
        assert strongbox.audit_put(item, Secret(f"{{{item}}}"), sealing) == "a keyring"
        found = strongbox.audit_get(item, sealing)
        assert found is not None
        assert found.reveal() == f"{{{item}}}"
        assert items.items[opened.service, item] == f"{{{item}}}"


def test_with_a_passphrase_they_are_sealed_in_the_vault_file(paths: Paths) -> None:
    strongbox = Strongbox(paths, Keyring(None, "nothing"), default_folder=False)
    opened = strongbox.open("passphrase", prompt=False, passphrase=PASSPHRASE)
    assert opened.master is not None
    sealing = derived(opened.master, SEALED_LABEL)
    strongbox.audit_put("audit-anchor", Secret("where it was"), sealing)
    assert "where it was" not in paths.vault.read_text()
    found = strongbox.audit_get("audit-anchor", sealing)
    assert found is not None
    assert found.reveal() == "where it was"
    file = json.loads(paths.vault.read_text())
    file["sealed"]["audit-anchor"] = file["sealed"]["master-key"]
    paths.vault.write_text(json.dumps(file))
    with pytest.raises(AppError) as refused:
        strongbox.audit_get("audit-anchor", sealing)
    assert refused.value.code == "vault_denied"


@pytest.mark.parametrize("item", ["master-key", "provider/work", "", "audit-anchor/../master-key"])
def test_no_other_item_can_be_read_or_written_by_that_way(paths: Paths, item: str) -> None:
    strongbox = Strongbox(paths, Keyring(Items(), "a keyring"), default_folder=False)
    opened = strongbox.open("keyring", prompt=False, passphrase=None)
    assert opened.master is not None
    sealing = derived(opened.master, SEALED_LABEL)
    for act in (lambda: strongbox.audit_get(item, sealing), lambda: strongbox.audit_put(item, Secret("x"), sealing)):
        with pytest.raises(AppError) as refused:
            act()
        assert refused.value.code == "name_invalid"
    assert strongbox.open("keyring", prompt=False, passphrase=None).master == opened.master
