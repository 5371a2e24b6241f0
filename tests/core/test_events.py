"""Events: each has a name of its own and a body the audit chain can hold."""

from __future__ import annotations

import dataclasses
import typing

from app.core import chain, events
from app.core.events import Event
from app.core.records import Exchange

KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event]
_SAMPLES: dict[object, object] = {
    str: "größe ☃",
    int: 7,
    bool: True,
    tuple[str, ...]: ("größe ☃", ""),
    Exchange: Exchange(id="req_0", opened_us=1),
}


def sample(kind: type[Event]) -> Event:
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: _SAMPLES[hints[field.name]] for field in dataclasses.fields(kind)})


def test_every_kind_has_a_stable_name_of_its_own() -> None:
    names = [kind.KIND for kind in KINDS]
    assert len(KINDS) > 10
    assert len(set(names)) == len(names)
    assert all(name and name == name.lower() and "." in name for name in names)


def test_every_audited_event_can_be_written_into_the_chain() -> None:
    for kind in KINDS:
        event = sample(kind)
        if kind.AUDITED:
            assert chain.canonical(event.detail())
        assert isinstance(event.subject(), str)


def test_no_audited_event_has_a_field_for_a_secret_or_a_prompt() -> None:
    for kind in KINDS:
        if kind.AUDITED:
            names = {field.name for field in dataclasses.fields(kind)}
            assert names.isdisjoint({"key", "secret", "passphrase", "token", "prompt", "body", "content", "messages", "text"}), kind
