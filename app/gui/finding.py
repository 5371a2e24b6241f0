"""What a person chooses and types above the requests, as a filter that the ledger answers at any size. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from app.control.contract import ActivityNames, RowFilter
from app.core.ids import call_id_bytes
from app.core.records import Exchange
from app.gui.spans import Span
from app.gui.words import tr

_STATUS: Final = re.compile(r"[1-5](\d\d|xx)", re.IGNORECASE)
_ID: Final = re.compile(r"req_[0-9a-z]{1,26}", re.IGNORECASE)
_OUTCOMES: Final = ("completed", "failed", "cancelled", "interrupted", "refused")
_NAMED: Final = ("clients", "providers", "models", "statuses", "outcomes")


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen in the menus ("" for all) and typed beside them."""

    client: str = ""
    provider: str = ""
    model: str = ""
    status: str = ""
    text: str = ""


def statuses() -> tuple[tuple[str, str], ...]:
    """What the menu offers, with words."""
    return (
        ("", tr("all")),
        ("completed", tr("answered")),
        ("failed", tr("failed")),
        ("refused", tr("refused")),
        ("cancelled", tr("cancelled")),
        ("interrupted", tr("interrupted")),
        ("429", "429"),
        ("4xx", "4xx"),
        ("5xx", "5xx"),
    )


def question(choice: Choice, over: Span, names: ActivityNames) -> RowFilter | None:
    """All of it must hold. None: nothing can fit, because two parts want different names."""
    typed = wanted(choice.text, names) if choice.text.strip() else RowFilter()
    fields: dict[str, tuple[str, ...]] = {}
    status, outcome = ("", choice.status) if choice.status in _OUTCOMES else (choice.status, "")
    for field, menu in zip(_NAMED, (choice.client, choice.provider, choice.model, status, outcome), strict=True):
        both = _both((menu,) if menu else (), getattr(typed, field))
        if both is None:
            return None
        fields[field] = both
    return msgspec.structs.replace(typed, since_us=over.since_us, until_us=over.until_us, **fields)


def wanted(text: str, names: ActivityNames) -> RowFilter:
    """A request's id or how it begins, a status, an outcome, the name of a client, provider or model; or several of these, which must all
    hold; anything else is looked for in the errors of failed requests. Whatever the case."""
    text = text.strip()
    whole = _understood(text, names)
    if whole is not None:
        return whole
    words = [_understood(word, names) for word in text.split()]
    together = RowFilter()
    for word in words:
        if word is None:
            return RowFilter(text=text)
        fields: dict[str, tuple[str, ...] | str] = {}
        for field in _NAMED:
            both = _both(getattr(together, field), getattr(word, field))
            if both is None:
                return RowFilter(text=text)
            fields[field] = both
        together = msgspec.structs.replace(together, id=word.id or together.id, **fields)
    return together


def lets_through(row: Exchange, only: RowFilter | None) -> bool:
    """Whether a row that just closed belongs to what was asked for, as the ledger would say it."""
    return (
        only is not None
        and (only.since_us is None or row.opened_us // 1000 >= only.since_us // 1000)
        and (only.until_us is None or row.opened_us // 1000 < (only.until_us + 999) // 1000)
        and (not only.clients or row.client in only.clients)
        and (not only.providers or row.account in only.providers)
        and (not only.models or row.model in only.models)
        and (not only.statuses or any(_has_status(row, status) for status in only.statuses))
        and (not only.outcomes or row.outcome in only.outcomes)
        and (not only.text or (row.message != "" and (_lower(only.text) in _lower(row.message) or _lower(only.text) in _lower(row.error))))
        and (not only.id or _letters(row.id).startswith(_letters(only.id)))
    )


def counts_exactly(only: RowFilter | None) -> bool:
    """Whether sums by client, provider and model count just these rows."""
    return only is None or not (only.statuses or only.outcomes or only.text or only.id)


def _understood(text: str, names: ActivityNames) -> RowFilter | None:
    low = text.lower()
    if _ID.fullmatch(text) and _begins_an_id(text):
        return RowFilter(id=text)
    if _STATUS.fullmatch(text):
        return RowFilter(statuses=(low,))
    if low in _OUTCOMES:
        return RowFilter(outcomes=(low,))
    for exact in (True, False):
        clients, providers, models = (
            tuple(name for name in known if (name.lower() == low if exact else low in name.lower()))
            for known in (names.clients, names.providers, names.models)
        )
        if clients:
            return RowFilter(clients=clients)
        if providers:
            return RowFilter(providers=providers)
        if models:
            return RowFilter(models=models)
    return None


def _begins_an_id(text: str) -> bool:
    letters = text[4:]
    try:
        call_id_bytes("req_" + letters.upper() + "0" * (26 - len(letters)))
    except ValueError:
        return False
    return True


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    """What lies in both; an empty side wants nothing. None: they have nothing in common."""
    if not one or not other:
        return one or other
    return tuple(dict.fromkeys(narrow for a in one for b in other if (narrow := _narrower(a, b)))) or None


def _narrower(one: str, other: str) -> str:
    """The same name, or of two statuses the one that lies in the other (429 in 4xx); "" when they do not meet."""
    if one == other:
        return one
    for a, b in ((one, other), (other, one)):
        if _STATUS.fullmatch(a) and _STATUS.fullmatch(b) and b.endswith("xx") and a[0] == b[0]:
            return a
    return ""


def _has_status(row: Exchange, status: str) -> bool:
    return status in (row.outcome, f"{row.status:03}") or (status.endswith("xx") and row.status // 100 == int(status[0]))


def _letters(text: str) -> str:
    return text.strip().removeprefix("req_").upper()


def _lower(text: str) -> str:
    """As the ledger lowers: the letters A to Z alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
