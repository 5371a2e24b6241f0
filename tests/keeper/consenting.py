"""A person who wants everything, for tests that are about something else."""

from __future__ import annotations

from app.core.records import Destination


class Willing:
    def permit(self, account: str, destination: Destination) -> str:
        return "window"

    def held(self, account: str, destination: Destination) -> None:
        raise AssertionError("nothing is held where everything is wanted")

    def let_go(self, account: str) -> None:
        raise AssertionError("nothing was held")
