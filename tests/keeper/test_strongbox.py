"""vault.json and the master key: made once, found again, never replaced beside data; large secrets sealed; wrong passphrases told apart."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.secret import Secret
from app.keeper.sealing import SEALED_LABEL, NotOpenedError, Stretching, derived, seal, unseal
from app.keeper.strongbox import Opened, Strongbox
from app.system.keyrings import Keyring
from app.system.paths import Paths

PASSPHRASE = Secret("correct horse battery")


class Items:
    """A keyring at the library's own interface, with the size rule of Windows: what is too large is refused as it is there."""

    def __init__(self, limit: int | None = None) -> None:
        self.items: dict[tuple[str, str], str] = {}
        self.limit = limit
        self.locked = False
        self.forgets = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked
        if self.limit is not None and len(password.encode("utf-16-le")) > self.limit * 2:
            raise OSError(1783, "The stub received bad data.")
        if not self.forgets:
            self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.items[service, username]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "data")
    made.engine.mkdir(mode=0o700, parents=True)
    return made


@pytest.fixture
def items() -> Items:
    return Items()


@pytest.fixture(scope="module")
def locked_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The vault.json of a passphrase vault."""
    made = Paths(tmp_path_factory.mktemp("locked"))
    opened(box(made, None), "passphrase", PASSPHRASE)
    return dict(json.loads(made.vault.read_text()))


def box(paths: Paths, items: Items | None, *, default: bool = False, limit: int | None = None) -> Strongbox:
    return Strongbox(paths, Keyring(items, "a test keyring", limit), default_folder=default)


def opened(strongbox: Strongbox, wanted: Any = "auto", passphrase: Secret | None = None) -> Opened:
    return strongbox.open(wanted, prompt=False, passphrase=passphrase)


def master_of(result: Opened) -> bytes:
    assert result.state == "ready", result.message
    assert result.master is not None
    return result.master


def refused(work: Callable[[], object]) -> AppError:
    with pytest.raises(AppError) as caught:
        work()
    return caught.value


def test_a_new_folder_gets_one_master_key_and_keeps_it(paths: Paths, items: Items) -> None:
    first = opened(box(paths, items))
    assert (first.mode, first.place, first.message) == ("keyring", "a test keyring", "")
    assert first.service.startswith("Gatehouse-")
    assert opened(box(paths, items), "keyring").master == master_of(first)
    assert set(items.items) == {(first.service, "master-key")}, "the probe is gone"
    file = json.loads(paths.vault.read_text())
    assert file == {"version": 1, "mode": "keyring", "service": first.service, "sealed": {}}
    assert stat.S_IMODE(paths.vault.stat().st_mode) == 0o600
    assert master_of(first).hex() not in paths.vault.read_text()


def test_the_default_folder_is_found_again_under_its_fixed_name_even_without_vault_json(paths: Paths, items: Items) -> None:
    first = opened(box(paths, items, default=True))
    assert first.service == "Gatehouse"
    paths.vault.unlink()
    paths.database.write_bytes(b"data")
    assert opened(box(paths, items, default=True)).master == master_of(first)
    assert paths.vault.exists()


def test_a_missing_master_key_beside_data_is_never_made_anew(paths: Paths, items: Items) -> None:
    opened(box(paths, items))
    paths.database.write_bytes(b"data")
    items.items.clear()
    for wanted in ("auto", "keyring"):
        result = opened(box(paths, items), wanted)
        assert (result.state, result.master) == ("empty", None)
        assert "does not make a new one" in result.message
        assert "master-key" in result.message
    assert not items.items


@pytest.mark.parametrize("trace", ["database", "journal", "sealed"])
def test_any_trace_of_data_forbids_a_new_key(paths: Paths, items: Items, trace: str) -> None:
    limited = Items(limit=1280)
    service = opened(box(paths, limited, limit=1280))
    if trace == "database":
        paths.database.write_bytes(b"")
    elif trace == "journal":
        paths.journal.mkdir()
        (paths.journal / "1.log").write_bytes(b"x")
    else:
        box(paths, limited, limit=1280).put("work", Secret("x" * 4000), derived(master_of(service), SEALED_LABEL))
    assert opened(box(paths, items)).state == "empty"
    assert not items.items


def test_data_without_vault_json_in_a_named_folder_is_empty(paths: Paths, items: Items) -> None:
    paths.database.write_bytes(b"data")
    for wanted in ("auto", "keyring", "passphrase"):
        result = opened(box(paths, items), wanted, PASSPHRASE)
        assert result.state == "empty"
        assert "vault.json" in result.message
    assert not items.items
    assert not paths.vault.exists()
    assert opened(box(paths, items, default=True), "passphrase", PASSPHRASE).state == "empty"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"version":2,"mode":"keyring","service":"x","sealed":{}}', b'{"version":1}', b"[" * 100_000,
     b'{"version":1,"mode":"none","service":"x","sealed":{}}', b'{"version":1,"mode":"keyring","service":7,"sealed":{}}',
     b'{"version":1,"mode":"keyring","service":"x","sealed":{"a":1}}', b"\xff"],
)  # fmt: skip
def test_a_damaged_vault_json_is_said_and_left_alone(paths: Paths, items: Items, content: bytes) -> None:
    paths.vault.write_bytes(content)
    assert opened(box(paths, items)).state == "empty"
    assert paths.vault.read_bytes() == content
    assert not items.items
    assert refused(lambda: box(paths, items).get("work", b"k" * 32)).code == "vault_empty"
    assert refused(lambda: box(paths, items).put("work", Secret("x"), b"k" * 32)).code == "vault_empty"


def test_a_master_key_that_is_no_key_is_said(paths: Paths, items: Items) -> None:
    service = opened(box(paths, items)).service
    for value in ("", "zz", "00" * 31, "hello"):
        items.items[service, "master-key"] = value
        result = opened(box(paths, items))
        assert result.state == "empty"
        assert "is not a key" in result.message


def test_no_keyring_leaves_the_choice_to_the_person_and_writes_nothing(paths: Paths) -> None:
    result = opened(box(paths, None))
    assert (result.mode, result.state) == ("keyring", "absent")
    for choice in ("--vault passphrase", "--vault session", "stop"):
        assert choice in result.message
    assert list(paths.data_dir.iterdir()) == [paths.engine]
    chosen = opened(box(paths, None), "auto", PASSPHRASE)
    assert (chosen.mode, chosen.state) == ("passphrase", "ready")
    assert opened(box(paths, None), "auto", PASSPHRASE).master == chosen.master


def test_a_keyring_that_is_gone_later_is_absent_and_no_passphrase_vault_replaces_it(paths: Paths, items: Items) -> None:
    opened(box(paths, items))
    result = opened(box(paths, None), "auto", PASSPHRASE)
    assert (result.mode, result.state) == ("keyring", "absent")
    assert json.loads(paths.vault.read_text())["mode"] == "keyring"


def test_a_locked_keyring_is_locked_and_nothing_is_written(paths: Paths, items: Items) -> None:
    items.locked = True
    result = opened(box(paths, items))
    assert (result.state, result.master) == ("locked", None)
    assert list(paths.data_dir.iterdir()) == [paths.engine]


def test_a_keyring_that_forgets_is_found_out_before_anything_is_trusted_to_it(paths: Paths, items: Items) -> None:
    items.forgets = True
    result = opened(box(paths, items))
    assert result.state == "denied"
    assert "did not keep" in result.message
    assert not paths.vault.exists()


def test_a_folder_is_opened_only_in_its_own_mode(paths: Paths, items: Items) -> None:
    opened(box(paths, items))
    error = refused(lambda: opened(box(paths, items), "passphrase", PASSPHRASE))
    assert error.code == "vault_denied"
    assert "--vault keyring" in error.hint


def test_secrets_are_items_of_their_own(paths: Paths, items: Items) -> None:
    result = opened(box(paths, items))
    sealing = derived(master_of(result), SEALED_LABEL)
    ours = box(paths, items)
    assert ours.put("work", Secret("sk-1"), sealing) == "a test keyring"
    assert items.items[result.service, "provider/work"] == "sk-1"
    assert ours.get("work", sealing).reveal() == "sk-1"
    assert refused(lambda: ours.get("other", sealing)).code == "provider_key_missing"
    ours.remove("work")
    ours.remove("work")
    assert refused(lambda: ours.get("work", sealing)).code == "provider_key_missing"
    for name in ("", "x" * 201, "a\nb"):
        assert refused(lambda name=name: ours.get(name, sealing)).code == "name_invalid"


def test_no_name_of_an_account_reaches_the_master_key(paths: Paths, items: Items) -> None:
    result = opened(box(paths, items))
    sealing = derived(master_of(result), SEALED_LABEL)
    for name in ("master-key", "../master-key", "/master-key"):
        assert refused(lambda name=name: box(paths, items).get(name, sealing)).code == "provider_key_missing"
        box(paths, items).put(name, Secret("x"), sealing)
    assert opened(box(paths, items)).master == result.master


def test_a_secret_over_the_limit_is_sealed_and_its_item_says_so(paths: Paths) -> None:
    items = Items(limit=1280)
    ours = box(paths, items, limit=1280)
    result = opened(ours)
    sealing = derived(master_of(result), SEALED_LABEL)
    large = Secret("k" * 4096)
    assert "sealed" in ours.put("work", large, sealing)
    assert items.items[result.service, "provider/work"] == "sealed:1"
    assert "kkkk" not in paths.vault.read_text()
    assert ours.get("work", sealing).reveal() == large.reveal()
    assert refused(lambda: ours.get("work", b"\0" * 32)).code == "provider_key_missing"
    # a smaller one takes its place, and the sealed one is gone
    assert ours.put("work", Secret("small"), sealing) == "a test keyring"
    assert json.loads(paths.vault.read_text())["sealed"] == {}
    assert ours.get("work", sealing).reveal() == "small"
    ours.put("work", large, sealing)
    ours.remove("work")
    assert json.loads(paths.vault.read_text())["sealed"] == {}
    assert (result.service, "provider/work") not in items.items


def test_a_secret_that_looks_like_our_mark_is_kept_as_it_is(paths: Paths, items: Items) -> None:
    sealing = derived(master_of(opened(box(paths, items))), SEALED_LABEL)
    for secret in ("sealed:1", "sealed:anything"):
        box(paths, items).put("work", Secret(secret), sealing)
        assert box(paths, items).get("work", sealing).reveal() == secret


def test_a_sealed_secret_opens_only_where_it_was_put(paths: Paths) -> None:
    items = Items(limit=1280)
    ours = box(paths, items, limit=1280)
    sealing = derived(master_of(opened(ours)), SEALED_LABEL)
    ours.put("a", Secret("x" * 2000), sealing)
    ours.put("b", Secret("y" * 2000), sealing)
    file = json.loads(paths.vault.read_text())
    file["sealed"]["provider/a"], file["sealed"]["provider/b"] = file["sealed"]["provider/b"], file["sealed"]["provider/a"]
    paths.vault.write_text(json.dumps(file))
    assert "changed or damaged" in refused(lambda: ours.get("a", sealing)).message


def test_a_passphrase_vault_opens_with_its_passphrase_only(paths: Paths, items: Items) -> None:
    new = opened(box(paths, items), "passphrase")
    assert (new.mode, new.state, new.place) == ("passphrase", "locked", "a file locked by your passphrase")
    assert "Choose a passphrase" in new.message
    assert refused(lambda: opened(box(paths, items), "passphrase", Secret("short"))).code == "vault_passphrase"
    assert not paths.vault.exists()
    first = opened(box(paths, items), "passphrase", PASSPHRASE)
    locked = opened(box(paths, items))
    assert (locked.mode, locked.state, locked.message) == ("passphrase", "locked", "Give the passphrase of this data folder.")
    error = refused(lambda: opened(box(paths, items), "auto", Secret("correct horse batterY")))
    assert error.code == "vault_passphrase"
    assert "is not the passphrase" in error.message
    assert opened(box(paths, items), "auto", PASSPHRASE).master == master_of(first)
    assert not items.items, "the keyring was not touched"
    # secrets are sealed in the file
    sealing = derived(master_of(first), SEALED_LABEL)
    assert box(paths, items).put("work", Secret("sk-canary"), sealing) == "a file locked by your passphrase"
    assert "canary" not in paths.vault.read_text()
    assert box(paths, items).get("work", sealing).reveal() == "sk-canary"
    box(paths, items).remove("work")
    assert refused(lambda: box(paths, items).get("work", sealing)).code == "provider_key_missing"
    assert opened(box(paths, items), "auto", PASSPHRASE).master == first.master


@pytest.mark.parametrize(
    "damage",
    [
        {"check": "00"},
        {"kdf": {}},
        {"kdf": {"name": "argon2id", "salt": "00" * 16, "memory_kib": 10**9, "passes": 3, "lanes": 4}},
        {"kdf": {"name": "scrypt", "salt": "00" * 16, "memory_kib": 262144, "passes": 3, "lanes": 4}},
        {"kdf": {"name": "argon2id", "salt": "00" * 16, "memory_kib": "262144", "passes": 3, "lanes": 4}},
        {"sealed": {}},
        {"sealed": {"master-key": "AAAA"}},
        {"sealed": {"master-key": "not base64!"}},
    ],
)
def test_a_damaged_passphrase_vault_is_told_from_a_wrong_passphrase_where_it_can_be(
    paths: Paths, items: Items, locked_file: dict[str, Any], damage: Any
) -> None:
    paths.vault.write_text(json.dumps(locked_file | damage))
    if "check" in damage:
        assert refused(lambda: opened(box(paths, items), "auto", PASSPHRASE)).code == "vault_passphrase"
    else:
        result = opened(box(paths, items), "auto", PASSPHRASE)
        assert (result.state, result.master) == ("empty", None)
        assert "damaged" in result.message


def test_a_vault_that_cannot_be_written_is_said_and_nothing_is_half_done(tmp_path: Path, items: Items) -> None:
    paths = Paths(tmp_path / "gone")  # no such folder: writing fails as on a full or read-only disk
    assert refused(lambda: opened(box(paths, items))).code == "data_folder"
    assert refused(lambda: opened(box(paths, items), "passphrase", PASSPHRASE)).code == "data_folder"


def test_keys_for_different_uses_are_different_and_stable() -> None:
    master = bytes(range(32))
    labels = ("db", "journal", "sealed-secrets", "client-keys", "declared")
    assert len({derived(master, label) for label in labels}) == len(labels)
    # the same as the cryptography library's HKDF, so that another program can follow
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    for label in labels:
        info = b"gatehouse/1/" + label.encode()
        assert derived(master, label) == HKDF(SHA256(), 32, salt=None, info=info).derive(master)


@given(
    secret=st.binary(max_size=200),
    context=st.text(max_size=20),
    other=st.text(max_size=20),
    where=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_what_is_sealed_opens_unchanged_or_not_at_all(secret: bytes, context: str, other: str, where: int, bit: int) -> None:
    import base64

    key = b"k" * 32
    try:
        sealed = seal(key, context, secret)
    except UnicodeEncodeError:
        return
    assert unseal(key, context, sealed) == secret
    raw = bytearray(base64.b64decode(sealed))
    raw[where % len(raw)] ^= 1 << bit
    for wrong_key, wrong_context, wrong in (
        (b"K" * 32, context, sealed),
        (key, context, base64.b64encode(raw).decode()),
        (key, context, sealed[:8]),
        (key, context, ""),
    ):
        with pytest.raises(NotOpenedError):
            unseal(wrong_key, wrong_context, wrong)
    if other != context:
        with pytest.raises((NotOpenedError, UnicodeEncodeError)):
            unseal(key, other, sealed)


def test_stretching_costs_what_it_promises() -> None:
    fields = Stretching.fresh().fields()
    assert (fields["name"], fields["memory_kib"], fields["passes"], fields["lanes"]) == ("argon2id", 262144, 3, 4)
    assert Stretching.of(fields).fields() == fields
    assert Stretching.fresh().salt != Stretching.fresh().salt
    quick = Stretching(os.urandom(16), memory_kib=8192, passes=1, lanes=1)
    assert quick.key("a") == quick.key("a") != quick.key("b")


class Asking(Items):
    """A keyring that is open, and asks the person for each item: read without a question, such an item is refused (macOS)."""

    def __init__(self) -> None:
        super().__init__()
        self.asks: set[str] = set()

    def get_password(self, service: str, username: str) -> str | None:
        if username in self.asks:
            raise keyring.errors.KeyringLocked
        return super().get_password(service, username)


def test_a_keyring_that_refuses_one_item_is_not_open_until_that_one_can_be_read(paths: Paths) -> None:
    """Otherwise everything would look well, and nobody would be offered the way to the question."""
    asking = Asking()
    made = box(paths, asking)
    master = opened(made).master
    assert master is not None
    made.put("work", Secret("sk-1"), derived(master, SEALED_LABEL))
    asking.asks = {"provider/work"}
    assert made.open("auto", prompt=False, passphrase=None).state == "ready"
    found = made.open("auto", prompt=False, passphrase=None, refused=["provider/work", "audit-key"])
    assert (found.state, found.message, found.master) == ("locked", "A test keyring is locked. Unlock it in Gatehouse.", master)
    asking.asks = set()
    assert made.open("auto", prompt=True, passphrase=None, refused=["provider/work", "provider/gone"]).state == "ready"
