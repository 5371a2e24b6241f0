"""What one exchange used, in enough detail to price it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from app.core.records import Tokens


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # as good as frozen, whose constructor costs three times as much
class Usage:
    """Counts as a provider reported them, in one convention: `input` includes everything that went in (cached reads, cache writes,
    audio), `output` everything that came out (reasoning, audio). None: not reported. Counts are tokens unless named otherwise.

    cache_write: all cache writes; cache_write_1h: those of them kept for an hour, which cost more. service_tier and speed: what the
    provider says it applied, in its own words; they select another price. estimated: counted by us from the bytes.
    """

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    cached_audio: int | None = None
    output_audio: int | None = None
    citation: int | None = None
    web_searches: int | None = None
    service_tier: str = ""
    speed: str = ""
    estimated: bool = False

    def merged(self, later: Usage) -> Usage:
        """This and a later report of the same exchange. Reports are cumulative, so of each count the larger one holds: some servers
        send zeros first and the truth at the end, others the truth first and zeros at the end."""
        merged: dict[str, int | str | bool | None] = {}
        for name in _COUNTS:
            ours, theirs = getattr(self, name), getattr(later, name)
            merged[name] = theirs if ours is None else ours if theirs is None else max(ours, theirs)
        return Usage(
            **merged,  # type: ignore[arg-type]  # the names are those of the counts
            service_tier=later.service_tier or self.service_tier,
            speed=later.speed or self.speed,
            estimated=self.estimated or later.estimated,
        )

    def tokens(self) -> Tokens:
        """The part of it that the ledger keeps."""
        return Tokens(
            input=self.input,
            cached=self.cached,
            cache_write=self.cache_write,
            output=self.output,
            reasoning=self.reasoning,
            estimated=self.estimated,
        )

    @staticmethod
    def of(tokens: Tokens) -> Usage:
        """As much as the ledger still knows of an exchange."""
        return Usage(
            input=tokens.input,
            cached=tokens.cached,
            cache_write=tokens.cache_write,
            output=tokens.output,
            reasoning=tokens.reasoning,
            estimated=tokens.estimated,
        )


_COUNTS = tuple(field.name for field in fields(Usage) if field.default is None)


def count(value: object) -> int | None:
    """A count as a provider sent it, or None when it is absent or absurd (negative, a text, beyond 10^12).

    Whole floats are counts too: some servers send 12.0.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and 0 <= value <= 10**12:
        return value
    return None
