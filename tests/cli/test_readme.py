"""The README's table of commands says what can be typed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from app.cli.arguments import _parser

SECTION = (
    (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8").partition("## Command line")[2].partition("\n## ")[0]
)
COMMANDS = " ".join(re.findall(r"`([^`]+)`", SECTION))


def verbs(made: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from verbs(below, f"{before} {name}".strip())
            return
    yield before


def test_every_verb_is_in_the_readme() -> None:
    known = [verb for verb in verbs(_parser()) if verb]
    assert len(known) > 30
    for verb in known:
        last = verb.rpartition(" ")[2]
        assert re.search(rf"(gatehouse {verb}|(^| ){last})\b", COMMANDS), f"{verb} is not in the README's table of commands"
