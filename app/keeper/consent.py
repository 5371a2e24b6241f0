"""Whether a person wanted it: what the engine wants to do is held against grants and against what was wished for before.

The engine is asked nothing about that: it names the change, and each part of it must be as it was granted. What has no grant is not done,
and is listed for a person (`grants`), who confirms or refuses it in the window or with `gatehouse confirm`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Final

from app.core import wishes
from app.core.errors import AppError
from app.core.names import check_account_name
from app.core.records import Destination
from app.core.wishes import DESTINATION, UNLOCK, Wish
from app.keeper.grants import Grants, Waiting
from app.keeper.remembered import Remembered

BEFORE: Final = "as before"
STEERED: Final = frozenset({"grant", "take_back", "let_go", "waiting", "confirm", "refuse"})
_HINT: Final = "Confirm it in the Gatehouse window, or run: gatehouse confirm. Then ask again."
_MOST_SETTINGS: Final = 50_000

Message = dict[str, Any]


class Consent:
    """activate(account, place): the broker's; whether it held exactly that. withdraw(account): the broker's. tell: a push to the engine.
    Safe from any thread."""

    def __init__(
        self,
        grants: Grants,
        remembered: Remembered,
        activate: Callable[[str, str, str], bool],
        withdraw: Callable[[str], None],
        tell: Callable[[str, dict[str, object]], None],
        log: Callable[[str], None],
    ) -> None:
        self._grants: Final = grants
        self._remembered: Final = remembered
        self._activate: Final = activate
        self._withdraw: Final = withdraw
        self._tell: Final = tell
        self._log: Final = log
        self._lock: Final = threading.Lock()
        self._refused: set[tuple[str, str, int, str]] = set()  # settings that a person refused in this run
        self._since: dict[Wish, int] = {}  # of the settings that wait: when their client was made

    # destinations

    def permit(self, account: str, destination: Destination) -> str:
        """Who wants this destination: BEFORE, or who granted it; "" for nobody. A grant is used up."""
        if self._remembered.has(account, destination):
            return BEFORE
        return self._grants.use(Wish(DESTINATION, account, wishes.place(destination)))

    def held(self, account: str, destination: Destination) -> None:
        """It is declared without a grant. AppError destination_held when there is no room to list it."""
        wish = Wish(DESTINATION, account, wishes.place(destination))
        self._grants.drop("held", DESTINATION, account, but=wish.value)
        listed = self._grants.hold("held", wish)
        if listed == "full":
            raise AppError("destination_held", "More destinations than can be listed wait for a person: this one is refused.", _HINT)
        if listed == "new":
            self._tell("held", {"kind": "held", **wish.fields(), "used": ""})

    def let_go(self, account: str) -> None:
        """Nothing is held for that account any more."""
        self._grants.drop("held", DESTINATION, account)

    def may_declare(self, message: Message) -> None:
        """Before an account is made: is there a grant for it? It is not used up. AppError confirmation_needed, and whatever is no wish."""
        wish = wishes.wish(DESTINATION, message.get("account"), message.get("place"))
        if not self._grants.has(wish):
            self._refuse(wish)

    def engine_ended(self) -> None:
        self._grants.engine_ended()

    # settings and acts

    def change(self, message: Message) -> None:
        """The engine is about to do that. A setting is remembered. AppError confirmation_needed when nobody wished for it; body_invalid;
        data_folder, when it cannot be remembered."""
        wish = wishes.wish(message.get("what"), message.get("subject", ""), message.get("value"))
        setting, since = wishes.WISHES[wish.what].default is not None, _since(message.get("since", 0))
        if wish.what in (DESTINATION, UNLOCK):
            raise AppError("body_invalid", "There is no such change.")
        if setting and self._now(wish.what, wish.subject, since) == wish.value:
            return  # as it is
        if not self._grants.use(wish):
            self._refuse(wish)
        if setting:
            self._remembered.choose(wish.what, wish.subject, since, wish.value)

    def may_ask(self) -> None:
        """The engine wants the system to ask the person something. AppError confirmation_needed."""
        wish = Wish(UNLOCK, "", "")
        if not self._grants.use(wish):
            self._refuse(wish)

    def settings(self, message: Message) -> dict[str, object]:
        """What the engine found in its database is held against what was wished for.

        found: [what, subject, since, value, held] each; held: what was found there before and waits, or null. The answer's `used` has
        [value, held] for each: what counts, and what waits for a person or null. `wished`: whether it counts because somebody wished for
        it, and not as the default.
        """
        found = message.get("found")
        if not isinstance(found, list) or len(found) > _MOST_SETTINGS:
            raise AppError("body_invalid", "There are no such settings.")
        each = [_found(one) for one in found]
        if self._remembered.adopting:
            self._adopt(each)
        wished = [self._remembered.setting(what, subject, since) is not None for what, subject, since, _, _ in each]
        return {"used": [list(self._judge(*one)) for one in each], "wished": wished}

    def _judge(self, what: str, subject: str, since: int, value: str, held: str | None) -> tuple[str, str | None]:
        used = self._now(what, subject, since)
        if held == used:
            held = None  # confirmed meanwhile
        elif value != used:
            held = value
        if held is not None:
            with self._lock:
                if (what, subject, since, held) in self._refused:
                    held = None
        if held is None:
            self._grants.drop("setting", what, subject)
            return used, None
        try:
            wish = wishes.wish(what, subject, held)
        except AppError:
            self._log(f"{what} has a value that it cannot have, and is {used}")
            return used, None
        self._grants.drop("setting", what, subject, but=held)
        if self._grants.hold("setting", wish, used) != "full":
            with self._lock:
                self._since[wish] = since
        return used, held

    def _adopt(self, found: list[tuple[str, str, int, str, str | None]]) -> None:
        """Once, after an earlier version ran: what it had set counts as wished for."""
        others = []
        for what, subject, since, value, _ in found:
            if value != wishes.default(what):
                with contextlib.suppress(AppError):  # no value that it can have: it is judged like any other
                    self._log(f"taken over from the version before: {wishes.wish(what, subject, value)}")
                    others.append((what, subject, since, value))
        self._remembered.choose_all(others)

    def _now(self, what: str, subject: str, since: int) -> str:
        wished = self._remembered.setting(what, subject, since)
        return wishes.default(what) if wished is None else wished

    def _refuse(self, wish: Wish) -> None:
        self._grants.hold("refused", wish)
        raise AppError("confirmation_needed", f"Nobody has confirmed this: {wish}. Nothing was changed.", _HINT)

    # what a person does, in the window or on the command line

    def steer(self, by: str, message: Message) -> dict[str, object] | None:
        """`grant` -> number, `take_back` {number}, `let_go` {account}, `waiting`, `confirm` {number}, `refuse` {number}; None for
        anything else. AppError."""
        match message.get("op"):
            case "grant":
                return {"number": self._grants.deposit(wishes.wish_of(message), by)}
            case "take_back":
                self._grants.take_back(message.get("number"), by)
                return {}
            case "let_go":
                return self._let_go(message.get("account"), by)
            case "waiting":
                return self.waiting()
            case "confirm":
                return self._confirm(self._grants.take(message.get("number")), by).fields()
            case "refuse":
                return self._drop(self._grants.take(message.get("number")), by).fields()
        return None

    def waiting(self) -> dict[str, object]:
        """items: the oldest first. unlisted: how many more there were than can be listed."""
        return {"items": [each.fields() for each in self._grants.waiting()], "unlisted": self._grants.unlisted}

    def _let_go(self, account: object, by: str) -> dict[str, object]:
        """A person removed that account. The engine says so, too, and may have said it already; one that does not dials nothing more."""
        if isinstance(account, str):
            check_account_name(account)
            self._grants.claim(f"removed by the {by}: {account}")
            self._withdraw(account)
        return {}

    def _confirm(self, one: Waiting, by: str) -> Waiting:
        self._log(f"confirmed by the {by}: {one.wish}")
        wish = one.wish
        if one.kind == "setting":
            with self._lock:
                since = self._since.get(wish, 0)
            try:
                self._remembered.choose(wish.what, wish.subject, since, wish.value)
            except AppError:
                self._grants.hold("setting", wish, one.used)
                raise
        elif one.kind == "refused":
            self._grants.deposit(wish, by)  # for whoever asks again
        elif not self._activate(wish.subject, wish.value, by):
            self._remembered.add(wish.subject, wishes.there(wish.value))  # no engine declares it just now
        self._grants.settled(wish)
        self._answered(one, by, "confirmed")
        return one

    def _drop(self, one: Waiting, by: str) -> Waiting:
        self._log(f"refused by the {by}: {one.wish}")
        if one.kind == "setting":
            with self._lock:
                self._refused.add((one.wish.what, one.wish.subject, self._since.get(one.wish, 0), one.wish.value))
            self._grants.settled(one.wish)
        self._answered(one, by, "refused")
        return one

    def _answered(self, one: Waiting, by: str, answer: str) -> None:
        self._tell("answered", {"kind": one.kind, **one.wish.fields(), "by": by, "answer": answer})


def _since(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise AppError("body_invalid", "There is no such change.")
    return value


def _found(one: object) -> tuple[str, str, int, str, str | None]:
    """What is claimed to be a setting. Its value may be anything; it is judged, and never shown, unless it is one that there can be."""
    match one:
        case [str(what), str(subject), since, str(value), str() | None as held] if what in wishes.WISHES:
            if wishes.WISHES[what].default is not None:
                wishes.wish(what, subject, wishes.default(what))
                return what, subject, _since(since), value, held
    raise AppError("body_invalid", "There are no such settings.")
