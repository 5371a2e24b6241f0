"""I5: the sockets by which command line and second launch find the keeper."""

from __future__ import annotations

import socket
from contextlib import suppress

from tests.attacks.inside import observe
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.inside.verdicts import untouched
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


def puts_its_own(here) -> None:  # type: ignore[no-untyped-def]
    import os
    from pathlib import Path

    for path in map(Path, here.given["sockets"]):
        away = path.with_name("away")
        here.attempt(f"{path.name}: rename", lambda path=path, away=away: path.rename(away))
        here.attempt(f"{path.name}: link", lambda path=path: path.symlink_to("/tmp/elsewhere"))
        here.attempt(f"{path.name}: unlink", lambda path=path: path.unlink())
        here.attempt(f"{path.name}: folder", lambda path=path: path.with_name("own").mkdir())
        here.attempt(f"{path.name}: the folder away", lambda path=path: os.rename(path.parent, f"{path.parent}-away"))


@attack("I5", "engine replaces control.sock and instance.sock", promise=FILES, expected="refused, both answer as before")
def channels(stage: Stage) -> Seen:
    """Whoever is found there gets passphrases and keys that a person types."""
    one = taken(stage)
    sockets = [one.runtime / name for name in ("control.sock", "instance.sock")]
    folders = [one.runtime, one.runtime.parent]
    before = observe.picture([*sockets, *folders])
    said = one.run(puts_its_own, sockets=[str(path) for path in sockets])
    changed = observe.changed(before, observe.picture([*sockets, *folders]))
    for path in sockets:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            continue
        changed.append(f"{path.name} does not answer")
    if changed:
        spoiled(stage)
    return untouched([one.short(each) for each in dict.fromkeys(changed)], len(said) - 2)
