"""What an exchange cost, from the dated price file."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.records import Tokens
from app.providers.catalogue import KINDS
from app.wire.usage import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """microusd: millionths of a US dollar. price: date of the price file, or "local"."""

    microusd: int
    price: str


def cost(kind: str, model: str, usage: Usage | Tokens, at_us: int) -> Cost | None:
    """What `usage` of `model` cost at the account kind `kind`, at that time. None: there is no price for it."""
    row = KINDS.get(kind)
    if row is None or row.local:
        return Cost(0, "local")
    return None
