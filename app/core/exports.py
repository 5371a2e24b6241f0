"""What is taken out of Gatehouse as files: the kinds, what the files are called, and which of them are the program's own.

The names inside an export come from here alone, never from the engine, from the data or from who asks for it. The files that somebody
will run or follow, a verifier and its README, are copied from the program by whoever writes the export: what a person is told to start
cannot be chosen by a process that was taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Name = Literal["requests", "audit", "network"]

ENTRIES_FILE: Final = "entries.jsonl"
CHECKPOINTS_FILE: Final = "checkpoints.jsonl"
MANIFEST_FILE: Final = "manifest.json"
REPORT_FILE: Final = "report.json"
SIGNATURE_FILE: Final = "signature.json"
PAGE_FILE: Final = "report.html"
VERIFIER_FILE: Final = "verify.py"
README_FILE: Final = "README.txt"

_AUDIT_README: Final = """\
This is an audit log of Gatehouse. Check it with Python 3.11 or newer and the package "cryptography":

    python -I verify.py --key "FINGERPRINT"

FINGERPRINT is the one that the owner of the log reads off the Audit page: ask them, and do not take it from this folder. The exit code
is 0 for intact, 1 for tampered, 2 for incomplete, 3 for bad input. Without --key it is 2 at best, because anybody can make a log that is
whole under a key of their own. With -I Python imports nothing that lies in this folder; verify.py is short enough to be read first, and
needs nothing else. With Gatehouse at hand, "gatehouse verify FOLDER --key FINGERPRINT" does the same with a copy of verify.py that did
not come with the export.

    entries.jsonl       one entry a line, oldest first
    checkpoints.jsonl   what was signed over them
    manifest.json       these files with their sizes and digests, signed; what else lies here is not part of the export
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """sent: the files whose bytes come from who asks, each spoken of by its place in this list; none: the whole is one file, number 0.

    programs: files beside them that are the program's own, by name, and what each is called in the package `app`. texts: the same, with
    what is in them. prefix, endings: how the window may call the whole, a folder or a file.
    """

    sent: tuple[str, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    endings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of every file in the folder, those that are sent first; () for a file."""
        return (*self.sent, *self.programs, *self.texts)

    @property
    def count(self) -> int:
        """How many files are sent."""
        return len(self.sent) or 1

    def fits(self, name: str) -> bool:
        """Whether the window may call the whole so: nothing that any system starts, reads at a sign-in or imports is called like that."""
        if self.prefix:
            number = name.removeprefix(self.prefix)
            return name.startswith(self.prefix) and number.isascii() and number.isdecimal()
        return name.endswith(self.endings)


KINDS: Final[Mapping[Name, Kind]] = {
    "requests": Kind(endings=(".csv", ".jsonl", ".ndjson")),
    "audit": Kind(
        sent=(ENTRIES_FILE, CHECKPOINTS_FILE, MANIFEST_FILE),
        programs={VERIFIER_FILE: "verifier.py"},
        texts={README_FILE: _AUDIT_README},
        prefix="gatehouse-audit-",
    ),
    "network": Kind(
        sent=(REPORT_FILE, SIGNATURE_FILE, PAGE_FILE),
        programs={VERIFIER_FILE: "report_verifier.py"},
        prefix="gatehouse-network-",
    ),
}


def kind_of(name: object) -> Kind | None:
    return next((kind for known, kind in KINDS.items() if known == name), None)
