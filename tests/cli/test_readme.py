"""The README's table of commands says what can be typed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from app.cli.arguments import _parser
from app.engine import main, server
from app.engine.exchange import Limits
from app.engine.room import Sizes
from app.wire.outline import MAX_MEMBERS, MAX_VALUES

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Command line")[2].partition("\n## ")[0]
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


def test_what_a_request_may_take_is_what_the_readme_says() -> None:
    said = " ".join(README.partition("**What a request may take.**")[2].partition("\n\n")[0].split())
    head, sizes, mb = server.Limits(), Sizes(), 1_048_576
    assert said.startswith(f"{head.head_bytes // 1024} KB of head, {Limits().body // mb} MB of body, {MAX_MEMBERS:,} members at the top")
    assert MAX_VALUES == 1_000_000 and "a million values in all, each name once." in said
    assert f"{sizes.each // mb} MB for one client, {sizes.unknown // mb} MB together" in said
    assert f"{sizes.all // mb} MB in all. Of {head.connections:,} connections those without a key have at most half" in said


def test_how_long_quitting_waits_is_what_the_readme_says() -> None:
    assert f"what runs is finished first, at most {main.DRAIN_S:.0f} s;" in SECTION
