"""`gatehouse audit ...`, `verify` and `privacy`: the log that can be checked, and the promises with how they are kept."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Final

import msgspec

from app.cli import OK, text
from app.cli.verbs import show
from app.control.client import ControlClient
from app.control.contract import AuditPolicy, AuditStatus, AuditVerdict
from app.core.errors import AppError
from app.core.exports import KINDS, VERIFIER_FILE
from app.system import sink
from app.system.commands import word

# As the offline verifier: 0 intact, 1 tampered, 2 incomplete. Its 3, bad input, is here that no gateway could be asked.
_CODES = {"intact": 0, "tampered": 1, "incomplete": 2}
_PROGRESS_S = 0.5


def verify(options: Namespace, client: ControlClient) -> int:
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(client, done), daemon=True)
    if sys.stderr.isatty() and not options.json:
        watcher.start()
    try:
        verdict = client.verify_audit()
    finally:
        done.set()
    show(options, verdict, _verdict(verdict))
    return _CODES[verdict.state]


def _watch(client: ControlClient, done: threading.Event) -> None:
    """How far it is, for a person who waits."""
    while not done.wait(_PROGRESS_S):
        try:
            status = client.audit_status()
        except AppError:
            return
        if status.verifying is not None:
            print(f"\r{so_far(status.verifying, status.verifying_rows)}", end="\r", file=sys.stderr, flush=True)  # noqa: T201


def so_far(entries: tuple[int, int], rows: tuple[int, int] | None) -> str:
    """How far a verification is: what was read, and how much there is to read."""
    said = f"{entries[0]:,} of {entries[1]:,} entries"
    return said if rows is None else f"{said}, {rows[0]:,} of {rows[1]:,} rows"


def _verdict(verdict: AuditVerdict) -> str:
    if verdict.state == "intact":
        entries, rows = text.many(verdict.entries, "entry", "entries"), text.many(verdict.rows, "row", "rows")
        lines = [
            f"Intact: {entries} up to {verdict.seq}, head {verdict.head[:12]}, and {rows} of the ledger.",
            f"Signed up to entry {verdict.sealed}; the vault remembers entry {verdict.anchored}. Read in {verdict.took_ms / 1000:.1f} s.",
        ]
    else:
        lines = [f"{verdict.state.capitalize()}. Entries up to {verdict.seq} follow from one another."]
        for finding in verdict.findings:
            lines += [f"  {finding.kind}: {text.plain(finding.sentence)}", f"    {finding.advice}"]
    return "\n".join([*lines, *map(text.plain, verdict.notes)])


def show_status(options: Namespace, client: ControlClient) -> int:
    status = client.audit_status()
    pairs = [
        ("Entries", f"{status.entries:,} ({status.first} to {status.seq}), {text.size(status.size_bytes)}"),
        ("Head", status.head),
        ("Signed", f"to entry {status.sealed}, {text.when(status.sealed_us)}, epoch {status.epoch}"),
        ("Fingerprint", status.fingerprint),
        ("Verified", _verified(status)),
        ("Remembered", f"to entry {status.anchored}, {text.when(status.anchored_us)}, in {status.place}. {status.worth}"),
        ("Kept", text.many(status.keep_days, "day", "days") if status.keep_days else "for ever"),
        ("Requests", "stop while the log cannot be written" if status.on_failure == "stop" else "go on while the journal can be written"),
    ]
    if status.held is not None:
        pairs.insert(0, ("FINDING", f"{status.held.kind}: {status.held.sentence} {status.held.advice}"))
    if status.trouble:
        pairs.insert(0, ("Not signed", status.trouble))
    show(options, status, text.facts(pairs))
    return OK


def _verified(status: AuditStatus) -> str:
    """What was read since the start, and when all of it was: a change before that is found by the next verification of all of it."""
    verdict = status.verdict
    full = f"all of it up to entry {status.full_seq}, {text.when(status.full_us)}" if status.full_us else "never all of it"
    if verdict is None:
        return f"not since the start; {full}"
    if verdict.state != "intact":
        return f"{verdict.state}, {text.when(verdict.at_us)}: see gatehouse audit verify; intact before: {full}"
    if not verdict.since:
        return full
    span = f"entries {verdict.since + 1} to {verdict.seq}" if verdict.entries else "nothing new"
    return f"{span} since the start, {text.when(verdict.at_us)}; {full}"


def export(options: Namespace, client: ControlClient) -> int:
    folder = Path(options.folder).expanduser().absolute()
    with sink.new(folder, KINDS["audit"]) as files:
        made = client.export_audit(files.write)
        files.finish()
        files.keep()
    words = (
        f"{text.many(made.entries, 'entry', 'entries')} up to {made.upto} are in {folder} ({text.size(made.size_bytes)}).\n"
        f'Check them anywhere with: python -I {word(str(folder / VERIFIER_FILE))} --key "{made.fingerprint}"'
    )
    facts = {"folder": str(folder)} | msgspec.structs.asdict(made)
    show(options, facts, words if made.signed else f"{words}\nThe export is not signed: see gatehouse audit status.")
    return OK


def prune(options: Namespace, client: ControlClient) -> int:
    keep_days: int = options.keep_days if options.keep_days is not None else client.audit_status().keep_days
    found = client.audit_prunable(keep_days) if options.keep_days is not None or keep_days else None
    if found is None or not found.upto:
        show(options, found, "Nothing would go: no whole signed segment is that old.")
        return OK
    words = (
        f"{text.many(found.count, 'entry', 'entries')} ({found.first} to {found.upto}, "
        f"{text.when(found.first_us)} to {text.when(found.last_us)}, {text.size(found.size_bytes)}) would go; {found.kept:,} stay."
    )
    if options.preview:
        show(options, found, words)
        return OK
    _confirm(options, f"{words} They cannot be brought back. Remove them?")
    done = client.prune_audit(found.upto)
    show(options, done, done.message)
    return OK


def policy(options: Namespace, client: ControlClient) -> int:
    chosen = AuditPolicy(keep_days=options.keep_days, on_failure=options.on_failure)
    status = client.set_audit_policy(chosen)
    kept = text.many(status.keep_days, "day", "days") if status.keep_days else "for ever"
    held = "stop" if status.on_failure == "stop" else "go on as long as the journal can be written"
    show(options, status, f"The log is kept {kept}. While it cannot be written, changes are refused and requests {held}.")
    return OK


def accept(options: Namespace, client: ControlClient) -> int:
    """Only what the person has seen is gone on from."""
    held = client.audit_status().held
    if held is None:
        raise AppError("body_invalid", "There is no finding to go on from.")
    text.note(f"{held.kind}: {held.sentence}")
    text.note(held.advice)
    _confirm(options, "Export the log first: gatehouse audit export FOLDER. Go on from the log as it is, under a new key?")
    done = client.accept_audit(held.kind)
    show(options, done, done.message)
    return OK


def _confirm(options: Namespace, question: str) -> None:
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise AppError("body_invalid", text.plain(question), "Nobody is here to say yes: give --yes.")
    print(f"{text.plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise AppError("body_invalid", "Nothing was changed.")


_KEPT: Final = {True: "kept     ", False: "NOT KEPT ", None: "not known"}


def privacy(options: Namespace, client: ControlClient) -> int:
    promises = client.privacy()
    lines = []
    for promise in promises:
        lines += [f"{_KEPT[promise.kept]}  {promise.title}: {promise.state}", f"           check: {promise.check}"]
    show(options, promises, "\n".join(map(text.plain, lines)))
    return OK if all(promise.kept for promise in promises) else 1


def verify_export(options: Namespace) -> int:
    """`gatehouse verify PATH`: needs no gateway."""
    from app import verifier  # noqa: PLC0415  only this verb needs it

    def progress(done: int) -> None:
        if not done % 100_000:
            print(f"\r{done:,} entries", end="\r", file=sys.stderr, flush=True)  # noqa: T201

    shown = progress if sys.stderr.isatty() else None
    return verifier.run(Path(options.path), pin=options.key or "", as_json=options.json, progress=shown)
