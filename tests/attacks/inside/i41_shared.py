"""I41: message queues, shared memory, semaphores."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage


def makes_shared(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os

    from planted_code import ways

    name = f"planted{os.getpid()}".encode()

    def queue() -> None:
        os.close(ways.call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, None))
        ctypes.CDLL(None).mq_unlink(b"/" + name)

    def shared(call: str, control: int, *arguments: int):  # type: ignore[no-untyped-def]
        def work() -> None:
            made = ways.call(call, 0x504C41, *arguments)
            libc = ctypes.CDLL(None)
            {"shmget": libc.shmctl, "msgget": libc.msgctl}.get(call, lambda number, *_: libc.semctl(number, 0, 0))(made, control, None)

        return work

    here.attempt("POSIX message queue", queue)
    here.attempt("shared memory of System V", shared("shmget", 0, 4096, 0o1600))
    here.attempt("message queue of System V", shared("msgget", 0, 0o1600))
    here.attempt("semaphores of System V", shared("semget", 0, 1, 0o1600))
    here.attempt("POSIX shared memory", lambda: os.close(os.open(f"/dev/shm/{name.decode()}", os.O_CREAT | os.O_RDWR, 0o600)))


@attack("I41", "engine makes message queues and shared memory that other programs can open", promise=ALONE, expected="refused")
def shared(stage: Stage) -> Seen:
    """A way to hand on what was stolen to a program that has a network."""
    from contextlib import suppress
    from pathlib import Path

    one = taken(stage)
    try:
        return refused(one.run(makes_shared))
    finally:
        with suppress(OSError):
            Path(f"/dev/shm/planted{one.pid('engine')}").unlink()
