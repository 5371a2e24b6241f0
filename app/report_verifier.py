"""Checks a network report of Gatehouse. This one file is enough: it needs Python 3.11, `cryptography`, and nothing of Gatehouse.

    python -I verify.py [FOLDER] [--key KEY] [--json]

FOLDER is a report (by default the folder this file lies in). KEY is the public key that signed it, as its owner reads it off an exported
audit log of the same time (checkpoints.jsonl names it); without it the check says that the report is whole, not whose it is. With -I
nothing is imported from the folder, whatever lies there and whatever the environment says; without it this file takes the folder off
Python's path itself. The copy of this file in a folder comes from whoever made the folder: to check a stranger's report, use a copy from
elsewhere (`gatehouse verify`).

Exit codes: 0 intact, 1 tampered, 2 incomplete (no key was given to compare with), 3 bad input (this is no report).

What is checked: report.json is one canonical JSON text (keys sorted, no blanks, no floats); signature.json holds an Ed25519 signature over
"gatehouse-network-report-v1" 00 | that text; and every connection that it counts, in all and for each destination, is among those it
lists (up to the 5,000 newest). Nothing else in the folder is signed: report.html is the same for reading, and is believed only as far as
report.json says so. What is not part of a report is named.

What a signature shows: that the program which held this key wrote this text, and that nobody changed it since. What it cannot show: that
the program told the truth. A changed copy could sign anything. Compare the connections with a router, a firewall or a packet capture.
"""

import sys

if __name__ == "__main__":
    # What lies beside this file is a stranger's, and so is the current folder: nothing is imported from there, and nothing was before
    # this line. (`from __future__` would have been. `os` is there already: the interpreter needs it for itself.)
    import os

    _strange = [os.path.realpath(os.path.dirname(__file__)), os.path.dirname(os.path.realpath(__file__))]  # noqa: PTH120 - no pathlib yet
    try:  # noqa: SIM105 - no contextlib yet
        _strange.append(os.path.realpath(os.curdir))
    except OSError:
        pass  # the current folder is gone, and nothing can be in it
    _strange = [os.path.normcase(folder) for folder in _strange]
    _kept = [entry for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117 - likewise
    sys.path[:] = [entry for entry in _kept if os.path.normcase(os.path.realpath(entry)) not in _strange]

import argparse
import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

DOMAIN: Final = b"gatehouse-network-report-v1\0"
FORMAT: Final = "gatehouse network report"
REPORT_FILE: Final = "report.json"
SIGNATURE_FILE: Final = "signature.json"
PAGE_FILE: Final = "report.html"
KNOWN: Final = frozenset({REPORT_FILE, SIGNATURE_FILE, PAGE_FILE, "verify.py"})
LARGEST: Final = 64 << 20
LISTED_MAX: Final = 5_000
_MOST_NAMES: Final = 10_000
_NAMED: Final = 20
_LONGEST_NAME: Final = 80
_NO_PACKAGE: Final = (
    'No signature can be checked, because this Python has no package "cryptography". One that was installed for the user alone is not '
    "seen with -I: install it into an environment (python -m venv) and use the Python there."
)

State = Literal["intact", "tampered", "incomplete", "bad input"]
EXIT_CODES: Final[dict[State, int]] = {"intact": 0, "tampered": 1, "incomplete": 2, "bad input": 3}


class _BadInputError(Exception):
    """This is no report."""


def check(folder: Path, key: str = "") -> tuple[State, str]:
    """The verdict and why, in one sentence. Never raises for what the files hold."""
    try:
        body = _read(folder / REPORT_FILE)
        signature = json.loads(_read(folder / SIGNATURE_FILE))
        report = json.loads(body, parse_float=_no_floats, parse_constant=_no_floats)
        if not isinstance(report, dict) or report.get("format") != FORMAT or report.get("version") != 1:
            raise _BadInputError("report.json is no network report of a version that this file knows.")
        public, signed = bytes.fromhex(signature["key"]), bytes.fromhex(signature["signature"])
        canonical = json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    except _BadInputError as error:
        return "bad input", str(error)
    except MemoryError:
        return "bad input", "The files are too large to be read as a report."
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return "bad input", f"The files cannot be read as a report ({type(error).__name__})."
    if body != canonical:
        return "tampered", "report.json is not in the one form in which it was signed."
    try:
        whole = _signed(public, signed, body)
    except ImportError:
        return "incomplete", _NO_PACKAGE
    if not whole:
        return "tampered", "The signature does not belong to this report."
    if wrong := _sums(report):
        return "tampered", wrong
    wanted = key.strip().lower().replace(" ", "")
    if wanted and wanted != public.hex():
        return "tampered", "The report is signed with another key than the one it was to have."
    if not wanted:
        return "incomplete", f"Nothing was changed since the key {public.hex()} signed it; compare that key with the audit log's."
    return "intact", "Nothing was changed since that key signed it."


def notes(folder: Path) -> list[str]:
    """What is not wrong but should be known, in lines that are safe to print: whoever gave the folder chose the names in it."""
    try:
        with os.scandir(folder) as found:
            there = [entry.name for entry in islice(found, _MOST_NAMES)]
    except OSError:
        return []
    said = [f"{PAGE_FILE} is not signed: where it says something else than {REPORT_FILE}, believe {REPORT_FILE}."] * (PAGE_FILE in there)
    names = sorted(ascii(name)[:_LONGEST_NAME] for name in there if name not in KNOWN)
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        said.append(f"Not part of a report, and not checked: {', '.join(names[:_NAMED])}{more}.")
    return said


def run(folder: Path, *, key: str = "", as_json: bool = False) -> int:
    """Prints the verdict; the exit code."""
    state, why = check(folder, key)
    said = notes(folder) if state != "bad input" else []
    print(json.dumps({"state": state, "why": why, "notes": said}) if as_json else "\n  ".join([f"{state}: {why}", *said]))  # noqa: T201
    return EXIT_CODES[state]


def _read(path: Path) -> bytes:
    """No link, pipe or device: a link leads out of the folder, the others might never end. Nothing is read of what is too large."""
    try:
        _must_be_plain(path.lstat(), path)
        number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        raise _BadInputError(f"{path.name} is not there, or is no ordinary file.") from None
    with os.fdopen(number, "rb") as file:
        info = os.fstat(number)
        _must_be_plain(info, path)
        read = file.read(LARGEST + 1) if info.st_size <= LARGEST else b""
    if max(info.st_size, len(read)) > LARGEST:
        raise _BadInputError(f"{path.name} is larger than any report.")
    return read


def _must_be_plain(info: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise _BadInputError(f"{path.name} is not there, or is no ordinary file.")


def _no_floats(text: str) -> Any:
    raise ValueError(text)


def _signed(public: bytes, signature: bytes, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - a person without the package learns so when it is needed
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, DOMAIN + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _sums(report: dict[str, Any]) -> str:
    """What does not add up; "" when all does."""
    try:
        total = int(report["view"]["connections"])
        claims = [((each["host"], each["port"], each["local"]), int(each["connections"])) for each in report["view"]["destinations"]]
        numbers = [int(record["connection"]) for record in report["records"]]
        places = Counter((record["host"], record["port"], record["local"]) for record in report["records"])
    except (KeyError, TypeError, ValueError):
        return "The report lacks its connections."
    if len(set(numbers)) != len(numbers):
        return "A connection is listed twice."
    if len(numbers) >= LISTED_MAX:
        return ""
    if len(numbers) < total:
        return f"The report speaks of {total} connections and lists {len(numbers)}."
    for place, count in claims:
        if places[place] < count:
            named = ascii(f"{place[0]}:{place[1]}")[1:-1][:_LONGEST_NAME]  # a stranger's word, which a terminal might obey
            return f"The report speaks of {count} connections to {named} and lists {places[place]}."
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks a network report of Gatehouse.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", default="", metavar="KEY", help="the public key that must have signed it")
    parser.add_argument("--json", action="store_true")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return EXIT_CODES["bad input"] if stop.code else 0
    return run(options.folder, key=options.key, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
