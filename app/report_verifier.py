"""Checks a network report of Gatehouse. This one file is enough: it needs Python 3.11, `cryptography`, and nothing of Gatehouse.

    python verify.py [FOLDER] [--key KEY] [--json]

FOLDER is a report (by default the folder this file lies in). KEY is the public key that signed it, as its owner reads it off an exported
audit log of the same time (checkpoints.jsonl names it); without it the check says that the report is whole, not whose it is. The copy of
this file in a folder comes from whoever made the folder: to check a stranger's report, use a copy from elsewhere (`gatehouse verify`).

Exit codes: 0 intact, 1 tampered, 2 incomplete (no key was given to compare with), 3 bad input (this is no report).

What is checked: report.json is one canonical JSON text (keys sorted, no blanks, no floats); signature.json holds an Ed25519 signature over
"gatehouse-network-report-v1" 00 | that text; and every connection that it counts, in all and for each destination, is among those it
lists (up to the 5,000 newest).

What a signature shows: that the program which held this key wrote this text, and that nobody changed it since. What it cannot show: that
the program told the truth. A changed copy could sign anything. Compare the connections with a router, a firewall or a packet capture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

DOMAIN: Final = b"gatehouse-network-report-v1\0"
FORMAT: Final = "gatehouse network report"
REPORT_FILE: Final = "report.json"
SIGNATURE_FILE: Final = "signature.json"
LARGEST: Final = 64 << 20
LISTED_MAX: Final = 5_000

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
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return "bad input", f"The files cannot be read as a report ({type(error).__name__})."
    if body != canonical:
        return "tampered", "report.json is not in the one form in which it was signed."
    if not _signed(public, signed, body):
        return "tampered", "The signature does not belong to this report."
    if wrong := _sums(report):
        return "tampered", wrong
    wanted = key.strip().lower().replace(" ", "")
    if wanted and wanted != public.hex():
        return "tampered", "The report is signed with another key than the one it was to have."
    if not wanted:
        return "incomplete", f"Nothing was changed since the key {public.hex()} signed it; compare that key with the audit log's."
    return "intact", "Nothing was changed since that key signed it."


def run(folder: Path, *, key: str = "", as_json: bool = False) -> int:
    """Prints the verdict; the exit code."""
    state, why = check(folder, key)
    print(json.dumps({"state": state, "why": why}) if as_json else f"{state}: {why}")  # noqa: T201
    return EXIT_CODES[state]


def _read(path: Path) -> bytes:
    if not path.is_file():  # a pipe or a device would never end
        raise _BadInputError(f"{path.name} is not there, or is no ordinary file.")
    with path.open("rb") as file:
        read = file.read(LARGEST + 1)
    if len(read) > LARGEST:
        raise _BadInputError(f"{path.name} is larger than any report.")
    return read


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
            return f"The report speaks of {count} connections to {place[0]}:{place[1]} and lists {places[place]}."
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks a network report of Gatehouse.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return run(options.folder, key=options.key, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
