"""I38: signals from the engine."""

from __future__ import annotations

from tests.attacks.inside import observe
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage


def sends_signals(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os
    import signal

    from planted_code import ways

    info = ctypes.create_string_buffer(128)
    for name, pid in here.given["targets"].items():
        for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGTERM):
            here.attempt(f"kill {name} {number}", lambda pid=pid, number=number: os.kill(pid, number))
            here.attempt(f"tgkill {name} {number}", lambda pid=pid, number=number: ways.call("tgkill", pid, pid, int(number)))
            here.attempt(
                f"queue {name} {number}", lambda pid=pid, number=number: ways.call("rt_sigqueueinfo", pid, int(number), ctypes.byref(info))
            )
            here.attempt(
                f"pidfd {name} {number}",
                lambda pid=pid, number=number: ways.call("pidfd_send_signal", os.pidfd_open(pid), int(number), None, 0),
            )
        here.attempt(f"kill the group of {name}", lambda pid=pid: os.killpg(os.getpgid(pid), signal.SIGTERM))
        here.attempt(f"reap {name}", lambda pid=pid: ways.call("process_mrelease", os.pidfd_open(pid), 0))


@attack("I38", "engine stops and ends the keeper, the window and another program", promise=ALONE, expected="refused, all go on")
def signals(stage: Stage) -> Seen:
    """kill, tgkill, queued signals, descriptors of processes: with SIGSTOP the keeper would see nothing any more."""
    one = taken(stage)
    targets = {"keeper": one.gateway.pid, "window": one.window(), "bystander": one.bystander.pid}
    said = one.run(sends_signals, targets=targets)
    rows = [(name, _alive(pid), observe.status_of(pid).get("State", "gone")) for name, pid in targets.items()]
    went = [name for name, what in said.items() if what.startswith("went")]
    seen = every([*rows, ("attempts", not went, ", ".join(went[:4]))], "targets")
    if not seen.held:
        _go_on(targets)
        spoiled(stage)
    return seen


def _alive(pid: int) -> bool:
    return observe.status_of(pid).get("State", "Z")[:1] not in "TtZX"


def _go_on(targets: dict[str, int]) -> None:
    import os
    import signal

    for pid in targets.values():
        try:
            os.kill(pid, signal.SIGCONT)
        except OSError:
            continue
