"""Values that must never be shown: a provider key, a passphrase, a master key."""

from __future__ import annotations

from typing import Final, final


@final
class Secret:
    """A text that does not appear in a repr, a log line, a traceback or a comparison.

    `reveal()` is the one way to the text, so that every use can be found by its name.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        return self._text

    def masked(self) -> str:
        """The part a person may see: up to seven first characters and the last four, e.g. `sk-proj…m2Ka`.

        Keys shorter than 16 characters show only their last two, so that not much of a short one is given away.
        """
        text = self._text
        if len(text) < 16:
            return "…" + text[-2:] if len(text) >= 8 else "…"
        return f"{text[:7]}…{text[-4:]}"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret()"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret()"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
