"""What a person types above the requests, as a filter that the ledger answers at any size. Pure."""

from __future__ import annotations

import re
from typing import Final

from app.control.contract import ActivityNames, RowFilter

_STATUS: Final = re.compile(r"[1-5](\d\d|xx)", re.IGNORECASE)
_ID: Final = re.compile(r"req_[0-9a-z]{1,26}", re.IGNORECASE)
_OUTCOMES: Final = ("completed", "failed", "cancelled", "interrupted", "refused")


def wanted(text: str, names: ActivityNames) -> RowFilter:
    """A request's id or how it begins, a status, an outcome, the name of a client, provider or model; anything else is looked for in the
    errors of failed requests. Whatever the case."""
    text = text.strip()
    low = text.lower()
    if _ID.fullmatch(text):
        return RowFilter(id=text)
    if _STATUS.fullmatch(text) or low in _OUTCOMES:
        return RowFilter(statuses=(low,))
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
    return RowFilter(text=text)
