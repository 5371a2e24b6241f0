"""Started as root, the tests run as an ordinary user: who that is, what they get, and what happens where it cannot be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.packaging.test_environment import PACKAGING, load

if sys.platform == "win32":
    pytest.skip("there is no root", allow_module_level=True)

dev = load("dev")
ordinary = load("ordinary")
FACTS = """
import os, pathlib, pytest, sys
def test_facts():
    assert os.getresuid() == (UID,) * 3 and os.getgroups() in ([], [os.getgid()])
    status = pathlib.Path('/proc/self/status').read_text()
    assert int(status.partition('CapEff:')[2].split()[0], 16) == 0
    home = pathlib.Path(os.environ['HOME'])
    (home / 'file').write_text('mine')
    assert os.environ['USER'] == 'nobody' and home.stat().st_uid == UID
    assert oct(os.stat(os.environ['XDG_RUNTIME_DIR']).st_mode & 0o777) == '0o700'
    here = pathlib.Path(__file__).parents[1]
    (here / 'beside').write_text('tests write beside the project')
    import app
    assert pathlib.Path(app.__file__).parents[1] == here != pathlib.Path(ROOT)
    for path in (pathlib.Path(pytest.__file__), pathlib.Path(ROOT) / 'app' / '__init__.py'):
        with pytest.raises(PermissionError):
            path.open('a')
    print(sys.executable)
@pytest.mark.needs('root')
def test_of_roots():
    assert os.getuid() == 0 and pathlib.Path(__file__).parents[1] == pathlib.Path(ROOT)
"""


@pytest.fixture
def project() -> Iterator[Path]:
    """A small one, with this environment; where another user can get to it, which pytest's own folders do not allow."""
    with tempfile.TemporaryDirectory(prefix="gh-") as made:
        root = Path(made) / "project"
        shutil.copytree(PACKAGING.parent / "tests", root / "tests", ignore=lambda _, names: {each for each in names if "." not in each})
        (root / "app").mkdir()
        (root / "app" / "__init__.py").touch()
        (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-ra --import-mode=importlib"\npythonpath = ["."]\n')
        (root / ".venv").symlink_to(sys.prefix)
        yield root


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import dev; dev.ROOT = {str(root)!r};"
        f"sys.exit(dev.run_pytest({str(root / '.venv' / 'bin' / 'python')!r}, ['-q', *{list(words)!r}]))"
    )
    return subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.slow  # the command itself does it at every run as root
@pytest.mark.needs("root")
def test_everything_runs_as_an_ordinary_user_and_what_needs_root_as_root(project: Path) -> None:
    before = Path(pytest.__file__).stat()
    for path in (project.parent, project):
        path.chmod(0o755)
    import pwd

    text = FACTS.replace("UID", str(pwd.getpwnam("nobody").pw_uid)).replace("ROOT", repr(str(project)))
    (project / "tests" / "test_facts.py").write_text(text)
    for name in ("disks.py", "upstream.py"):
        (project / "tests" / name).write_text("Upstream = upstream = small_disk = None\n")
    done = run(project, "-n", "0", "tests/test_facts.py")
    assert done.returncode == 0, done.stdout
    roots, rest = done.stdout.split("Everything else, as nobody:")
    assert "1 passed" in roots
    assert "1 passed, 1 skipped" in rest
    assert "needs root" in rest
    after = Path(pytest.__file__).stat()
    assert (before.st_uid, before.st_mode) == (after.st_uid, after.st_mode)
    assert not (project / "beside").exists()


@contextmanager
def no_user(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    with monkeypatch.context() as patched:

        def refuse(*_: object) -> None:
            raise ordinary.CannotError(text)

        patched.setattr(ordinary, "prepare", refuse)
        patched.setattr(os, "geteuid", lambda: 0)
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="root runs the tests itself elsewhere")
@pytest.mark.parametrize("code", [0, 1])
def test_where_it_cannot_be_the_tests_run_as_root_and_the_reason_is_said_first_and_last(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(dev, "pytest", lambda python, words, root, variables, user=None: ran.append(words) or print("the run") or code)
    with no_user(monkeypatch, "there is no user nobody here"):
        assert dev.run_pytest("python", ["-k", "x"]) == code
    first, middle, last = capfd.readouterr().out.splitlines()
    assert (first, middle) == (last, "the run")
    assert "NOT RUN AS AN ORDINARY USER: there is no user nobody here." in first
    assert ran == [["-k", "x"]]


@pytest.mark.parametrize("word", ["--junitxml=out.xml", "--basetemp=/x", "--pdb", "-s", "--lf", "--junit-xml"])
def test_what_writes_where_root_said_is_run_by_root(tmp_path: Path, word: str) -> None:
    with pytest.raises(ordinary.CannotError, match="root's"):
        ordinary.prepare("/", sys.executable, str(tmp_path), ["-q", word])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("root")
def test_a_python_out_of_the_users_reach_is_replaced_by_another_of_the_same_version_or_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ordinary, "_starts", lambda user, python, folder: False)
    with pytest.raises(ordinary.CannotError, match=f"out of nobody's reach, and no other python3.{sys.version_info[1]} was found"):
        ordinary.prepare(str(PACKAGING.parent), sys.executable, str(tmp_path), [])


def test_a_folder_counts_as_reachable_when_all_above_it_let_others_pass(tmp_path: Path) -> None:
    assert ordinary._reachable("/usr/bin")
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o755)
    tmp_path.chmod(0o700)
    assert not ordinary._reachable(str(inner))
    assert not ordinary._reachable("usr/bin")
    assert not ordinary._reachable("")
    assert not ordinary._reachable(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("roots", "rest", "code"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 1, 2), (5, 0, 0), (0, 5, 0), (5, 5, 5), (5, 1, 1), (1, 5, 1), (-9, 0, -9)],
)
def test_the_exit_code_is_the_worse_of_both(roots: int, rest: int, code: int) -> None:
    assert dev.together(roots, rest) == code


def test_put_into_the_background_by_a_shell_children_can_be_interrupted_all_the_same() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import dev, signal; dev.main([]); print(signal.getsignal(2).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "default_int_handler"
