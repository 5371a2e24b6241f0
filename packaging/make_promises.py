"""Writes README's table of claims and SECURITY's list of what breaks a promise, between their marks, from the one table of promises.

    .venv/bin/python packaging/make_promises.py

The table is `app/core/promises.py`; a test fails when these files do not say the same.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- promises: begin -->", "<!-- promises: end -->"
WIDTH = 140


def claims() -> str:
    """README's table, in Markdown."""
    from app.core.promises import PROMISES  # noqa: PLC0415 - after the path is known

    rows = [f"| {_cell(promise.claim)} | {_cell(promise.trial)} |" for promise in PROMISES]
    return "\n".join(["| claim | how to try it |", "|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def breaks() -> str:
    """SECURITY's list, in Markdown."""
    from app.core.promises import PROMISES  # noqa: PLC0415 - as above

    wrap = textwrap.TextWrapper(
        WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
    return "\n".join(wrap.fill(promise.broken) for promise in PROMISES if promise.broken) + "\n"


def files() -> dict[Path, str]:
    """What the two files should hold. ValueError when one has lost its marks."""
    sys.path.insert(0, str(ROOT))
    made = {}
    for path, text in ((ROOT / "README.md", claims()), (ROOT / "SECURITY.md", breaks())):
        held = path.read_text(encoding="utf-8")
        if held.count(BEGIN) != 1 or held.count(END) != 1:
            raise ValueError(f"{path.name} needs the marks {BEGIN} and {END}, once each.")
        before, _, rest = held.partition(BEGIN)
        made[path] = f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"
    return made


def main() -> int:
    for path, content in files().items():
        path.write_text(content, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
