"""What the engine puts in the place of its own database and journal before it dies, and what the rest makes of it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from subprocess import TimeoutExpired
from typing import Any

from tests.attacks.inside import observe
from tests.attacks.inside.taken import Taken, spoiled, taken
from tests.attacks.judge import MB, every
from tests.attacks.processes import resident
from tests.attacks.registry import Seen
from tests.attacks.stage import Stage


def replaces(here) -> None:  # type: ignore[no-untyped-def]
    import os
    import shutil
    from pathlib import Path

    def away(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def put(path: Path, kind: str, value) -> None:  # type: ignore[no-untyped-def]
        away(path)
        if kind == "link":
            path.symlink_to(value)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "text":
            path.write_text(value)
        else:
            with path.open("wb") as file:
                file.truncate(value)

    for name, (kind, value) in here.given["files"].items():
        path = here.own / name
        try:
            put(path, kind, value)
            here.say(name, kind)
        except OSError as error:
            here.say(name, f"refused: {error.strerror}")
    os.kill(os.getpid(), 9)


def judged(stage: Stage, files: dict[str, tuple[str, object]], *, restart: bool = True) -> Seen:
    """Precious files stay as they are, the keeper goes on and says how it is, at the revival and at the next start."""
    one = taken(stage)
    precious = [one.home / ".bashrc", one.home / "precious"]
    for path in precious:
        path.write_text("precious\n")
    before, held = observe.picture(precious), resident([one.gateway.pid])
    vault = json.loads((one.data / "vault.json").read_text())
    pid = one.pid("engine")
    given = {name: (kind, value.replace("HOME", str(one.home)).replace("DATA", str(one.data)) if isinstance(value, str) else value)
             for name, (kind, value) in files.items()}  # fmt: skip
    one.run(replaces, files=given, last=True)
    one.pid("engine", within_s=20, but=pid)
    time.sleep(1.5)
    rows = [("at the revival", *_says(one)), ("memory", resident([one.gateway.pid]) - held < 64 * MB, "grown")]
    code, words = one.another_start()
    told = code == 3 or (code == 1 and "folder" in words and "Traceback" not in words)
    rows.append(("another launch", told, f"{code}, {words[:100]}"))
    if restart:
        one.gateway.stop()
        try:
            one.start()
            rows.append(("at the next start", *_says(one)))
        except RuntimeError as error:
            rows.append(("at the next start", "Traceback" not in str(error), str(error)[:200]))
    changed = [one.short(place) for place in observe.changed(before, observe.picture(precious))]
    changed += ["vault.json"] if not _lasting(one, vault) else []
    spoiled(stage)
    return every([*rows, ("precious files", not changed, f"changed: {', '.join(changed)}")], "facts")


def _lasting(one: Taken, before: dict[str, Any]) -> bool:
    """Whether vault.json still says the same and has every sealed item; what is in those, each start seals anew."""
    found = json.loads((one.data / "vault.json").read_text())
    return set(before.pop("sealed", ())) <= set(found.pop("sealed", ())) and found == before


def _says(one: Taken) -> tuple[bool, str]:
    """A state and no trace, within the time that a command has."""
    with suppress(TimeoutExpired):
        done = one.gateway.cli("status", check=False, timeout_s=40)
        words = done.stdout + done.stderr
        return bool(words.strip()) and "Traceback" not in words, words[:100]
    return False, "no answer"
