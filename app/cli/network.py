"""`gatehouse network ...`: what leaves this machine, what was refused, and the ways to check both."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Final

from app.cli import FAILED, OK, text
from app.cli.verbs import show
from app.control import report
from app.control.client import ControlClient
from app.control.contract import LeakAttempt, NetworkView
from app.core.exports import KINDS, VERIFIER_FILE
from app.system import sink
from app.system.commands import word

WORDS: Final = {
    "kernel": "stopped by the kernel",
    "tripwire": "stopped by the tripwire",
    "keeper": "refused by the keeper",
    "reached": "GOT OUT",
    "absent": "no such way in this program",
    "stopped": "failed by itself",
}


def run(options: Namespace, client: ControlClient) -> int:
    match options.action:
        case "destinations":
            return _destinations(options, client)
        case "refused":
            return _refused(options, client)
        case "selftest":
            return _selftest(options, client)
        case "report":
            return _report(options, client)
    return _status(options, client)


def red(view: NetworkView) -> list[str]:
    """What must not be: the sentences of a view that are red."""
    return [*view.unexplained, *view.books.mismatches]


def _status(options: Namespace, client: ControlClient) -> int:
    view = client.network()
    wrong = red(view)
    books = view.books
    lines = [
        f"{report.LEVELS[view.level]} since {text.when(view.since_us)}." + (f" {view.level_reason}" if view.level_reason else ""),
        *(f"not watched from {text.when(gap.from_us)} to {text.when(gap.until_us)}" for gap in view.gaps),
        (
            f"{view.connections} connections to {view.hosts} hosts on the internet and {view.local_hosts} of your own; "
            f"{view.refused_count} attempts refused."
        ),
        (
            f"Removed before it left: {view.removed_headers} headers from {view.removed_from} requests, "
            f"{view.removed_identifiers} identifiers."
        ),
        "",
        text.table(
            ("LAYER", "STATE", "WHAT IT DOES", "WHY NOT"),
            [(each.name, each.state, each.does, text.plain(each.reason)) for each in view.layers],
        ),
        "",
        f"Books: {books.ledger} connections in the ledger, {books.records} records, {books.keeper} made by the keeper, "
        f"{books.seen} seen by the system" + (f" ({', '.join(books.hidden)} not shown to us)" if books.hidden else "") + ".",
        *(f"RED: {text.plain(sentence)}" for sentence in wrong),
        *([] if wrong else ["They agree."]),
        *(f"WAITING: {text.plain(each.says)}. See: gatehouse confirm" for each in view.waiting),
        *([f"Found in the environment and not passed on: {', '.join(view.environment)}"] if view.environment else []),
    ]
    show(options, view, "\n".join(lines))
    return FAILED if wrong else OK


def _destinations(options: Namespace, client: ControlClient) -> int:
    view = client.network()
    rows = [
        (
            f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}",
            text.plain(", ".join(each.accounts)) or "removed",
            "given to a local program" if each.local else each.purpose,
            str(each.connections), text.size(each.bytes_out), text.size(each.bytes_in),
            text.when(each.last_us) if each.last_us else "never",
            text.plain(each.issuer) or ("no TLS" if each.scheme == "http" else "-"),
        )
        for each in view.destinations
    ]  # fmt: skip
    head = ("ADDRESS", "ACCOUNT", "WHY", "CONNECTIONS", "OUT", "IN", "LAST", "TLS ISSUER")
    show(options, view.destinations, text.table(head, rows, "def") if rows else "Nothing is declared: nothing can be contacted.")
    return OK


def _refused(options: Namespace, client: ControlClient) -> int:
    view = client.network()
    lines = []
    for each in view.refused:
        lines.append(
            f"{text.when(each.at_us)}  {each.process}: {each.what} {text.plain(each.target)} (x{each.count}) {text.plain(each.sentence)}"
        )
        if each.stack:
            lines.append(f"    asked by {text.plain(' < '.join(each.stack[:6]))}")
    show(options, view.refused, "\n".join(lines) or "Nothing was refused.")
    return OK


def _selftest(options: Namespace, client: ControlClient) -> int:
    """Each attempt is printed as it happens; 0 when all were stopped and the one that must get through did."""
    found: list[LeakAttempt] = []
    for each in client.try_to_leak():
        found.append(each)
        if not options.json:
            what = "reached, as it must" if each.must_pass and each.good else WORDS[each.result]
            show(options, each, f"{each.name:32} {each.process:8} {each.to:24} {what}  {each.after_us / 1000:.1f} ms")
    good = all(each.good for each in found) and any(each.must_pass for each in found)
    stopped = sum(1 for each in found if each.good and not each.must_pass)
    if options.json:
        show(options, found, "")
    else:
        show(options, found, f"{stopped} stopped, {sum(1 for each in found if not each.good)} not as it must be.")
    return OK if good else FAILED


def _report(options: Namespace, client: ControlClient) -> int:
    made = client.network_report()
    folder = Path(options.folder).expanduser().absolute()
    with sink.new(folder, KINDS["network"]) as files:
        for number, content in enumerate(report.pieces(made)):
            files.write(number, content)
        files.finish()
        files.keep()
    facts = {"folder": str(folder), "key": made.key}
    show(options, facts, f"Signed: {folder}\nCheck it anywhere with: python -I {word(str(folder / VERIFIER_FILE))} --key {made.key}")
    return OK
