"""I40: how the system treats other programs."""

from __future__ import annotations

from tests.attacks.inside import observe
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.inside.verdicts import refused, unharmed
from tests.attacks.judge import both
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage


def changes_treatment(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os
    import resource
    import struct

    from planted_code import ways

    mask, few = ctypes.create_string_buffer(b"\1" + bytes(127)), struct.pack("QQ", 50, 50)
    attributes = ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 3, 0, 10, 0, 0, 0, 0))
    for name, pid in here.given["targets"].items():
        here.attempt(f"prlimit {name}", lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (50, 50)))
        here.attempt(f"prlimit64 {name}", lambda pid=pid: ways.call("prlimit64", pid, 7, few, None))
        here.attempt(f"affinity {name}", lambda pid=pid: os.sched_setaffinity(pid, {0}))
        here.attempt(f"affinity call {name}", lambda pid=pid: ways.call("sched_setaffinity", pid, 128, mask))
        here.attempt(f"scheduler {name}", lambda pid=pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
        here.attempt(f"attributes {name}", lambda pid=pid: ways.call("sched_setattr", pid, ctypes.byref(attributes), 0))
        here.attempt(f"priority {name}", lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, 19))
        here.attempt(f"input and output {name}", lambda pid=pid: ways.call("ioprio_set", 1, pid, (3 << 13) | 7))
        here.attempt(f"memory {name}", lambda pid=pid: ways.call("process_madvise", os.pidfd_open(pid), None, 0, 20, 0))
        here.attempt(f"nodes {name}", lambda pid=pid: ways.call("migrate_pages", pid, 8, b"\1" + bytes(7), b"\1" + bytes(7)))
    # Never PRIO_USER: where it is not refused it reaches every process of the person who runs the kit, and only root can take it back.
    here.attempt("priority of the group", lambda: os.setpriority(os.PRIO_PGRP, os.getpgid(here.given["targets"]["bystander"]), 19))


@attack(
    "I40",
    "engine sets limits, priority, scheduling and processors of the keeper and others",
    promise=ALONE,
    expected="refused, nothing changed",
)
def limits(stage: Stage) -> Seen:
    """A keeper with 50 descriptors and the lowest priority is none."""
    one = taken(stage)
    targets = {"keeper": one.gateway.pid, "bystander": one.bystander.pid}
    before = {name: observe.treatment(pid) for name, pid in targets.items()}
    said = one.run(changes_treatment, targets=targets)
    seen = both(unharmed(before, {name: observe.treatment(pid) for name, pid in targets.items()}), refused(said))
    if not seen.held:
        spoiled(stage)
    return seen
