"""How each provider answered lately, from the requests that really went to it: what Home says of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from statistics import median
from typing import Final, Literal

from app.control.contract import ProviderTraffic
from app.core.records import Exchange

LAST: Final = 10
State = Literal["answers", "limited", "refused", "failing"]
# Statuses that are about the one who asks: the provider does answer.
_ASKED_WRONG: Final = frozenset({400, 404, 405, 409, 413, 415, 422, 431})
_REFUSED: Final = frozenset({401, 402, 403})
_LIMITED: Final = frozenset({429, 529})


def told(row: Exchange) -> State | None:
    """What one request says of its provider; None where it says nothing: nothing was sent, the client left, or Gatehouse ended it."""
    if not row.account or not row.attempts:
        return None
    if row.outcome == "completed":
        return "answers"
    if row.outcome != "failed" or not (row.error.startswith("provider_") or row.error in ("destination_refused", "destination_held")):
        return None
    if row.error != "provider_error":
        return "failing"
    return "limited" if row.status in _LIMITED else "refused" if row.status in _REFUSED else _wrong(row.status)


def _wrong(status: int) -> State:
    return "answers" if status in _ASKED_WRONG else "failing"


class Health:
    """The newest requests of each account that say something of its provider."""

    def __init__(self) -> None:
        self._rows: Final[dict[str, deque[Exchange]]] = {}

    def note(self, rows: Iterable[Exchange]) -> None:
        """Rows as they close; older ones may come later."""
        for row in sorted(rows, key=lambda each: each.opened_us):
            if told(row) is None:
                continue
            known = self._rows.setdefault(row.account, deque(maxlen=LAST))
            if not known or row.opened_us > known[-1].opened_us:
                known.append(row)
            elif all(row.id != each.id for each in known):
                self._rows[row.account] = deque(sorted((*known, row), key=lambda each: each.opened_us), maxlen=LAST)

    def forget(self, account: str) -> None:
        self._rows.pop(account, None)

    def of(self, account: str) -> ProviderTraffic | None:
        """None while no request has gone there. Where half of them or more went wrong, what went wrong most, the newer first."""
        rows = list(reversed(self._rows.get(account, ())))
        if not rows:
            return None
        states: list[State] = [state for row in rows if (state := told(row)) is not None]
        wrong = [state for state in states if state != "answers"]
        most = Counter(wrong).most_common(1)  # of several as often, the first, which is the newest
        worst = most[0][0] if most and 2 * len(wrong) >= len(rows) else None
        took = [row.first_byte_us for row in rows if row.outcome == "completed" and row.first_byte_us is not None]
        return ProviderTraffic(
            state=worst or "answers",
            at_us=max(row.closed_us or row.opened_us for row in rows),
            requests=len(rows),
            failed=len(wrong),
            first_byte_us=round(median(took)) if took else None,
            message=next((row.message for row, state in zip(rows, states, strict=True) if state == worst), "") if worst else "",
        )
