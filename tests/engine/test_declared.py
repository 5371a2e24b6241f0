"""Which changes of the declared list a command explains, and when that is settled."""

from __future__ import annotations

from typing import Any

from app.core.records import AuditEntry
from app.engine.declared import Declared

T_US = 1_795_000_000_000_000
S_US = 1_000_000


def facts(*changes: tuple[str, str, str, int], as_before: bool = False, by: str = "") -> dict[str, Any]:
    names = ("change", "account", "destination", "at_us")
    return {"changes": [dict(zip(names, change, strict=True)) | {"as_before": as_before, "by": by} for change in changes]}


def command(kind: str, destination: str, at_us: int) -> AuditEntry:
    return AuditEntry(seq=1, at_us=at_us, kind=kind, actor="", subject="", body={"detail": {"destination": destination}}, hash="")


ADDED = ("added", "work", "https://a.example:443", T_US)


def test_a_command_of_about_that_time_explains_a_change_and_it_is_never_asked_for_again() -> None:
    one = Declared()
    assert one.wants(facts(ADDED)) == T_US - 30 * S_US
    assert one.silent(facts(ADDED), [command("provider.added", "https://a.example:443", T_US - S_US)], T_US + 5 * S_US) == []
    assert one.wants(facts(ADDED)) is None
    assert one.silent(facts(ADDED), [], T_US + 900 * S_US) == []


def test_a_change_without_a_command_is_told_and_stays_told() -> None:
    one = Declared()
    others = [
        command("provider.removed", "https://a.example:443", T_US), command("provider.added", "https://b.example:443", T_US),
        command("provider.added", "https://a.example:443", T_US + 31 * S_US), command("client.added", "https://a.example:443", T_US),
        AuditEntry(seq=2, at_us=T_US, kind="provider.added", actor="", subject="", body={}, hash=""),
    ]  # fmt: skip
    sentence = "https://a.example:443 was added for “work” without a command."
    assert one.silent(facts(ADDED), others, T_US + S_US) == []  # the entry may be on its way
    assert one.silent(facts(ADDED), others, T_US + 3 * S_US) == [sentence]
    assert one.wants(facts(ADDED)) is not None  # and may still come
    assert one.silent(facts(ADDED), others, T_US + 60 * S_US) == [sentence]
    assert one.wants(facts(ADDED)) is None
    assert one.silent(facts(ADDED), [command("provider.added", "https://a.example:443", T_US)], T_US + 70 * S_US) == [sentence]


def test_a_change_whose_entry_was_pruned_away_is_not_said_to_have_had_no_command() -> None:
    one = Declared()
    assert one.silent(facts(ADDED), [], T_US + 60 * S_US, pruned_us=T_US + 5 * S_US) == []
    assert one.wants(facts(ADDED)) is not None  # nothing is known, so nothing is settled
    later = ("added", "work", "https://b.example:443", T_US + 90 * S_US)
    assert len(one.silent(facts(ADDED, later), [], T_US + 200 * S_US, pruned_us=T_US + 5 * S_US)) == 1, "what came after it is judged"
    told = Declared()
    assert len(told.silent(facts(ADDED), [], T_US + 60 * S_US)) == 1
    assert len(told.silent(facts(ADDED), [], T_US + 70 * S_US, pruned_us=T_US + 65 * S_US)) == 1, "a prune takes no verdict back"


def test_what_a_person_granted_needs_no_command() -> None:
    one = Declared()
    assert one.wants(facts(ADDED, by="window")) is None
    assert one.silent(facts(ADDED, by="command line"), [], T_US + 60 * S_US) == []


def test_what_is_as_it_was_before_needs_no_command() -> None:
    one = Declared()
    assert one.wants(facts(ADDED, as_before=True)) is None
    assert one.silent(facts(ADDED, as_before=True), [], T_US + 60 * S_US) == []


def test_what_the_keeper_no_longer_tells_is_forgotten() -> None:
    one = Declared()
    one.silent(facts(ADDED), [], T_US + 60 * S_US)
    assert len(one._judged) == 1
    assert one.silent(facts(), [], T_US + 60 * S_US) == []
    assert one._judged == {}
