"""The window tells the keeper what the person wants, on its own channel, before it asks the engine for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.core.errors import AppError

if TYPE_CHECKING:
    from app.gui.session import Keeper

_WAIT_S = 5.0


class ByChannel:
    """`control.granter.Granter`, once there is a keeper. Used on worker threads."""

    def __init__(self) -> None:
        self.keeper: Keeper | None = None

    def deposit(self, wanted: Mapping[str, object]) -> int | None:
        if self.keeper is None:
            return None
        try:
            number = self.keeper.call("grant", dict(wanted), timeout_s=_WAIT_S)[0].get("number")
        except AppError:
            return None  # there can be no such wish: the engine, which is asked next, says what is wrong
        return number if isinstance(number, int) else None

    def take_back(self, number: int) -> None:
        if self.keeper is not None:
            self.keeper.send("take_back", {"number": number})

    def let_go(self, account: str) -> None:
        if self.keeper is not None:
            self.keeper.send("let_go", {"account": account})
