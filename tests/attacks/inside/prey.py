"""Files and folders to be attacked: prepared from outside, attacked from inside, looked at from outside again, put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.attacks.inside import observe
from tests.attacks.inside.planted import ways
from tests.attacks.inside.planted.ways import slug
from tests.attacks.inside.taken import Taken
from tests.attacks.inside.verdicts import untouched
from tests.attacks.judge import every
from tests.attacks.registry import Seen

CONTENT = b"precious\n" * 3
PLAIN = ("PREY", "NEW")
CALLS = ("PREY_CALLS", "NEW_CALLS")
DETOURS = ("PREY_DETOURS",)


def writes(here) -> None:  # type: ignore[no-untyped-def]
    from pathlib import Path

    from planted_code import ways

    prey = {way: work for name in here.given["tables"] if name.startswith("PREY") for way, work in getattr(ways, name).items()}
    new = {way: work for name in here.given["tables"] if name.startswith("NEW") for way, work in getattr(ways, name).items()}
    ways.try_all(here.given["folders"], here.own, prey, new, here.attempt)
    for path in map(Path, here.given["precious"]):
        here.attempt(f"{path}: append", lambda path=path: path.open("ab").write(b"planted\n"))


def attack(
    one: Taken, folders: Sequence[Path], precious: Sequence[Path] = (), tables: Sequence[str] = PLAIN, *, verb: str = "engine",
    code: Callable[..., object] = writes,
) -> Seen:  # fmt: skip
    """Every way of these tables on each folder, and one more line at the end of each precious file."""
    known = [way for name in tables for way in getattr(ways, name)]
    marks = [folder / slug(kind, way) for folder in folders for way in known for kind in ("prey", "new")]
    made = [folder for folder in folders if not folder.exists()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in tables:
            for way in getattr(ways, name) if name.startswith("PREY") else ():
                (folder / slug("prey", way)).write_bytes(CONTENT)
    lost = [path for path in precious if not path.exists()]
    for path in lost:
        path.write_bytes(CONTENT)
    contents = {path: path.read_bytes() for path in precious}
    before = observe.picture(marks)
    try:
        said = one.run(
            code, verb, folders=[str(each) for each in folders], precious=[str(each) for each in precious], tables=list(tables), wait_s=60
        )
        changed = observe.changed(before, observe.picture(marks))
        changed += [str(path) for path, content in contents.items() if not _begins(path, content)]
        return untouched([one.short(place) for place in changed], len(said) - 2)
    finally:
        for mark in marks:
            _remove(mark)
            _remove(mark.with_name(mark.name + "-moved"))
        for path, content in contents.items():
            if path in lost:
                _remove(path)
            elif not _begins(path, content):
                path.write_bytes(content)
        for place in (one.data, one.data / "engine", one.data / "window"):
            for left in place.glob("own-*"):
                _remove(left)
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _begins(path: Path, content: bytes) -> bool:
    """The file is as it was; a log of the keeper's may have grown, but by no line of ours."""
    try:
        now = path.read_bytes()
    except OSError:
        return False
    return now == content or (path.suffix == ".log" and now.startswith(content) and b"\nplanted\n" not in now[len(content) - 1 :])


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def both(*seen: tuple[str, Seen]) -> Seen:
    return every([(name, one.held, one.observed) for name, one in seen], "groups")


# -- the places


def shell(one: Taken) -> tuple[list[Path], list[Path]]:
    home = one.home
    (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    names = (".bashrc", ".profile", ".zshrc", ".gitconfig", ".pam_environment", ".ssh/authorized_keys", ".ssh/config")
    return [home, home / ".ssh"], [home / name for name in names]


def desktop(one: Taken) -> tuple[list[Path], list[Path]]:
    home = one.home
    folders = (
        ".config/autostart", ".config/systemd/user", ".config/environment.d", "autostart", "systemd/user", ".local/bin",
        ".local/share/applications", ".local/share/dbus-1/services", "applications",
    )  # fmt: skip
    return [home / name for name in folders], []


def program(one: Taken) -> tuple[list[Path], list[Path]]:
    copy = one.copy
    app = copy.source / "app"
    folders = [copy.source, app, app / "system", app / "system" / "__pycache__", copy.site, copy.environment / "bin", copy.environment]
    precious = [app / "__main__.py", app / "__init__.py", app / "system" / "sandbox.py", copy.environment / "pyvenv.cfg",
                copy.site / "msgspec" / "__init__.py"]  # fmt: skip
    return list(dict.fromkeys(folders)), precious


def trusted(one: Taken) -> tuple[list[Path], list[Path]]:
    data = one.data
    names = ("vault.json", "lock", "declared.json", "logs/keeper.log", "logs/vault.log", "logs/gui.log")
    return [data, data / "logs", data / "window"], [data / name for name in names if (data / name).exists()]


def elsewhere(one: Taken) -> tuple[list[Path], list[Path]]:
    mark = f"gh-attacks-{one.folder.name}-{one.gateway.pid}"
    exports = one.home / "exports"
    return [exports, one.folder, one.folder / "run", one.folder / "tmp", *(Path(base) / mark for base in ("/tmp", "/dev/shm"))], []
