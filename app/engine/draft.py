"""The ledger row of one exchange while it grows."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.core.ids import call_id
from app.core.records import HIDDEN, Exchange, Outcome, Tokens
from app.core.stuck import printable
from app.engine.working import Work
from app.wire.redact import SHAPES_ALONE, Redactor
from app.wire.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.egress.upstream import Reply
    from app.engine.echo import EchoReply
    from app.engine.entry import Entry
    from app.engine.responses import Keeping
    from app.engine.web import Pairs
    from app.wire.dialect import Dialect

_LONGEST: Final = 500
_NO_TOKENS: Final = Tokens()


class Draft:
    """journaled: "opened" was written. closed: "closed" was written, nothing may change any more.
    work: what the keeper reads of it when the loop stands still. spoken: the provider's dialect. redactor: of the account's key, once it
    is known; nothing passes from here to the ledger or to the client's headers without it. others: of all keys in memory, for what the
    client itself may have put in."""

    __slots__ = (
        "_began", "_entry", "_went", "asked", "client", "client_id", "closed", "dialect", "dropped", "endpoint", "error", "first_byte_us",
        "hidden", "id", "journaled", "keeping", "last", "message", "model", "opened_us", "others", "redactor", "removed", "reply", "spoken",
        "stream", "usage", "work",
    )  # fmt: skip

    def __init__(self, now_us: int, endpoint: str, dialect: str) -> None:
        self.id = call_id(now_us, random.getrandbits(80))
        self.opened_us = now_us
        self.endpoint = endpoint
        self.dialect = dialect
        self.client = self.client_id = self.asked = self.model = self.error = self.message = ""
        self.stream = self.journaled = self.closed = False
        self.first_byte_us: int | None = None
        self.usage: Usage | None = None
        self.removed = 0
        self.dropped: tuple[str, ...] = ()
        self.hidden: tuple[str, ...] = ()
        self.reply: Reply | EchoReply | None = None
        self.last: Exchange | None = None
        self.keeping: Keeping | None = None
        self._entry: Entry | None = None
        self.spoken: Dialect | None = None
        self.redactor = SHAPES_ALONE
        self.others: Sequence[Redactor] = ()
        self._began = time.monotonic_ns()
        self._went: tuple[int | None, int] = (None, 0)
        self.work = Work()

    def say(self) -> None:
        """Who asks for what is known now, or better than before."""
        self.work.say(self.id, self.client, self.endpoint, printable(self._name(self.asked)) if self.asked else "")

    def aim(self, entry: Entry, model: str) -> None:
        self._entry = entry
        self.model = model

    def went(self, connection: int, bytes_out: int) -> None:
        """The request is on this connection, whatever becomes of it."""
        self._went = (connection, bytes_out)

    def fail(self, error: AppError) -> AppError:
        """Note why it failed; the same error without keys, which is what the client may be told."""
        clean = self.redactor.error(error)
        for other in self.others:
            clean = other.error(clean)
        self.error = clean.code
        self.message = clean.sentence()[:_LONGEST]
        return clean

    def _name(self, given: str) -> str:
        given = self.redactor.name(given)
        for other in self.others:
            if other is not self.redactor:
                given = other.name(given)
        return given

    def first_byte(self) -> None:
        if self.first_byte_us is None:
            self.first_byte_us = (time.monotonic_ns() - self._began) // 1000

    def passed_headers(self, reply: Reply | EchoReply) -> Pairs:
        """The provider's headers that the client gets."""
        assert self._entry is not None
        assert self.spoken is not None
        return self.redactor.headers(self._entry.reply_headers(self.spoken, reply.headers))

    def opening(self) -> Exchange:
        """What is known before the first byte goes out."""
        entry = self._entry
        assert entry is not None
        return Exchange(
            id=self.id,
            opened_us=self.opened_us,
            client=self.client,
            endpoint=self.endpoint,
            dialect=self.dialect,
            asked=self._name(self.asked),
            account=entry.account.name,
            kind=entry.account.kind,
            model=self._name(self.model),
            stream=self.stream,
            host=entry.host,
            client_id=self.client_id,
            account_id=entry.account.id,
        )

    def closing(self, status: int, outcome: Outcome, now_us: int) -> Exchange:
        """The whole row, priced."""
        entry, reply = self._entry, self.reply
        usage, cost = self.usage, None
        if entry is not None and usage is not None:
            cost = entry.cost(self.model, usage, self.opened_us)
        self.last = Exchange(
            id=self.id,
            opened_us=self.opened_us,
            closed_us=now_us,
            duration_us=(time.monotonic_ns() - self._began) // 1000,
            first_byte_us=self.first_byte_us,
            client=self.client,
            endpoint=self.endpoint,
            dialect=self.dialect,
            asked=self._name(self.asked),
            account=entry.account.name if entry is not None else "",
            kind=entry.account.kind if entry is not None else "",
            model=self._name(self.model),
            stream=self.stream,
            status=status,
            outcome=outcome,
            error=self.error,
            message=self.message,
            attempts=1 if self.journaled else 0,
            tokens=usage.tokens() if usage is not None else _NO_TOKENS,
            cost_microusd=cost.microusd if cost is not None else None,
            price=cost.price if cost is not None else "",
            host=entry.host if entry is not None else "",
            client_id=self.client_id,
            account_id=entry.account.id if entry is not None else "",
            connection=reply.connection if reply is not None else self._went[0],
            bytes_out=reply.bytes_out if reply is not None else self._went[1],
            bytes_in=reply.bytes_in if reply is not None else 0,
            removed_headers=self.removed,
            dropped=self.redactor.name(", ".join((*self.dropped, *(f"{HIDDEN}{name}" for name in self.hidden)))),
        )
        return self.last
