"""I11: what the engine was given at its start and still holds."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.judge import every
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


def looks_at_descriptors(here) -> None:  # type: ignore[no-untyped-def]
    import fcntl
    import os

    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            writes = fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        except OSError:
            continue
        if target.startswith("/") and writes:
            here.say(f"{name} {target}", "open to write")
            here.attempt(f"{name} {target} again", lambda name=name: os.close(os.open(f"/proc/self/fd/{name}", os.O_RDWR)))
        elif os.path.isdir(f"/proc/self/fd/{name}"):
            here.say(f"{name} {target}", "a folder")


@attack("I11", "files that the engine still holds open to write", promise=FILES, expected="its own folder, its own log, /dev/null")
def descriptors(stage: Stage) -> Seen:
    """A descriptor from before the lock goes on working after it."""
    one = taken(stage)
    said = one.run(looks_at_descriptors)
    good = (str(one.data / "engine") + "/", str(one.data / "logs" / "engine.log"), "/dev/null", "/dev/urandom", "/memfd:")
    rows = []
    for name, what in said.items():
        if " " not in name:
            continue
        target = name.split(" ")[1]
        own = target.startswith(good) or (one.own == one.data and target.startswith((f"{one.data}/gatehouse.db", f"{one.data}/journal")))
        fresh = not name.endswith(" again") or not what.startswith("went") or not target.endswith("engine.log")
        rows.append((one.short(name), own and fresh, what))
    return every([*rows, ("looked", "ended" in said, "")], "descriptors")
