"""I44: a death that leaves memory behind."""

from __future__ import annotations

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import KEYS, Seen, attack
from tests.attacks.stage import Stage


def dumps(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os
    import resource

    here.attempt("raise the limit", lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    here.attempt("dumpable", lambda: ctypes.CDLL(None).prctl(4, 1, 0, 0, 0))
    here.attempt("go to the own folder", lambda: os.chdir(here.own))
    os.abort()


@attack("I44", "engine allows itself a core file, goes to its folder and aborts", promise=KEYS, expected="no core file with keys anywhere")
def core(stage: Stage) -> Seen:
    """All provider keys are in that memory, and a core file is as plain as memory."""
    one = taken(stage)
    pid = one.pid("engine")
    one.run(dumps, last=True)
    found = one.revived("engine", pid)
    places = [
        path for base in (one.folder, one.folder.parent) for path in base.rglob("core*") if path.is_file() and path.stat().st_size > 1 << 16
    ]
    rows = [
        (one.short(path), False, f"{path.stat().st_size} bytes")
        for path in places
        if "site-packages" not in str(path) and "/app/" not in str(path)
    ]
    spoiled(stage)
    return every([*rows, ("revived", bool(found), "not revived")], "places")
