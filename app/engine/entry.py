"""One account at work: what a request to it looks like, what comes back of a reply's headers, and what it costs.

What is the same at each request is worked out at the first one and kept here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.core.records import Account, OwnPrice, Tokens
from app.core.secret import Secret
from app.egress.upstream import Target, Timeouts
from app.engine import echo
from app.engine.web import Pairs
from app.providers import prices
from app.providers.prices import Cost
from app.providers.provider import Outgoing, Provider, reply_headers, request, speech
from app.wire.dialect import Dialect
from app.wire.dialects import DIALECTS
from app.wire.redact import SHAPES_ALONE, Redactor
from app.wire.usage import Usage

_PATIENT: Final = Timeouts()
_MOST_NAMES: Final = 500
_NOTHING: Final = Outgoing("", ())


@dataclass(slots=True)
class Entry:
    """One account at work. target: None for the built-in one, which needs no way out. offers: what a bare name is looked up in. waits:
    the keeper holds its destination until a person confirms it."""

    account: Account
    kind: Provider | None
    target: Target | None
    offers: frozenset[str]
    secret: Secret | None = None
    waits: bool = False
    timeouts: Timeouts = _PATIENT
    own: Mapping[str, OwnPrice] = field(default_factory=dict)
    _redactor: tuple[Secret | None, Redactor] = (None, SHAPES_ALONE)
    _bases: dict[tuple[str, str, str], tuple[Secret | None, Outgoing]] = field(default_factory=dict)
    _passed: dict[tuple[str, str], int] = field(default_factory=dict)
    _returned: dict[tuple[str, str], bool] = field(default_factory=dict)

    def forget(self) -> None:
        """The key leaves the memory, also from what was made with it. Requests under way end as they are, and leave nothing here."""
        self.secret = None
        self._redactor = (None, SHAPES_ALONE)
        self._bases.clear()

    @property
    def host(self) -> str:
        return self.target.destination.host if self.target is not None else ""

    def redactor(self, key: Secret | None) -> Redactor:
        """What takes `key` out of what this account's provider says."""
        if key is not self.secret:
            return Redactor(key)
        if self._redactor[0] is not key:
            self._redactor = (key, Redactor(key))
        return self._redactor[1]

    def cost(self, model: str, usage: Usage | Tokens, at_us: int) -> Cost | None:
        """By a price of one's own for the model, or for the account; else by the price file. Local accounts cost nothing."""
        own = self.own.get(model) or self.own.get("")
        if own is not None:
            return prices.own_cost(own, usage)
        return prices.cost(self.account.kind, model, usage, at_us, local=True if self.account.local else None)

    @property
    def asks_usage(self) -> bool:
        return self.kind.asks_usage if self.kind is not None else True

    def dialect_for(self, client: Dialect, endpoint: str = "") -> Dialect:
        """The client's own dialect where the account speaks it, so that bytes stay untouched; else the account's."""
        if self.kind is None:
            return client if client.name in echo.SPEAKS else DIALECTS["openai"]
        if speech(self.kind, self.account, client.name, endpoint) is not None:
            return client
        return DIALECTS[self.kind.dialect]

    @property
    def quirks(self) -> frozenset[str]:
        return frozenset() if self.kind is None else frozenset[str](self.kind.quirks)

    def outgoing(
        self, endpoint: str, key: Secret | None, headers: Iterable[tuple[str, str]], dialect: Dialect, model: str = ""
    ) -> Outgoing:
        """What `providers.request` makes of this. Address, key and our own headers are the same each time, and programs send the same
        header names each time, so both are worked out once."""
        kind = self.kind
        if kind is None:
            return _NOTHING
        place = (dialect.name, endpoint, model if "deployments" in kind.quirks else "")
        base = self._bases.get(place)
        if base is None or base[0] is not key:
            if len(self._bases) > _MOST_NAMES:
                self._bases.clear()
            base = (key, request(kind, self.account, dialect, endpoint, (), key, model=model))
            if key is self.secret:
                self._bases[place] = base
        plain, names, passed, removed = base[1], self._passed, [], 0
        for pair in headers:
            name = (dialect.name, pair[0])
            goes = names.get(name)
            if goes is None:
                probe = request(kind, self.account, dialect, endpoint, ((pair[0], "x"),), key, model=model)
                goes = 0 if probe.removed else 1 if len(probe.headers) == len(plain.headers) else 2
                if len(names) < _MOST_NAMES:
                    names[name] = goes
            if goes == 2 and pair[1].isprintable():
                passed.append(pair)
            elif goes != 1:
                removed += 1
        return Outgoing(plain.target, (*plain.headers, *passed), removed)

    def reply_headers(self, dialect: Dialect, headers: Pairs) -> Pairs:
        """Those the client gets. Providers send the same names each time, so each is judged once."""
        kind, known = self.kind, self._returned
        if kind is None:
            return ()
        kept = []
        for pair in headers:
            name = (dialect.name, pair[0])
            goes = known.get(name)
            if goes is None:
                goes = bool(reply_headers(kind, dialect, ((pair[0], ""),)))
                if len(known) < _MOST_NAMES:
                    known[name] = goes
            if goes:
                kept.append(pair)
        return tuple(kept)
