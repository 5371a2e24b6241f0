"""The one file beside an export or a report, as a stranger starts it: nothing that lies in the folder is imported, or read by mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import report_verifier, verifier
from tests import exports
from tests.audit.book import NOW_US, book
from tests.control.test_report import PUBLIC, signed

# What a module of ours may pull in, directly or not: everything that comes with the interpreter, and the one package that is needed.
EVERY_NAME = sorted(
    (sys.stdlib_module_names - {"__main__"})
    | {"cryptography", "cffi", "_cffi_backend", "sitecustomize", "usercustomize", "typing_extensions"}
)


def an_export(folder: Path) -> tuple[Path, str]:
    """A whole export, and the fingerprint its owner reads off the Audit page."""
    with book(folder / "g.db") as made, made.filled().store.read() as connection:
        exports.write_log(connection, folder / "export", made.signer, NOW_US)
    return folder / "export", verifier.check(folder / "export").fingerprint


def a_report(folder: Path) -> tuple[Path, str]:
    return exports.write_report(folder / "report", signed()), PUBLIC


KINDS = [an_export, a_report]


def plant(folder: Path, marker: Path, names: list[str]) -> None:
    """A module and a package of each name that write their name down when they are imported."""
    for number, name in enumerate(names):
        text = f"open({str(marker)!r}, 'a').write({name + ' '!r})\n"
        if number % 2:
            (folder / f"{name}.py").write_text(text)
        else:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(text)


def start(program: Path, *arguments: str, flags: tuple[str, ...] = (), cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | more
    return subprocess.run(
        [sys.executable, *flags, str(program), *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("flags", [(), ("-I",), ("-P",), ("-s", "-E")])
@pytest.mark.parametrize("where", ["inside", "inside, by its path", "outside", "of another export"])
def test_nothing_that_lies_in_the_folder_is_imported(
    make: Callable[[Path], tuple[Path, str]], flags: tuple[str, ...], where: str, data_dir: Path
) -> None:
    folder, pin = make(data_dir)
    program, cwd = folder / "verify.py", folder
    if where == "inside":
        program = Path("verify.py")
    elif where == "outside":
        cwd = data_dir
    elif where == "of another export":  # started in a folder of strangers, about another
        program = data_dir / "mine.py"
        program.write_bytes((folder / "verify.py").read_bytes())
    plant(folder, data_dir / "imported", EVERY_NAME)
    done = start(program, str(folder), "--key", pin, flags=flags, cwd=cwd)
    assert not (data_dir / "imported").exists(), (data_dir / "imported").read_text()
    assert (done.returncode, done.stderr) == (0, "")
    assert "planted" not in done.stdout
    assert "and not checked" in done.stdout


@pytest.mark.parametrize("make", KINDS)
def test_a_link_to_the_program_does_not_bring_its_folder_along(make: Callable[[Path], tuple[Path, str]], data_dir: Path) -> None:
    folder, pin = make(data_dir)
    (data_dir / "elsewhere").mkdir()
    (data_dir / "elsewhere" / "check.py").symlink_to(folder / "verify.py")
    for place in (folder, data_dir / "elsewhere"):
        plant(place, data_dir / "imported", EVERY_NAME)
    done = start(data_dir / "elsewhere" / "check.py", str(folder), "--key", pin, cwd=data_dir / "elsewhere")
    assert not (data_dir / "imported").exists(), (data_dir / "imported").read_text()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("entry", ["the folder", ".", ""])
@pytest.mark.parametrize("flags", [(), ("-I",)])
def test_an_environment_that_points_into_the_folder_is_not_followed(
    make: Callable[[Path], tuple[Path, str]], entry: str, flags: tuple[str, ...], data_dir: Path
) -> None:
    """Without -I the interpreter itself imports a few names from there before the first line runs; the README says -I."""
    folder, pin = make(data_dir)
    shown = "import sys; print(' '.join(name for name in sys.modules))"
    early = set(subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True).stdout.split())
    early = set() if flags else {*(name.partition(".")[0] for name in early), "sitecustomize", "usercustomize"}
    plant(folder, data_dir / "imported", [name for name in EVERY_NAME if name not in early])
    path = str(folder) if entry == "the folder" else entry
    done = start(Path("verify.py"), "--key", pin, flags=flags, cwd=folder, PYTHONPATH=f"{path}{os.pathsep}{path}")
    assert not (data_dir / "imported").exists(), (data_dir / "imported").read_text()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("make", KINDS)
def test_without_cryptography_it_says_so_and_is_never_intact(make: Callable[[Path], tuple[Path, str]], data_dir: Path) -> None:
    folder, pin = make(data_dir)
    for arguments in (("--key", pin), (), ("--json",)):
        done = start(folder / "verify.py", *arguments, flags=("-I", "-S"), cwd=folder)
        assert (done.returncode, done.stderr) == (2, "")
        assert "cryptography" in done.stdout
        assert "--json" not in arguments or json.loads(done.stdout)["state"] == "incomplete"


@pytest.mark.parametrize("make", KINDS)
def test_it_exits_with_intact_only_where_a_key_was_pinned(make: Callable[[Path], tuple[Path, str]], data_dir: Path) -> None:
    folder, pin = make(data_dir)

    def code(*arguments: str) -> int:
        return start(folder / "verify.py", *arguments, flags=("-I",), cwd=folder).returncode

    assert code("--key", pin) == code("--key", pin.upper()) == code("--key", pin.replace(" ", "")) == 0
    assert code() == code("--json") == code("--key", "") == 2
    assert code("--key", "0" * len(pin)) == 1
    assert code("--what") == code("a", "b") == 3
    assert code("--help") == 0


STRANGE = ["json.py", ".hidden", "__pycache__", "a\nb\x1b[31m", "\u202egnp.exe", "n" * 200, "größe ☃", "entries.jsonl.orig"]


@pytest.mark.parametrize("make", KINDS)
def test_what_is_not_part_of_it_is_named_in_one_safe_line(make: Callable[[Path], tuple[Path, str]], data_dir: Path) -> None:
    folder, pin = make(data_dir)
    assert "not checked" not in start(folder / "verify.py", "--key", pin, flags=("-I",), cwd=folder).stdout
    for name in STRANGE:
        (folder / name).mkdir() if name == "__pycache__" else (folder / name).write_text("x")
    (folder / "link").symlink_to("/dev/zero")
    done = start(folder / "verify.py", "--key", pin, flags=("-I",), cwd=folder, PYTHONIOENCODING="")
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if "not checked" in line)
    assert all(part in line for part in ("json.py", ".hidden", "__pycache__", "a\\nb\\x1b[31m", "\\u202egnp.exe", "n" * 40, "link"))
    assert "n" * 100 not in line
    assert not any(ord(letter) < 32 or letter == "\u202e" for letter in line)
    said = json.loads(start(folder / "verify.py", "--key", pin, "--json", flags=("-I",), cwd=folder).stdout)
    assert any("json.py" in note for note in said["notes"])


@pytest.mark.parametrize("make", KINDS)
def test_a_folder_full_of_strange_files_is_said_in_a_few_words(make: Callable[[Path], tuple[Path, str]], data_dir: Path) -> None:
    folder, pin = make(data_dir)
    for number in range(3_000):
        (folder / f"{number:04}").touch()
    done = start(folder / "verify.py", "--key", pin, flags=("-I",), cwd=folder)
    assert (done.returncode, len(done.stdout) < 3_000) == (0, True)
    assert "more" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="holes, pipes and devices as files")
@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl", "verify.py", "README.txt"])
def test_a_file_that_is_larger_than_the_manifest_says_is_not_read(name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, pin = an_export(data_dir)
    os.truncate(folder / name, 20 << 30)
    read = count_what_is_read(monkeypatch)
    verdict = verifier.check(folder, pin=pin)
    assert [finding.kind for finding in verdict.findings] == ["changed file"]
    assert name in verdict.findings[0].sentence
    assert sum(read.values()) < 1 << 20, read


def count_what_is_read(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """By name, how many bytes are read from files from now on."""
    read: dict[str, int] = {}
    opened = verifier._regular

    def counting(path: Path) -> object:
        file, inner = opened(path), path.name

        class Counted:
            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, size: int = -1) -> bytes:
                return self.count(file.read(size))

            def readline(self, size: int = -1) -> bytes:
                return self.count(file.readline(size))

            def count(self, part: bytes) -> bytes:
                read[inner] = read.get(inner, 0) + len(part)
                return part

            def fileno(self) -> int:
                return file.fileno()

        return Counted()

    monkeypatch.setattr(verifier, "_regular", counting)
    return read


@pytest.mark.skipif(os.name == "nt", reason="holes in files")
def test_a_file_of_holes_that_the_manifest_was_made_for_is_given_up_at_its_first_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pin = an_export(data_dir)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    os.truncate(folder / "entries.jsonl", 20 << 30)
    manifest["body"]["files"]["entries.jsonl"]["bytes"] = 20 << 30
    body = verifier.canonical(manifest["body"])
    (folder / "manifest.json").write_bytes(b'{"body":%b,"signature":"%b"}\n' % (body, manifest["signature"].encode()))
    with (folder / "entries.jsonl").open("r+b") as file:
        file.truncate(0)
        file.truncate(20 << 30)
    read = count_what_is_read(monkeypatch)
    assert verifier.check(folder, pin=pin).state == "tampered"
    assert sum(read.values()) < 100 << 20, read


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices as files")
@pytest.mark.parametrize(
    "make", [lambda at: at.symlink_to("/dev/zero"), lambda at: at.symlink_to(at.with_name("README.txt")), os.mkfifo, Path.mkdir]
)
@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl", "manifest.json", "verify.py"])
def test_a_link_a_pipe_or_a_folder_in_place_of_a_file_is_not_followed(name: str, make: Callable[[Path], None], data_dir: Path) -> None:
    folder, pin = an_export(data_dir)
    (folder / name).unlink()
    make(folder / name)
    if name == "manifest.json":
        with pytest.raises(verifier.BadInputError):
            verifier.check(folder, pin=pin)
    else:
        assert verifier.check(folder, pin=pin).state == "incomplete"


@pytest.mark.skipif(os.name == "nt", reason="holes in files")
def test_a_report_of_twenty_gigabytes_is_refused_by_its_size(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, pin = a_report(data_dir)
    os.truncate(folder / "report.json", 20 << 30)
    assert report_verifier.check(folder, pin)[0] == "bad input"
