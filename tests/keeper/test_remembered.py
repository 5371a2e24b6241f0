"""What persons wished for in earlier runs, in a file that others may read, copy, exchange or damage, and cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AppError
from app.core.records import Destination
from app.core.wishes import WISHES
from app.keeper.remembered import Remembered

HERE = Destination("https", "api.example.com", 443)
KEY, OTHER = b"k" * 32, b"o" * 32


def remembered(path: Path | None, key: bytes | None = KEY, log: list[str] | None = None) -> Remembered:
    return Remembered(path, lambda: key, [].append if log is None else log.append)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "declared.json"


def test_it_knows_what_was_wished_for_and_shows_nothing_of_it(file: Path) -> None:
    one = remembered(file)
    one.add("work", HERE)
    one.choose("client.identifiers", "my tool", 7, "pass")
    again = remembered(file)
    assert again.has("work", HERE)
    assert again.setting("client.identifiers", "my tool", 7) == "pass"
    for word in ("work", "example", "my tool", "identifiers"):
        assert word not in file.read_text()


@pytest.mark.parametrize(
    ("account", "other"),
    [
        ("Work", HERE), ("other", HERE), ("work", Destination("http", HERE.host, 443)), ("work", Destination("https", "example.com", 443)),
        ("work", Destination("https", HERE.host, 8443)), ("work", Destination("https", HERE.host, 443, local=True)),
    ],
)  # fmt: skip
def test_anything_else_is_not_as_before(file: Path, account: str, other: Destination) -> None:
    remembered(file).add("work", HERE)
    assert not remembered(file).has(account, other)


def test_another_client_of_the_same_name_has_none_of_its_wishes(file: Path) -> None:
    remembered(file).choose("client.content", "tool", 7, "on")
    assert remembered(file).setting("client.content", "tool", 8) is None


def test_what_was_removed_is_forgotten(file: Path) -> None:
    one = remembered(file)
    one.add("work", HERE)
    one.remove("work", HERE)
    assert not remembered(file).has("work", HERE)


def forged(content: dict[str, Any]) -> list[Any]:
    other_mac = content | {"mac": "0" * 64}
    changed: list[dict[str, Any]] = [
        {"mac": ""}, {"mac": "ä"}, {"mac": None}, {"destinations": content["destinations"] * 2}, {"destinations": []},
        {"settings": {}}, {"settings": None}, {"version": 1},
    ]  # fmt: skip
    without = {name: value for name, value in content.items() if name != "mac"}
    return [other_mac, *(content | change for change in changed), {}, None, 7, "x", without]


def test_a_file_that_is_not_as_it_was_written_counts_for_nothing_and_is_said(file: Path) -> None:
    one = remembered(file)
    one.add("work", HERE)
    one.choose("audit.keep_days", "", 0, "30")
    for content in [json.dumps(each) for each in forged(json.loads(file.read_text()))] + ["{", "", "[" * 100_000, "\ud800"]:
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
        log: list[str] = []
        found = remembered(file, log=log)
        assert not found.has("work", HERE), content[:200]
        assert found.setting("audit.keep_days", "", 0) is None
        assert not found.adopting
        assert len(log) == 1


def test_under_another_key_it_counts_for_nothing(file: Path) -> None:
    remembered(file).add("work", HERE)
    assert not remembered(file, OTHER).has("work", HERE)


def test_parts_of_two_of_its_own_files_do_not_make_a_third(file: Path) -> None:
    one = remembered(file)
    one.add("old", HERE)
    before = json.loads(file.read_text())
    one.remove("old", HERE)
    one.choose("audit.keep_days", "", 0, "30")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"destinations": before["destinations"]}))
    assert not remembered(file).has("old", HERE)


def test_the_list_of_an_earlier_version_counts_and_its_settings_are_taken_over_once(file: Path) -> None:
    one = remembered(file)
    one.add("work", HERE)
    file.write_text(json.dumps(json.loads(file.read_text())["destinations"]))  # as version 1 wrote it
    upgraded = remembered(file)
    assert upgraded.has("work", HERE)
    assert upgraded.adopting
    upgraded.add("more", HERE)
    assert remembered(file).adopting, "until the engine said what it finds"
    upgraded.choose_all([("audit.keep_days", "", 0, "30")])
    after = remembered(file)
    assert not after.adopting
    assert after.setting("audit.keep_days", "", 0) == "30"


def test_without_a_file_nothing_is_taken_over(file: Path) -> None:
    assert not remembered(file).adopting


def test_while_the_keys_are_locked_nothing_is_known_and_nothing_is_lost(file: Path) -> None:
    remembered(file).add("work", HERE)
    key: list[bytes | None] = [None]
    one = Remembered(file, lambda: key[0], [].append)
    assert not one.has("work", HERE)
    with pytest.raises(AppError, match="vault_locked"):
        one.choose("audit.keep_days", "", 0, "30")
    key[0] = KEY
    assert one.has("work", HERE)
    key[0] = None  # forgotten when the keyring locked: what is known stays known
    assert one.has("work", HERE)


def test_a_setting_that_cannot_be_written_is_not_wished_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = remembered(file)

    def full(path: Path, content: bytes) -> None:
        raise AppError("data_folder", "The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("app.keeper.remembered.write_private", full)
        with pytest.raises(AppError, match="data_folder"):
            one.choose("audit.keep_days", "", 0, "30")
    assert one.setting("audit.keep_days", "", 0) is None


def test_a_taking_over_that_cannot_be_written_is_still_to_be_done(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[]")  # as version 1 wrote it
    one = remembered(file)

    def full(path: Path, content: bytes) -> None:
        raise AppError("data_folder", "The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("app.keeper.remembered.write_private", full)
        with pytest.raises(AppError, match="data_folder"):
            one.choose_all([("ledger.keep_bytes", "", 0, "0")])
    assert one.adopting, "or the next answer of the engine would be held against nothing"
    one.choose_all([("ledger.keep_bytes", "", 0, "0")])
    assert not one.adopting
    assert one.setting("ledger.keep_bytes", "", 0) == "0"


def test_what_clients_were_given_pushes_nothing_out_that_is_of_all(file: Path) -> None:
    one = remembered(file)
    of_all = [what for what, row in WISHES.items() if row.default is not None and row.about == "nothing"]
    one.choose_all([(what, "", 0, "7") for what in of_all])
    one.choose_all([("client.content", f"tool {number}", number, "on") for number in range(2_500)])
    one.choose("client.content", "tool", 1, "on")
    after = remembered(file)
    assert {what: after.setting(what, "", 0) for what in of_all} == dict.fromkeys(of_all, "7")
    assert len(json.loads(file.read_text())["settings"]) == 2_000


def test_it_does_not_grow_for_ever(file: Path) -> None:
    one = remembered(file)
    one.choose_all([("client.content", f"tool {number}", number, "on") for number in range(2_500)])
    assert one.setting("client.content", "tool 2499", 2_499) == "on"
    assert one.setting("client.content", "tool 0", 0) is None
    assert len(json.loads(file.read_text())["settings"]) == 2_000


def test_a_session_remembers_for_itself_alone(tmp_path: Path) -> None:
    one = remembered(None, None)
    one.add("work", HERE)
    one.choose("audit.keep_days", "", 0, "30")
    assert one.has("work", HERE)
    assert one.setting("audit.keep_days", "", 0) == "30"
    assert not remembered(None, None).has("work", HERE)
    assert list(tmp_path.iterdir()) == []
