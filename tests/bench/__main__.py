"""`python -m tests.bench [--json] [--quick] [--only NAME]`: measures, prints, leaves nothing behind."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tests import bench
from tests.bench import (
    audit,
    door,
    exchanges,
    leaving,
    ledger,
    machine,
    memory,
    nginx,
    report,
    retention,
    scrolling,
    start,
    streams,
    translation,
    window,
)
from tests.bench.figures import FULL, QUICK, Figure, Measure, Scale, collect
from tests.bench.processes import more_descriptors
from tests.bench.rig import rig

PARTS: dict[str, Measure] = {
    "requests": exchanges.rate,
    "latency": exchanges.latency,
    "first-chunk": exchanges.first_chunk,
    "large": exchanges.large,
    "streams": streams.slow_streams,
    "translation": translation.translation,
    "leaving": leaving.leaving,
    "start": start.start,
    "memory": memory.memory,
    "window": window.window,
    "scrolling": scrolling.scrolling,
    "ledger": ledger.at_size,
    "retention": retention.meanwhile,
    "audit": audit.audit_log,
    "door": door.dialling,
}


def main(arguments: list[str]) -> int:
    """Exit code 0 when every figure was measured, 1 when one was refused or skipped, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=bench.__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="JSON on standard output, the table on standard error")
    parser.add_argument("--quick", action="store_true", help="a short run, good for comparing one's own changes only")
    parser.add_argument("--only", action="append", choices=list(PARTS), metavar="NAME", help=f"only this part; one of {', '.join(PARTS)}")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    command = shlex.join(["python", "-m", "tests.bench", *arguments])
    facts = machine.facts()
    facts["tools"] = ", ".join(
        [
            "load by wrk" if shutil.which("wrk") else "load by our own generator (wrk is not installed)",
            "compared with nginx"
            if nginx.installed()
            else "NOT COMPARED WITH NGINX: it is not installed (Debian: apt install nginx-light)",
        ]
    )
    try:
        figures = run(given.only or [name for name in PARTS if name not in ("ledger", "retention")], QUICK if given.quick else FULL)
    except KeyboardInterrupt:
        _say("interrupted; everything that was started has been ended")
        return 130
    facts |= {f"{name} after": value for name, value in machine.pace().items()}
    if given.json:
        print(report.as_json(facts, command, figures))
    print(report.table(facts, command, figures), file=sys.stderr if given.json else sys.stdout)
    return 1 if any(figure.refused for figure in figures) else 0


def run(names: list[str], scale: Scale) -> list[Figure]:
    """The figures of these parts, on a rig of their own."""
    more_descriptors()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-", ignore_cleanup_errors=True) as folder, rig(Path(folder)) as one:
        return list(collect(names, PARTS, one, scale, _say))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
