"""I10: what is not content: modes, owners, times, attributes."""

from __future__ import annotations

from tests.attacks.inside import observe
from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import untouched
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


def changes_modes(here) -> None:  # type: ignore[no-untyped-def]
    import os

    from planted_code import ways

    def by_descriptor(path, work) -> None:  # type: ignore[no-untyped-def]
        descriptor = os.open(path, os.O_RDONLY)
        try:
            work(descriptor)
        finally:
            os.close(descriptor)

    for path in here.given["paths"]:
        here.attempt(f"{path}: chmod", lambda path=path: os.chmod(path, 0o777))
        here.attempt(f"{path}: fchmod", lambda path=path: by_descriptor(path, lambda number: os.fchmod(number, 0o4777)))
        here.attempt(f"{path}: fchmodat2", lambda path=path: ways.call("fchmodat2", ways.AT_FDCWD, path.encode(), 0o777, 0))
        here.attempt(f"{path}: chown", lambda path=path: os.chown(path, os.getuid(), os.getgid() and 0))
        here.attempt(f"{path}: utime", lambda path=path: os.utime(path, (1, 1)))
        here.attempt(f"{path}: utimensat", lambda path=path: by_descriptor(path, lambda number: os.utime(number, (2, 2))))
        here.attempt(f"{path}: setxattr", lambda path=path: os.setxattr(path, "user.planted", b"x"))
        here.attempt(f"{path}: setxattr call", lambda path=path: ways.call("setxattr", path.encode(), b"user.also", b"x", 1, 0))


@attack(
    "I10",
    "engine opens vault.json and ~/.ssh to everybody, changes times and attributes",
    promise=FILES,
    expected="refused, nothing changed",
)
def modes(stage: Stage) -> Seen:
    """Landlock has no rule for it: vault.json with mode 0777 is every user's, and a module's time decides which byte code is run."""
    one = taken(stage)
    (one.home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    key = one.home / ".ssh" / "id_ed25519"
    key.write_text("precious\n")
    key.chmod(0o600)
    paths = [key, one.home / ".ssh", one.data / "vault.json", one.data / "lock", one.data / "logs" / "keeper.log", one.data,
             one.copy.source / "app" / "system" / "sandbox.py", one.copy.site]  # fmt: skip
    before = observe.picture(paths[:1] + paths[2:5] + paths[6:7])
    folders = {path: path.stat().st_mode for path in (paths[1], paths[5], paths[7])}
    said = one.run(changes_modes, paths=[str(path) for path in paths])
    log = str(one.data / "logs" / "keeper.log")
    after = observe.picture(paths[:1] + paths[2:5] + paths[6:7])
    changed = [place for place in observe.changed(before, after) if place != log or before[place][1] != after[place][1]]
    changed += [str(path) for path, mode in folders.items() if path.stat().st_mode != mode]
    for path, mode in folders.items():
        path.chmod(mode & 0o7777)
    for path in (one.data / "vault.json", one.data / "lock", one.data / "logs" / "keeper.log"):
        path.chmod(0o600)
    return untouched([one.short(each) for each in changed], len(said) - 2)
