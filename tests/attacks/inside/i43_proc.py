"""I43: what /proc says of others, and lets one write."""

from __future__ import annotations

import os

from tests.attacks.inside import observe
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.inside.verdicts import refused, unharmed
from tests.attacks.judge import both
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage

OPEN = ("mem", "environ", "maps", "auxv", "stack", "syscall", "pagemap", "fd/0", "cwd/etc/hostname", "map_files")
ROOTS = ("environ", "maps", "auxv", "pagemap", "map_files")
WRITTEN = (
    "mem",
    "oom_score_adj",
    "comm",
    "coredump_filter",
    "timerslack_ns",
    "clear_refs",
    "autogroup",
    "sched",
    "loginuid",
    "attr/current",
)


def looks_into(here) -> None:  # type: ignore[no-untyped-def]
    import os
    from pathlib import Path

    for name, pid in here.given["targets"].items():
        for file in here.given["read"]:
            path = Path(f"/proc/{pid}/{file}")

            def read(path=path, file=file) -> str:  # type: ignore[no-untyped-def]
                if file in ("fd/0", "map_files"):
                    return os.listdir(path)[0] if path.is_dir() else os.readlink(path)
                with path.open("rb") as source:
                    if file == "mem":
                        source.seek(0x400000)
                    return f"{len(source.read(64))} bytes"

            here.attempt(f"read {name} {file}", read)
        for file in here.given["write"]:
            here.attempt(f"write {name} {file}", lambda pid=pid, file=file: os.close(os.open(f"/proc/{pid}/{file}", os.O_WRONLY)))
        here.attempt(f"raise {name}", lambda pid=pid: Path(f"/proc/{pid}/oom_score_adj").write_text("999"))
        here.attempt(f"rename {name}", lambda pid=pid: Path(f"/proc/{pid}/comm").write_text("planted"))
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/yama/ptrace_scope", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
                 "/proc/sys/fs/binfmt_misc/register", "/dev/mem", "/dev/kmsg", "/proc/kcore"):  # fmt: skip
        here.attempt(path, lambda path=path: os.close(os.open(path, os.O_WRONLY)))


@attack(
    "I43",
    "engine reads memory, environment and descriptors of others, and writes what /proc lets one write",
    promise=ALONE,
    expected="refused, nothing changed",
)
def proc(stage: Stage) -> Seen:
    """Files like others, but what is behind them is another program."""
    one = taken(stage)
    targets = {"keeper": one.gateway.pid, "bystander": one.bystander.pid}
    before = {name: observe.treatment(pid) for name, pid in targets.items()}
    said = one.run(looks_into, targets=targets, read=OPEN, write=WRITTEN)
    after = {name: observe.treatment(pid) for name, pid in targets.items()}
    # Whoever may measure the machine, as root may, reads these whatever a lock says.
    roots = [name for name in said if name.startswith("read ") and name.rpartition(" ")[2] in ROOTS and os.getuid() == 0]
    seen = both(unharmed(before, after), refused(said, roots))
    if not seen.held:
        spoiled(stage)
    return seen
