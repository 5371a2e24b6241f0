"""`python3 -m tests.attacks`: attacks an installed Gatehouse and prints what held."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.attacks import catalogue, limits
from tests.attacks.registry import BROKEN, FAILED, HELD, Attack, Row, chosen, perform
from tests.attacks.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (("id", 4), ("verdict", 8), ("what was tried", 34), ("promise", 26), ("expected", 30), ("observed", 54))


def main(words: Sequence[str] | None = None) -> int:
    options = _options(words)
    if os.name != "posix":
        print("The kit runs on Linux and macOS.", file=sys.stderr)
        return 2
    command = shlex.split(options.gatehouse) if options.gatehouse else installed()
    program = shutil.which(command[0]) if command else None
    if program is None:
        print("No Gatehouse was found. Say how it is started: --gatehouse COMMAND", file=sys.stderr)
        return 2
    attacks = chosen(options.only.split(","), short=options.short)
    if options.list or not attacks:
        print("\n".join(f"{one.id:4} {one.what}" for one in attacks) or "There is no such attack.")
        return 0 if attacks else 2
    command[0] = os.path.abspath(program)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # what was made is taken away all the same
    with Stage(command, short=options.short) as stage:
        try:
            stage.ready(fresh=False)
        except (RuntimeError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        rows = run(attacks, stage, loud=not options.quiet)
    report = {
        "command": command,
        "folder": str(stage.folder),
        "rows": [row.as_dict() for row in rows],
        "limits": [one.as_dict() for one in limits.LIMITS],
    }
    if options.json == "-":
        print(json.dumps(report, indent=1))
    else:
        print(table(rows))
        print(limits.words())
        print(summary(rows))
        if options.json:
            Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if any(row.verdict in (BROKEN, FAILED) for row in rows) else 0


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def run(attacks: Sequence[Attack], stage: Stage, *, loud: bool) -> list[Row]:
    rows = []
    for one in attacks:
        rows.append(perform(one, stage))
        if loud:
            row = rows[-1]
            print(f"{row.id:4} {row.verdict:8} {row.seconds:5.1f} s  {row.what}", file=sys.stderr, flush=True)
    return rows


def installed() -> list[str]:
    """The command of this checkout's environment, else the one on the path."""
    own = ROOT / ".venv" / "bin" / "gatehouse"
    found = str(own) if own.exists() else shutil.which("gatehouse")
    return [found] if found else []


def table(rows: Sequence[Row]) -> str:
    lines = ["  ".join(name.ljust(width) for name, width in COLUMNS), "  ".join("-" * width for _, width in COLUMNS)]
    for row in rows:
        cells = [row.id, row.verdict, row.what, row.promise or "none", row.expected, _printable(row.observed)]
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
        for at in range(max(map(len, wrapped))):
            parts = [(part[at] if at < len(part) else "").ljust(width) for part, (_, width) in zip(wrapped, COLUMNS, strict=True)]
            lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    counts = Counter(row.verdict for row in rows)
    words = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: item[0] != HELD))
    return f"{len(rows)} attacks in {sum(row.seconds for row in rows):.0f} s: {words}."


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.attacks", description=__doc__)
    parser.add_argument(
        "--gatehouse", metavar="COMMAND", default="", help="how the Gatehouse to attack is started (default: this checkout's)"
    )
    parser.add_argument("--only", metavar="LIST", default="", help="sections or attacks: A,C or A20,D3")
    parser.add_argument("--short", action="store_true", help="the attacks that need little time and memory")
    parser.add_argument(
        "--json", metavar="FILE", default="", help="also write the rows as JSON; -: on standard output instead of the table"
    )
    parser.add_argument("--quiet", action="store_true", help="nothing on standard error while it runs")
    parser.add_argument("--list", action="store_true", help="name the attacks, and end")
    return parser.parse_args(words)


catalogue.load()
if __name__ == "__main__":
    sys.exit(main())
