"""`gatehouse confirm`: what waits for a person, and the person's answer. The keeper is asked, and not the engine, which may hang or lie."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from app.cli import OK, text
from app.cli.verbs import show
from app.core.errors import AppError
from app.system import instance
from app.system.paths import Paths

_KINDS: Final = {
    "held": "declared by the engine, held: nothing was looked up",
    "setting": "found in the database, not used",
    "refused": "asked for, not done",
}


def run(options: Namespace, paths: Paths) -> int:
    """AppError engine_absent when no keeper answers, unknown_name for a number that is not in the list; those before it are done."""
    numbers: list[int] = options.numbers
    if options.all and numbers:
        raise AppError("body_invalid", "Give numbers, or --all.")
    if not options.all and not numbers:
        if options.refuse:
            raise AppError("body_invalid", "Say what is refused: numbers from the list, or --all.")
        return _list(options, paths)
    if options.all:
        numbers = [int(item["number"]) for item in waiting(paths)[0]]
    done = []
    for number in dict.fromkeys(numbers):
        done.append(instance.ask(paths, {"op": "refuse" if options.refuse else "confirm", "number": number}))
        if not options.json:
            show(options, None, _answered(done[-1], refused=options.refuse))
    if options.json:
        answer = "refused" if options.refuse else "confirmed"
        show(options, [_public(item) | {"answer": answer} for item in done], "")
    elif not done:
        show(options, None, "Nothing waits for you.")
    return OK


def waiting(paths: Paths) -> tuple[list[dict[str, Any]], int]:
    """What waits, the oldest first, and how many more could not be listed. AppError engine_absent."""
    answer = instance.ask(paths, {"op": "waiting"})
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else [], int(answer.get("unlisted") or 0)


def words(count: int) -> str:
    """For other verbs, when something waits."""
    return f"{text.many(count, 'thing waits', 'things wait')} for your confirmation: gatehouse confirm"


def _list(options: Namespace, paths: Paths) -> int:
    items, unlisted = waiting(paths)
    if options.json:
        show(options, {"waiting": [_public(item) for item in items], "unlisted": unlisted}, "")
        return OK
    lines = []
    for item in items:
        lines += [
            f"{item['number']:>4}  {item['says']}",
            f"      {_KINDS.get(str(item['kind']), '')}, {text.when(item['at_us'])}{_more(item)}",
        ]
    if unlisted:
        lines.append(f"and {text.many(unlisted, 'more was', 'more were')} refused without being listed: something floods the keeper.")
    if items:
        lines.append("Confirm with: gatehouse confirm NUMBER    Drop with: gatehouse confirm --refuse NUMBER")
    show(options, None, "\n".join(map(text.plain, lines)) or "Nothing waits for you.")
    return OK


def _more(item: dict[str, Any]) -> str:
    used = f"; {item['used']} counts meanwhile" if item.get("used") else ""
    return used if item.get("asked") else f"{used}; nobody asks for it any more"


def _answered(item: dict[str, Any], *, refused: bool) -> str:
    says = text.plain(str(item.get("says", "")))
    if refused:
        return f"Refused: {says}."
    after = " Ask for it again within two minutes." if item.get("kind") == "refused" else ""
    return f"Confirmed: {says}.{after}"


def _public(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item.get(name) for name in ("number", "kind", "what", "subject", "value", "says", "used", "at_us", "asked")}
