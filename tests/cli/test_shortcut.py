"""The menu entry: written where the system looks, started from anywhere, and taken away without touching others' files."""

from __future__ import annotations

import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.system import shortcut
from tests.cli.conftest import Ran

COMMAND = ['/opt/My "odd" `py` $HOME 100% \\ folder/python', "-I", "-m", "app"]


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "applications"


def parse_entry(path: Path) -> dict[str, str]:
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    assert head == "[Desktop Entry]"
    values = dict(line.split("=", 1) for line in lines)
    assert len(values) == len(lines)
    return values


def exec_words(value: str) -> list[str]:
    """The other direction of the specification: first the string's escapes, then the quoting, then the percent codes."""
    text = value.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    words = []
    inside, word, letters = False, "", iter(text)
    for letter in letters:
        if letter == '"':
            inside = not inside
            if not inside:
                words.append(word)
                word = ""
        elif inside:
            word += next(letters) if letter == "\\" else letter
    return [word.replace("%%", "%") for word in words]


def test_the_desktop_entry_starts_exactly_the_command_however_odd_the_folder(tmp_path: Path) -> None:
    changed = shortcut.install_entry(tmp_path, COMMAND)
    values = parse_entry(changed.paths[0])
    assert exec_words(values["Exec"]) == COMMAND
    assert values["Terminal"] == "false"
    assert Path(values["Icon"]).is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="the menu of this system is another")
def test_the_desktop_entry_is_valid(tmp_path: Path) -> None:
    path = shortcut.install_entry(tmp_path, ["/usr/bin/python3", "-I", "-m", "app"]).paths[0]
    done = subprocess.run(["desktop-file-validate", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="the menu of this system is another")
def test_install_and_remove_from_the_command_line_are_repeatable(entries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from app.cli import main

    def run(action: str) -> Ran:
        code = main(["shortcut", action])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    for _ in range(2):
        ran = run("install")
        assert (ran.code, ran.out) == (0, f"Made: {entries / 'gatehouse.desktop'}\n")
    assert [path.name for path in entries.iterdir()] == ["gatehouse.desktop"]
    assert run("remove").out == f"Removed: {entries / 'gatehouse.desktop'}\n"
    assert (run("remove").code, list(entries.iterdir())) == (0, [])


def test_the_entrys_command_really_starts_this_program_from_another_folder(entries: Path, tmp_path: Path) -> None:
    shortcut.install()
    words = exec_words(parse_entry(entries / "gatehouse.desktop")["Exec"])
    done = subprocess.run([*words, "--version"], cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gatehouse ")


def test_a_file_of_the_same_name_that_is_not_ours_is_left_alone(entries: Path) -> None:
    entries.mkdir()
    other = entries / "gatehouse.desktop"
    other.write_text("[Desktop Entry]\nName=Other\n")
    for act in (shortcut.install, shortcut.remove):
        with pytest.raises(AppError) as caught:
            act()
        assert "did not make" in caught.value.message
    assert other.read_text() == "[Desktop Entry]\nName=Other\n"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "applications").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(AppError) as caught:
        shortcut.install()
    assert caught.value.code == "data_folder"


def test_the_mac_bundle_is_whole_and_goes_away_whole(tmp_path: Path) -> None:
    for _ in range(2):
        bundle = shortcut.install_bundle(tmp_path, COMMAND).paths[0]
    facts = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
    program = bundle / "Contents" / "MacOS" / facts["CFBundleExecutable"]
    assert program.stat().st_mode & 0o777 == 0o755
    assert shlex.split(program.read_text().splitlines()[1])[1:] == COMMAND
    icon = (bundle / "Contents" / "Resources" / facts["CFBundleIconFile"]).read_bytes()
    assert icon[:4] == b"icns"
    assert int.from_bytes(icon[4:8], "big") == len(icon)
    assert shortcut.remove_bundle(tmp_path).paths == (bundle,)
    assert list(tmp_path.iterdir()) == []
    assert shortcut.remove_bundle(tmp_path).paths == ()


def test_the_mac_bundles_program_starts_what_it_names(tmp_path: Path) -> None:
    bundle = shortcut.install_bundle(tmp_path, [sys.executable, "-I", "-m", "app", "--version"]).paths[0]
    done = subprocess.run([str(bundle / "Contents" / "MacOS" / "Gatehouse")], cwd="/", capture_output=True, text=True, check=False)
    assert done.stdout.startswith("gatehouse ")


def test_a_mac_bundle_that_holds_a_persons_file_keeps_it(tmp_path: Path) -> None:
    bundle = shortcut.install_bundle(tmp_path, COMMAND).paths[0]
    (bundle / "Contents" / "Resources" / "note.txt").write_text("mine")
    changed = shortcut.remove_bundle(tmp_path)
    assert "other files" in changed.note
    assert (bundle / "Contents" / "Resources" / "note.txt").read_text() == "mine"


def test_a_mac_bundle_of_another_maker_is_left_alone(tmp_path: Path) -> None:
    facts = tmp_path / "Gatehouse.app" / "Contents" / "Info.plist"
    facts.parent.mkdir(parents=True)
    facts.write_bytes(b"not a plist")
    for act in (lambda: shortcut.install_bundle(tmp_path, COMMAND), lambda: shortcut.remove_bundle(tmp_path)):
        with pytest.raises(AppError):
            act()
    assert facts.read_bytes() == b"not a plist"


def test_a_copy_that_only_its_own_folder_can_start_makes_no_entry(entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable)
    found = subprocess.run([sys.executable, "-I", "-c", "import app"], capture_output=True, check=False)
    if found.returncode == 0:
        pytest.skip("the system's own Python knows this program")
    with pytest.raises(AppError) as caught:
        shortcut.install()
    assert "packaging/dev.py run" in caught.value.hint
    assert not entries.exists()


def test_the_icons_for_windows_and_macos_name_pictures_that_are_there() -> None:
    icon = shortcut.resource("icons/gatehouse.ico").read_bytes()
    count = int.from_bytes(icon[4:6], "little")
    assert count >= 6
    for number in range(count):
        entry = icon[6 + 16 * number : 22 + 16 * number]
        length, offset = int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:16], "little")
        assert icon[offset : offset + 8] == b"\x89PNG\r\n\x1a\n"
        assert offset + length <= len(icon)
