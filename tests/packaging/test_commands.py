"""The two commands themselves, and what they ask of the system."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.test_environment import PACKAGING, environment, load, needs

dev = load("dev")
ROOT = PACKAGING.parent


def test_the_commands_know_every_verb_of_the_program() -> None:
    from app.cli.arguments import parse
    from app.cli.verbs import VERBS

    assert {verb for verb, _ in VERBS} | {"serve", "shortcut", "verify", "confirm"} == set(dev.VERBS)
    assert parse(["serve"]).verb == "serve"


@pytest.mark.parametrize(("words", "code"), [((), 2), (("build",), 2), (("--help",), 0), (("-h",), 0)])
def test_without_a_known_word_the_commands_explain_themselves(words: tuple[str, ...], code: int) -> None:
    done = subprocess.run([sys.executable, str(PACKAGING / "dev.py"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "packaging/dev.py run" in done.stdout


def test_an_old_python_looks_for_a_newer_one_or_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "OLDEST", (9, 0))
    monkeypatch.setattr(dev, "NEWEST", (9, 0))
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(dev.Stop) as caught:
        dev.right_python()
    assert "needs Python" in str(caught.value)
    assert "this is 3.9" in str(caught.value)


def test_an_old_python_hands_over_to_a_newer_one_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = f"python3.{sys.version_info[1]}"
    (tmp_path / here).symlink_to(sys.executable)
    (tmp_path / "python3.14").write_text("#!/bin/sh\nexit 1\n")  # there, and broken
    (tmp_path / "python3.14").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert dev.right_python() == [here]


def test_the_scripts_can_be_read_by_python_3_9() -> None:
    import ast

    for name in ("dev", "environment", "full", "needs", "ordinary"):
        ast.parse((PACKAGING / f"{name}.py").read_text(), feature_version=(3, 9))


# -- the display


def answer_on(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_display")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their display always")
def test_a_display_counts_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not dev.display()
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert dev.display()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.setenv("DISPLAY", ":4999")
    assert not dev.display()
    with answer_on("\0/tmp/.X11-unix/X4999"):
        assert dev.display()
        monkeypatch.setenv("DISPLAY", ":4999.0")
        assert dev.display()
    for nonsense in (":", "x", ":x", "nohost.invalid:0", ""):
        monkeypatch.setenv("DISPLAY", nonsense)
        assert not dev.display()


@pytest.mark.usefixtures("no_display")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their display always")
def test_a_wayland_display_counts_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gh-") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-9")
        assert not dev.display()
        with answer_on(f"{short}/wayland-9"):
            assert dev.display()


# -- system packages


def system(folder: Path, monkeypatch: pytest.MonkeyPatch, uid: int, **tools: str) -> Path:
    """A PATH with the named tools only; each is a script that writes down how it was called."""
    log = folder / "called"
    log.touch()
    for name, script in tools.items():
        tool = folder / name.replace("_", "-")
        tool.write_text(f'#!/bin/sh\necho "{tool.name} $*" >> {log}\n{script}\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    return log


MISSING = [needs.LIBRARIES["libxcb-cursor.so.0"], needs.LIBRARIES["libEGL.so.1"]]


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("apt_get", "sudo apt-get install --no-install-recommends libegl1 libxcb-cursor0"),
        ("dnf", "sudo dnf install libglvnd-egl xcb-util-cursor"),
        ("pacman", "sudo pacman -S --needed libglvnd xcb-util-cursor"),
        ("zypper", "sudo zypper install libglvnd libxcb-cursor0"),
    ],
)
def test_without_rights_the_exact_command_is_given_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, command: str
) -> None:
    log = system(tmp_path, monkeypatch, 1000, **{tool: ""})
    with pytest.raises(needs.NeedError) as caught:
        needs.provide(MISSING, "Gatehouse needs")
    assert str(caught.value).endswith(f"\n  {command}")
    assert log.read_text() == ""


def test_as_root_on_debian_with_nobody_to_ask_the_packages_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = system(tmp_path, monkeypatch, 0, apt_get="exit 0")
    needs.provide(MISSING, "Gatehouse needs")
    install = "apt-get install -y -q --no-install-recommends libegl1 libxcb-cursor0"
    assert log.read_text().splitlines() == [f"{install} --simulate", install]


def test_package_lists_that_do_not_know_the_packages_are_fetched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f'case "$*" in *--simulate*) exit 100;; update*) : > {tmp_path}/fresh;; install*) [ -e {tmp_path}/fresh ];; esac'
    log = system(tmp_path, monkeypatch, 0, apt_get=script)
    needs.provide(MISSING, "Gatehouse needs")
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["install", "update", "install"]


def test_an_interrupted_dpkg_is_finished_before_the_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f'case "$*" in *--simulate*) exit 0;; install*) [ -e {tmp_path}/mended ];; esac'
    system(tmp_path, monkeypatch, 0, apt_get=script, dpkg=f": > {tmp_path}/mended")
    needs.provide(MISSING, "Gatehouse needs")


def test_an_installation_that_fails_is_an_error_that_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system(tmp_path, monkeypatch, 0, apt_get="exit 1", dpkg="exit 0")
    with pytest.raises(needs.NeedError) as caught:
        needs.provide(MISSING, "Gatehouse needs")
    assert "apt-get update" in str(caught.value)


def test_a_person_at_the_terminal_is_asked_and_may_say_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = system(tmp_path, monkeypatch, 0, apt_get="exit 0")
    monkeypatch.setattr("builtins.input", lambda _: "n")
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    with pytest.raises(needs.NeedError):
        needs.provide(MISSING, "Gatehouse needs")
    assert log.read_text() == ""


def test_an_unknown_system_is_told_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system(tmp_path, monkeypatch, 0)
    with pytest.raises(needs.NeedError) as caught:
        needs.provide(MISSING, "Gatehouse needs")
    assert "libegl1, libxcb-cursor0" in str(caught.value)


def needed(path: Path) -> set[str]:
    """The libraries that an ELF file names itself (System V ABI, "Dynamic Section": DT_NEEDED is 1, DT_STRTAB 5)."""
    data = path.read_bytes()
    start, size, count = (struct.unpack_from(form, data, place)[0] for form, place in (("<Q", 32), ("<H", 54), ("<H", 56)))
    segments = [struct.unpack_from("<IIQQQQ", data, start + size * number) for number in range(count)]
    loads = [(address, offset, length) for kind, _, offset, address, _, length in segments if kind == 1]
    offset, length = next((offset, length) for kind, _, offset, _, _, length in segments if kind == 2)
    tags = [struct.unpack_from("<QQ", data, offset + step) for step in range(0, length, 16)]
    table = next(value for tag, value in tags if tag == 5)
    names = next(table - address + place for address, place, long in loads if address <= table < address + long)
    return {data[names + value : data.index(0, names + value)].decode() for tag, value in tags if tag == 1}


@pytest.mark.skipif(sys.platform != "linux", reason="the list is Linux's")
def test_the_list_has_every_library_that_the_qt_wheels_need_and_do_not_bring() -> None:
    import PySide6

    home = Path(PySide6.__file__).parent
    libraries, plugins = home / "Qt" / "lib", home / "Qt" / "plugins" / "platforms"
    objects = [
        *(home / f"{name}.abi3.so" for name in ("QtCore", "QtGui", "QtWidgets", "QtSvg")),
        *(libraries / f"libQt6{name}.so.6" for name in ("Core", "DBus", "Gui", "OpenGL", "Svg", "WaylandClient", "Widgets", "XcbQpa")),
        *(plugins / f"lib{name}.so" for name in ("qxcb", "qoffscreen", "qwayland")),
    ]
    brought = {path.name for path in [*libraries.iterdir(), *home.glob("*.so*"), *home.parent.glob("shiboken6/*.so*")]}
    outside = set().union(*(needed(path) for path in objects)) - brought
    everywhere = r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|z|zstd|gthread-2\.0)\.so.*|ld-linux.*"
    assert {name for name in outside if not re.fullmatch(everywhere, name)} <= set(needs.LIBRARIES)
    assert len(outside) > 20


def test_a_library_counts_as_present_only_when_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.LIBRARIES, "libnothing-of-this-name.so.9", ("libnothing9",) * 4)
    assert ("libnothing9",) * 4 in needs.missing_libraries()


def test_every_need_names_a_package_for_every_family() -> None:
    for packages in [*needs.LIBRARIES.values(), *needs.PROGRAMS.values(), *needs.MODULES.values(), needs.CERTIFICATES]:
        assert len(packages) == len(needs.FAMILIES)
        assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", name) for name in packages)


# -- the checks


def test_the_first_failing_check_stops_the_command_with_its_name_and_output(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "ready", lambda root, purpose: sys.executable)
    for look in ("missing_libraries", "missing_programs", "missing_certificates"):
        monkeypatch.setattr(needs, look, list)
    ran: list[str] = []
    monkeypatch.setattr(dev, "run_pytest", lambda python, words: ran.append("pytest") or 0)
    good, bad = [sys.executable, "-c", "print('fine')"], [sys.executable, "-c", "print('line 7 is wrong'); raise SystemExit(1)"]
    monkeypatch.setattr(dev, "checks", lambda python: [("first", good), ("second", bad), ("third", good)])
    assert dev.main(["test"]) == 1
    said = capfd.readouterr()
    assert "line 7 is wrong" in said.out
    assert "first: ok" in said.out
    assert "third" not in said.out
    assert said.err == "dev.py: second failed, so nothing after it was run.\n"
    assert ran == []
    monkeypatch.setattr(dev, "checks", lambda python: [("first", good)])
    assert dev.main(["test", "--slow", "-k", "x"]) == 0
    assert ran == ["pytest"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems run pytest directly")
def test_pytest_gets_a_screen_a_bus_and_folders_of_its_own_and_the_last_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "test_facts.py").write_text(
        "import os\n"
        "def test_facts():\n"
        "    for name in ('DISPLAY', 'DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'XDG_DATA_HOME'):\n"
        "        assert os.environ[name] not in ('', 'mine')\n"
        "    assert oct(os.stat(os.environ['XDG_RUNTIME_DIR']).st_mode & 0o777) == '0o700'\n"
    )
    for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, "mine")
    script = (
        f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import dev; dev.ROOT = {str(tmp_path)!r};"
        "sys.exit(dev.pytest(sys.executable, ['-q', '-p', 'no:cacheprovider'], dev.ROOT, dict(dev.os.environ)))"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"1 passed in [\d.]+s( \([\d:]+\))?$", done.stdout.splitlines()[-1])  # over a minute it is said twice


def test_the_hosted_entry_passes_its_words_and_the_exit_code_on(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging" / "dev.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    done = subprocess.run(["bash", ".ci/run", "--slow"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "['test', '--slow']\n")


def test_an_interruption_waits_for_the_child(tmp_path: Path) -> None:
    child_code = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.5)\n    sys.exit(9)\n"
        "signal.signal(signal.SIGINT, end)\nprint('up', flush=True)\ntime.sleep(30)\n"
    )
    (tmp_path / "child.py").write_text(child_code)
    script = (
        f"import os, sys; sys.path.insert(0, {str(PACKAGING)!r}); import dev;"
        f"sys.exit(dev.wait_for([sys.executable, {str(tmp_path / 'child.py')!r}], dict(os.environ)))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.killpg(child.pid, signal.SIGINT)  # what a terminal sends on Ctrl-C: to all of them
        assert child.wait(20) == 9
