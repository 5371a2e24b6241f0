"""An engine that stood still: what is known of it, as a value and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

# Endpoints that are none: what the engine does for the control channel, and by itself. `model` says then what it is.
CONTROL: Final = "control"
TASK: Final = "task"
ENGINE_STUCK: Final = "engine_stuck"  # what the row of such an exchange has as its error

_TEXT_MOST: Final = 200
_ALSO_MOST: Final = 8
_NUMBER_MOST: Final = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """An engine that answered nothing while it worked, and was ended by the keeper for that.

    at_us: when it was ended. silent_s: for how long it had answered nothing. cpu_s: how long it had computed meanwhile.
    The rest is what the engine itself had said it was at, and all "" when it had said nothing. request: the id of an exchange.
    also: ids of other exchanges that it was at.
    """

    at_us: int
    silent_s: int
    cpu_s: int
    request: str = ""
    client: str = ""
    endpoint: str = ""
    model: str = ""
    also: tuple[str, ...] = ()

    @property
    def work(self) -> str:
        """What it was at, in words for the middle of a sentence, or ""."""
        if self.endpoint == CONTROL:
            return f"{self.model} of the control channel"
        if self.endpoint == TASK:
            return f"its own task {self.model}"
        said = [f"request {self.request}"] if self.request else []
        said += [f"of “{self.client}”"] if self.client else []
        said += [f"for {self.model}"] if self.model else []
        said += [f"({self.endpoint})"] if self.endpoint else []
        return " ".join(said)

    def sentence(self) -> str:
        on = f"on {self.work}, as it says" if self.work else "and did not say on which request"
        return f"The engine did not answer for {self.silent_s} s while it worked {on}; it was ended and started again."

    def of_the_request(self) -> str:
        """For the row of the exchange it was at."""
        return f"The engine did not answer for {self.silent_s} s while it worked on this request, and was ended."

    def fields(self) -> dict[str, object]:
        """For a message; `of` is the way back."""
        return asdict(self)

    @staticmethod
    def of(message: Mapping[str, Any]) -> Stuck:
        """Whatever is in `message`: a number that is none is 0, texts are short and can be printed."""
        also = message.get("also")
        return Stuck(
            at_us=_number(message.get("at_us")),
            silent_s=_number(message.get("silent_s")),
            cpu_s=_number(message.get("cpu_s")),
            request=printable(message.get("request")),
            client=printable(message.get("client")),
            endpoint=printable(message.get("endpoint")),
            model=printable(message.get("model")),
            also=tuple(printable(one) for one in also[:_ALSO_MOST]) if isinstance(also, (list, tuple)) else (),
        )


def advice(stuck: Sequence[Stuck]) -> str:
    """What to do when it happened more than once over the same client or model, in a sentence, or "". The newest is the last."""
    if not stuck or not (stuck[-1].client or stuck[-1].model):
        return ""
    last = stuck[-1]
    same = sum(one.client == last.client and one.model == last.model for one in stuck)
    if same < 2 or last.endpoint in (CONTROL, TASK):
        return ""
    whose = f"requests of “{last.client}” for {last.model}" if last.client and last.model else f"requests of “{last.client or last.model}”"
    block = f" Block “{last.client}” until the cause is known." if last.client else ""
    return f"{same} times it was {whose}.{block}"


def printable(value: object) -> str:
    """A text that can be shown: at most 200 characters; what cannot be printed is a question mark."""
    text = value[:_TEXT_MOST] if isinstance(value, str) else ""
    return text if text.isprintable() else "".join([one if one.isprintable() else "?" for one in text])


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _NUMBER_MOST else 0
