"""I9: threads that were there before, threads that come later, children."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


def from_threads(here) -> None:  # type: ignore[no-untyped-def]
    import os
    import threading
    from pathlib import Path

    folder = Path(here.given["folders"][0])

    def write(who) -> None:  # type: ignore[no-untyped-def]
        here.attempt(who, lambda: (folder / f"new-{who}").write_text("planted"))

    here.attempt("first thread", lambda: None)
    write("import")  # the thread of the orders began when the altered package was imported
    thread = threading.Thread(target=write, args=("thread",))
    thread.start()
    thread.join(5)
    try:
        child = os.fork()
    except PermissionError:
        child = None  # then no child writes either
    if child == 0:
        write("child")
        grandchild = os.fork()
        if grandchild == 0:
            write("grandchild")
            os._exit(0)
        os.waitpid(grandchild, 0)
        os._exit(0)
    if child is not None:
        os.waitpid(child, 0)
    for name in os.listdir("/proc/self/task"):
        try:
            lines = Path(f"/proc/self/task/{name}/status").read_text().splitlines()
        except FileNotFoundError:
            continue  # it has ended meanwhile
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        here.say(f"filter {name}", status["Seccomp"].strip())


@attack("I9", "a thread of the import, a later thread, children and their children write", promise=FILES, expected="refused in each")
def threads(stage: Stage) -> Seen:
    """Landlock binds the thread that asked for it and what it starts: a thread from before would be free."""
    one = taken(stage)
    place = one.home / "threads"
    place.mkdir(exist_ok=True)
    said = one.run(from_threads, folders=[str(place)])
    found = sorted(path.name for path in place.iterdir())
    bare = [name for name, what in said.items() if name.startswith("filter") and what != "2"]
    for path in place.iterdir():
        path.unlink()
    rows = [(who, f"new-{who}" not in found, "written") for who in ("import", "thread", "child", "grandchild")]
    return prey.every([*rows, ("every thread has the filter", not bare, str(bare))], "threads")
