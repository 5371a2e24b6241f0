"""Model name -> account and model (pure). `account/model`, or a bare name that exactly one account offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.core.errors import AppError


@dataclass(frozen=True, slots=True)
class Target:
    account: str
    model: str


def choose(asked: str, offers: Mapping[str, Collection[str]]) -> Target:
    """Where `asked` goes. `offers`: the models each account listed; an account is there even when it listed none.

    The part before the first slash counts as an account only if there is one of that name: models may hold slashes themselves.
    AppError model_unknown or model_ambiguous.
    """
    name, slash, model = asked.partition("/")
    if slash and name in offers and model:
        return Target(name, model)
    holders = [account for account, models in offers.items() if asked in models]
    if len(holders) == 1:
        return Target(holders[0], asked)
    if holders:
        names = ", ".join(f"{account}/{asked}" for account in sorted(holders))
        raise AppError("model_ambiguous", f"More than one account offers {asked}: ask for one of {names}.", param="model")
    raise AppError(
        "model_unknown",
        f"Invalid model name passed in model={asked}.",
        "Ask for account/model; GET /v1/models lists what there is.",
        param="model",
    )
