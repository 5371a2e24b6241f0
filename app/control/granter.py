"""How a person's program says what the person wants, before it asks the engine for it: to the keeper, and past the engine.

The engine gets no part in that: the command line uses the keeper's own socket, the window the channel it was started with. A program
that does neither (a script at the control socket) is refused what needs a grant, and its person runs `gatehouse confirm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from app.core.errors import AppError
from app.system import instance
from app.system.paths import Paths

Wanted = Mapping[str, object]


class Granter(Protocol):
    """`deposit`: the number of the grant, None where nobody takes it. `take_back`: it was not used. `let_go`: this account is removed, so
    nothing goes where it went, whatever the engine makes of that."""

    def deposit(self, wanted: Wanted) -> int | None: ...
    def take_back(self, number: int) -> None: ...
    def let_go(self, account: str) -> None: ...


class OwnSocket:
    """The command line's: asks the keeper of a data folder."""

    def __init__(self, paths: Paths) -> None:
        self._paths: Final = paths

    def deposit(self, wanted: Wanted) -> int | None:
        """None when there is no keeper, or when there can be no such wish: the engine, which is asked next, says what is wrong."""
        try:
            number = instance.ask(self._paths, {"op": "grant", **wanted}).get("number")
        except AppError:
            return None
        return number if isinstance(number, int) else None

    def take_back(self, number: int) -> None:
        try:
            instance.ask(self._paths, {"op": "take_back", "number": number})
        except AppError:
            return  # it ends by itself

    def let_go(self, account: str) -> None:
        try:
            instance.ask(self._paths, {"op": "let_go", "account": account})
        except AppError:
            return  # there is no keeper, and so nobody who would dial
