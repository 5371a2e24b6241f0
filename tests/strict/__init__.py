"""What the real providers refuse, one file per dialect: each judges a request body as that provider's API does, in its words.

What lives here: the shapes of the official packages' request types (`shapes`), the rules that the documentation adds to them
(`openai_chat`, `openai_responses`, `anthropic`, `gemini`), and what a request says, read the same way from all four (`seen`).
What must not: anything of Gatehouse. A rule that is wrong here would hide a mistake there.

    judge(dialect, body, model, version) -> Refusal | None
    understand(dialect, body) -> Seen
"""

from __future__ import annotations

from typing import Any

from tests.strict import anthropic, gemini, openai_chat, openai_responses
from tests.strict.seen import Refusal, Seen

__all__ = ["Refusal", "Seen", "judge", "understand"]

_JUDGES = {"openai": openai_chat, "responses": openai_responses, "anthropic": anthropic, "gemini": gemini}


def judge(dialect: str, body: dict[str, Any], model: str, version: str = "", *, counts: bool = False) -> Refusal | None:
    """Why the provider would refuse `body`, or None. version: of the `anthropic-version` header. counts: its tokens are only counted."""
    if dialect == "anthropic":
        return anthropic.refusal(body, version, counts=counts)
    if dialect == "gemini":
        return None if counts else gemini.refusal(body, model)
    return openai_chat.refusal(body) if dialect == "openai" else openai_responses.refusal(body)


def understand(dialect: str, body: dict[str, Any]) -> Seen:
    """What an accepted request says."""
    return _JUDGES[dialect].seen(body)
