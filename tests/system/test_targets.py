"""Where the window may have something written: a table of places and names that hostile code in it would ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import app
from app.core.errors import AppError
from app.core.exports import KINDS, Name
from app.system import targets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and pipes")
NAMES: dict[Name, str] = {"requests": "a.csv", "audit": "gatehouse-audit-7", "network": "gatehouse-network-7"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with what one has."""
    folder = tmp_path / "home"
    for name in ("Documents", ".config/autostart", ".ssh", ".local/share/applications", "bin", "dotfiles/autostart", "data"):
        (folder / name).mkdir(parents=True)
    (folder / ".config" / "systemd").symlink_to(folder / "dotfiles" / "autostart")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def asked(home: Path, kind: Name, path: object, environment: Mapping[str, str] | None = None) -> str:
    """The code of the refusal, or where it would be written."""
    try:
        folder, name = targets.choose(KINDS[kind], path, (home / "data",), environment or {})
    except AppError as error:
        assert error.hint
        assert str(home) not in error.sentence()
        return error.code
    folder.close()
    return str(folder.path / name)


@pytest.mark.parametrize("kind", NAMES)
def test_a_persons_own_folder_is_written_into_also_through_links_of_their_own(home: Path, kind: Name) -> None:
    (home / "docs").symlink_to("Documents")
    (home / ".hidden-link").symlink_to("Documents")
    for way in ("Documents", "docs", ".hidden-link", "Documents/../Documents"):
        found = asked(home, kind, str(home / way / NAMES[kind]))
        assert found == ("name_invalid" if ".." in way else str(home.resolve() / "Documents" / NAMES[kind]))
    assert asked(home, kind, f"/tmp/{NAMES[kind]}") == f"/tmp/{NAMES[kind]}"  # everybody's, but nobody can put another in its place


NO_NAMES: list[object] = [
    None, "", 7, ["a.csv"], {"path": "a"}, "a.csv", "./a.csv", "../a.csv", "~/a.csv", "/", "/..", "/tmp", "/tmp/", "/tmp/.",
    "{home}/Documents/.a.csv", "{home}/Documents/..csv", "{home}/Documents/a\0.csv", "{home}/Documents/a\n.csv", "{home}/Docu\nments/a.csv",
    "{home}/Documents/a\x1b[2J.csv", "{home}/Documents/a\u202evsc.csv", "{home}/Documents/\u200b.csv", "{home}/Documents/a\udcff.csv",
    "{home}/Docu\ud800ments/a.csv",
    "{home}/Documents/../.ssh/a.csv", "{home}/Documents/a", "{home}/Documents/a.py", "{home}/Documents/a.desktop",
    "{home}/x" * 2_000 + ".csv",
    "{home}/Documents/gatehouse-audit-7/a.pth", "{home}/Documents/bin",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_NAMES)
@pytest.mark.parametrize("kind", NAMES)
def test_what_is_no_name_for_an_export_is_refused_unseen(home: Path, kind: Name, path: object) -> None:
    asking = path.replace("{home}", str(home)) if isinstance(path, str) else path
    assert asked(home, kind, asking) == "name_invalid"


PLACES: list[str] = [
    "{home}/.config", "{home}/.config/autostart", "{home}/.ssh", "{home}/.local/share/applications", "{home}/.new",
    "{home}/dotfiles/autostart",  # a link in a hidden folder leads there
    "{home}/bin", "{home}/data", "{home}/data/logs", "{app}", "{app}/keeper", "{prefix}", "{prefix}/bin", "{packages}",
    "{home}/Documents/file", "{home}/Documents/pipe", "{home}/nothing", "{home}/open", "{home}/open/inner", "{home}/to-config",
    "{home}/loop", "/proc/self/nothing",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NAMES)
def test_a_place_that_is_not_a_persons_documents_is_refused(home: Path, kind: Name, place: str) -> None:
    (home / ".new").mkdir()
    (home / "data" / "logs").mkdir()
    (home / "Documents" / "file").write_text("x")
    os.mkfifo(home / "Documents" / "pipe")
    (home / "open" / "inner").mkdir(parents=True)
    (home / "open").chmod(0o777)
    (home / "to-config").symlink_to(".config")
    (home / "loop").symlink_to("loop")
    package = Path(app.__file__).parent
    known = {"home": home, "app": package, "prefix": sys.prefix, "packages": package.parent}
    assert asked(home, kind, f"{place.format(**known)}/{NAMES[kind]}") == "data_folder"


def test_a_folder_that_the_environment_names_for_settings_is_refused(home: Path) -> None:
    (home / "settings" / "autostart").mkdir(parents=True)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA"):
        for place in ("settings", "settings/autostart"):
            assert asked(home, "requests", str(home / place / "a.csv"), {name: str(home / "settings")}) == "data_folder"
    for odd in ("", "\0", str(home), "/", "relative"):  # one that names everything forbids nothing
        assert asked(home, "requests", str(home / "Documents" / "a.csv"), {"XDG_CONFIG_HOME": odd}).endswith("/Documents/a.csv")


THEIRS: dict[str, Callable[[Path, Path], None]] = {
    "a folder of another user": lambda home, theirs: os.chown(theirs, 12345, 12345),
    "a folder of another user that everybody may write to": lambda home, theirs: (os.chown(theirs, 12345, 12345), theirs.chmod(0o777))[1],
    "the same with a sticky bit": lambda home, theirs: (os.chown(theirs, 12345, 12345), theirs.chmod(0o1777))[1],
    "a folder of a group": lambda home, theirs: (os.chown(theirs, -1, 12345), theirs.chmod(0o775))[1],
}


@pytest.mark.needs("root")
@pytest.mark.parametrize("what", THEIRS)
def test_a_folder_in_which_somebody_else_decides_is_refused(home: Path, what: str) -> None:
    theirs = home / "theirs"
    (theirs / "inner").mkdir(parents=True)
    THEIRS[what](home, theirs)
    for place in (theirs, theirs / "inner"):
        assert asked(home, "requests", str(place / "a.csv")) == "data_folder"


@pytest.mark.needs("root")
def test_a_link_of_somebody_else_in_the_middle_is_refused(home: Path) -> None:
    theirs = home / "theirs"
    theirs.symlink_to("Documents")
    os.chown(theirs, 12345, 12345, follow_symlinks=False)
    assert asked(home, "requests", str(theirs / "a.csv")) == "data_folder"


def test_a_home_that_lies_in_a_hidden_folder_is_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".homes" / "anna"
    (home / "Documents").mkdir(parents=True)
    (home / ".cache").mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert asked(home, "requests", str(home / "Documents" / "a.csv")).endswith("/Documents/a.csv")
    assert asked(home, "requests", str(home / ".cache" / "a.csv")) == "data_folder"
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    assert asked(home, "requests", str(home / "Documents" / "a.csv")) == "data_folder"


def test_no_descriptor_is_left_open(home: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for place in ("Documents", ".ssh", "data", "nothing"):
        asked(home, "requests", str(home / place / "a.csv"))
    assert len(os.listdir("/proc/self/fd")) == before
