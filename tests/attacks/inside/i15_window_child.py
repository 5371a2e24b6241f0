"""I15: what the window starts."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.judge import every
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


def starts_programs(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os

    from planted_code import ways

    mark, libc = here.given["mark"], ctypes.CDLL(None, use_errno=True)

    def run(*words) -> str:  # type: ignore[no-untyped-def]
        given = (ctypes.c_char_p * (len(words) + 1))(*(word.encode() for word in words), None)
        child = os.fork()
        if child == 0:
            libc.execve(words[0].encode(), given, None)
            os._exit(100 + ctypes.get_errno() % 100)
        return f"code {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    def from_memory() -> str:
        made = ways.call("memfd_create", b"planted", 0)
        os.write(made, f"#!/bin/sh\necho planted > {mark}-memory\n".encode())
        child = os.fork()
        if child == 0:
            ways.call("execveat", made, b"", None, None, 0x1000)
            os._exit(1)
        return f"code {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    here.attempt("shell", lambda: run("/bin/sh", "-c", f"echo planted > {mark}-shell"))
    here.attempt("setsid", lambda: run("/usr/bin/setsid", "-w", "/bin/sh", "-c", f"echo planted > {mark}-setsid"))
    here.attempt("python", lambda: run(here.given["python"], "-I", "-c", f"open({mark + '-python'!r}, 'w').write('planted')"))
    here.attempt("memory", from_memory)
    here.attempt("spawn", lambda: os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", f"echo planted > {mark}-spawn"], {}), 0))


@attack(
    "I15",
    "programs that window and engine start write where they themselves may not",
    promise=FILES,
    expected="not started, or under the same lock",
)
def children(stage: Stage) -> Seen:
    """A shell, a detached one, a fresh interpreter: whatever is started must be locked as its parent is."""
    one, rows = taken(stage), []
    for verb in ("engine", "gui"):
        mark = one.home / f"started-by-{verb}"
        one.run(starts_programs, verb, mark=str(mark), python=str(one.copy.environment / "bin" / "python"))
        for name in ("shell", "setsid", "python", "memory", "spawn"):
            path = mark.with_name(f"{mark.name}-{name}")
            rows.append((f"{verb}, {name}", not path.exists(), "wrote a file into the home folder"))
            path.unlink(missing_ok=True)
    return every(rows, "programs")
