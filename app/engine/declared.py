"""Did a person ask for what became of the keeper's list? What the keeper had a grant for is explained by that. The rest, which is what the
engine let go by itself, is held against the commands in the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.core.records import AuditEntry

COMMANDS: Final = ("provider.added", "provider.removed")
_EXPLAINS_US: Final = 30_000_000
_FRESH_US: Final = 2_000_000  # a command's entry may still be on its way
_Change = tuple[str, str, str, int]  # added or removed, account, destination, when


class Declared:
    """Remembers its verdicts, so that the log is not read for what cannot change any more."""

    def __init__(self) -> None:
        self._judged: dict[_Change, bool] = {}

    def wants(self, facts: dict[str, Any]) -> int | None:
        """Since when commands are needed to judge what the keeper tells; None when all is judged."""
        open_us = [at_us for *_, at_us in _changes(facts) - self._judged.keys()]
        return max(0, min(open_us) - _EXPLAINS_US) if open_us else None

    def silent(self, facts: dict[str, Any], commands: Iterable[AuditEntry], now_us: int, pruned_us: int = 0) -> list[str]:
        """Sentences about the changes that no command explains. pruned_us: entries older than that are not in the log any more, so a
        change of that time is not said to have had no command."""
        changes = _changes(facts)
        self._judged = {change: explained for change, explained in self._judged.items() if change in changes}
        told = [(entry.kind, _destination(entry), entry.at_us) for entry in commands]
        found = []
        for change in sorted(changes, key=lambda each: each[3]):
            verb, account, destination, at_us = change
            explained = self._judged.get(change)
            if explained is None:
                explained = any(
                    kind == f"provider.{verb}" and place == destination and abs(when_us - at_us) < _EXPLAINS_US
                    for kind, place, when_us in told
                )
                known = at_us >= pruned_us + _EXPLAINS_US
                if explained or (known and abs(now_us - at_us) > _EXPLAINS_US + _FRESH_US):
                    self._judged[change] = explained
            if not explained and at_us < pruned_us + _EXPLAINS_US and self._judged.get(change) is None:
                continue
            if not explained and abs(now_us - at_us) >= _FRESH_US:
                found.append(f"{destination} was {verb} for “{account}” without a command.")
        return found


def _changes(facts: dict[str, Any]) -> set[_Change]:
    """What changed since the keeper started; not what is as it was before, nor what a person granted (`by`)."""
    return {
        ("added" if each["change"] == "added" else "removed", str(each["account"]), str(each["destination"]), int(each["at_us"]))
        for each in facts["changes"]
        if not each["as_before"] and not each["by"]
    }


def _destination(entry: AuditEntry) -> str:
    detail = entry.body.get("detail")
    return str(detail.get("destination", "")) if isinstance(detail, dict) else ""
