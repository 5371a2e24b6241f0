"""The export and the one file that checks it: intact only when it is, never a crash, four exit codes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import verifier
from app.core import chain
from app.core.errors import AppError
from app.store import checkpoints
from tests import exports
from tests.audit.book import NOW_US, Book, book


def exported(made: Book, folder: Path) -> Path:
    with made.store.read() as connection:
        exports.write_log(connection, folder, made.signer, NOW_US)
    return folder


def pin_of(made: Book) -> str:
    """As the owner reads it off the Audit page."""
    with made.store.read() as connection:
        opening = checkpoints.newest_of(connection, "restore", "genesis")
    assert opening is not None
    return verifier.fingerprint(opening.key)


@dataclass(frozen=True)
class Export:
    """An export and the fingerprint that its owner gave."""

    folder: Path
    pin: str

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def state(self) -> str:
        return state(self.folder, self.pin)


@pytest.fixture
def export(data_dir: Path) -> Export:
    """A small export: 30 entries, two keys, a prune."""
    with book(data_dir / "g.db") as made:
        made.begin()
        made.append(10, "größe ☃")
        made.seal()
        made.turn()
        made.record(5)
        made.append(10)
        made.seal()
        made.prune(10)
        made.append(9)
        made.seal()
        return Export(exported(made, data_dir / "export"), pin_of(made))


def state(folder: Path, pin: str) -> str:
    """What the verifier says; BadInputError is one of its four answers, anything else that is raised is not."""
    try:
        return verifier.check(folder, pin=pin).state
    except verifier.BadInputError:
        return "bad input"


def test_an_export_is_private_named_for_nobody_and_intact(export: Export, data_dir: Path) -> None:
    assert export.state() == "intact"
    assert stat.S_IMODE(export.folder.stat().st_mode) == 0o700
    for file in export.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert os.fsencode(Path.home()) + b"/" not in file.read_bytes()
        assert os.fsencode(data_dir) not in file.read_bytes()
    lines = (export / "entries.jsonl").read_bytes().splitlines()
    assert len(lines) == len([json.loads(line) for line in lines]) == 21


def test_the_file_beside_the_log_needs_nothing_of_ours(export: Export, tmp_path: Path) -> None:
    """As somebody else would run it: only the interpreter's own packages and cryptography, from another folder."""
    source = (export / "verify.py").read_text()
    imported = set(re.findall(r"^\s*(?:from|import) ([a-z_]+)", source, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names) | {"cryptography"}

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", str(export / "verify.py"), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, said = run("--key", export.pin)
    assert (code, said.split(":")[0]) == (0, "Intact")
    pin = re.search(r"Fingerprint: ([0-9a-f ]{39})", said)
    assert pin is not None
    assert pin[1] == export.pin
    assert run("--key", "0" * 32)[0] == 1
    assert json.loads(run("--json", "--key", export.pin)[1])["state"] == "intact"
    unpinned = json.loads(run("--json")[1])
    assert (unpinned["state"], [finding["kind"] for finding in unpinned["findings"]]) == ("incomplete", ["no pin"])
    (export / "checkpoints.jsonl").rename(export / "elsewhere")
    assert run("--key", export.pin)[0] == 2
    assert run(str(tmp_path / "nothing"))[0] == 3
    assert subprocess.run([sys.executable, str(export / "verify.py"), "--what"], capture_output=True, check=False).returncode == 3


def test_a_copy_that_ends_early_is_incomplete(export: Export) -> None:
    whole = (export / "entries.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in (b"".join(lines[:-4]), whole[:-7], lines[0]):
        (export / "entries.jsonl").write_bytes(kept)
        assert export.state() == "incomplete"
    (export / "entries.jsonl").write_bytes(whole)
    (export / "verify.py").unlink()
    assert export.state() == "incomplete"


def test_the_export_of_a_changed_log_carries_the_evidence_and_says_so(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled().sql(
            "UPDATE audit SET body = x'ff00', hash = x'01' WHERE seq = 150",
            "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'a\nb') AS BLOB) WHERE seq = 200",
        )
        verdict = verifier.check(exported(made, data_dir / "export"))
    assert [(finding.kind, finding.seq) for finding in verdict.findings] == [("edited", 150)]


def test_an_export_without_a_signature_is_not_intact(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made, made.filled().store.read() as connection:
        exports.write_log(connection, data_dir / "export", None, NOW_US)
    verdict = verifier.check(data_dir / "export", pin=verifier.check(data_dir / "export").fingerprint)
    assert [finding.kind for finding in verdict.findings] == ["unsigned"]


def test_a_folder_that_is_there_is_not_written_into(data_dir: Path) -> None:
    (data_dir / "export").mkdir()
    (data_dir / "export" / "mine").write_text("kept")
    with book(data_dir / "g.db") as made, made.begin().store.read() as connection:
        for folder in (data_dir / "export", data_dir / "no" / "folder"):
            with pytest.raises(AppError) as refused:
                exports.write_log(connection, folder, made.signer, NOW_US)
            assert refused.value.code == ("name_taken" if folder.exists() else "data_folder")
    assert [file.name for file in (data_dir / "export").iterdir()] == ["mine"]


def test_hostile_files_end_in_a_verdict(export: Export) -> None:
    manifest = (export / "manifest.json").read_bytes()
    deep = b'{"body":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b',"signature":""}\n'
    huge = b'{"body":{"number":' + b"9" * 100_000 + b'},"signature":""}\n'
    for content in (
        b"",
        b"\n",
        b"\0" * 4096,
        b"[" * 100_000,
        deep,
        huge,
        b'{"body":{"a":NaN},"signature":""}\n',
        b"\xff" * 100,
        b"\n" * 9999,
    ):
        for name in ("manifest.json", "checkpoints.jsonl", "entries.jsonl"):
            kept = (export / name).read_bytes()
            (export / name).write_bytes(content)
            assert export.state() != "intact", (name, content[:30])
            (export / name).write_bytes(kept)
    assert (export / "manifest.json").read_bytes() == manifest
    assert export.state() == "intact"
    (export / "entries.jsonl").unlink()
    os.mkfifo(export / "entries.jsonl")  # reading it would wait for ever
    assert export.state() == "incomplete"
    (export / "entries.jsonl").unlink()
    (export / "entries.jsonl").symlink_to("/dev/zero")
    assert export.state() == "incomplete"
    for path in (export / "manifest.json", export / "nothing", Path("/"), Path("/dev/null")):
        assert state(path, export.pin) == "bad input"


def test_a_manifest_that_names_other_files_is_refused(export: Export) -> None:
    found = re.fullmatch(rb'\{"body":(.*),"signature":"(.*)"\}\n', (export / "manifest.json").read_bytes())
    assert found is not None
    said = json.loads(found[1])
    for name in ("../../etc/passwd", "/etc/passwd", ".hidden", "a" * 100, ""):
        files = said["files"] | {name: {"bytes": 1, "sha256": "0" * 64}}
        line = b'{"body":%b,"signature":"%b"}\n' % (chain.canonical(said | {"files": files}), found[2])
        (export / "manifest.json").write_bytes(line)
        assert export.state() == "bad input"


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Another content, by one of the ways in which files are changed."""
    at, other = chance.randrange(len(content)), bytes([chance.randrange(256)])
    lines = content.splitlines(keepends=True)
    line = chance.randrange(len(lines))
    ways = [
        lambda: content[:at] + other + content[at + 1 :],
        lambda: content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :],
        lambda: content[:at],
        lambda: content[:at] + content[at + 1 :],
        lambda: content[:at] + other + content[at:],
        lambda: b"".join(lines[:line] + lines[line + 1 :]),
        lambda: b"".join([*lines[:line], lines[line], *lines[line:]]),
        lambda: b"".join(chance.sample(lines, len(lines))),
        lambda: content.replace(b"client", b"klient", 1),
        lambda: content.replace(b":1", b":2", 1),
        lambda: content + b"\n",
        lambda: content + lines[line],
        lambda: re.sub(rb'"hash":"[0-9a-f]{4}', b'"hash":"0000', content, count=1),
        lambda: content.replace(b'","', b'", "', 1),
    ]
    return chance.choice(ways)()


def mutate(export: Export, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    names = ["entries.jsonl", "checkpoints.jsonl", "manifest.json"] * 5 + ["verify.py", "README.txt"]
    whole = {name: (export / name).read_bytes() for name in set(names)}
    tried = 0
    while tried < rounds:
        chosen = chance.sample(names, chance.choice((1, 1, 1, 2)))
        for name in chosen:
            (export / name).write_bytes(mutated(whole[name], chance))
        if all((export / name).read_bytes() == whole[name] for name in chosen):
            continue  # some ways change nothing in some files
        tried += 1
        assert export.state() != "intact", (tried, chosen)
        for name in chosen:
            (export / name).write_bytes(whole[name])
    assert export.state() == "intact"


def test_a_thousand_changed_exports_are_never_intact_and_never_a_crash(export: Export) -> None:
    mutate(export, 1_000, seed=1)


def test_changed_exports_of_a_log_that_was_restored_are_never_intact_and_never_a_crash(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled().sql("UPDATE audit SET body = x'ff' WHERE seq = 150")
        made.restore()
        made.append(3)
        made.seal()
        restored = Export(exported(made, data_dir / "restored"), pin_of(made))
    mutate(restored, 200, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_changed_exports_are_never_intact_and_never_a_crash(export: Export) -> None:
    mutate(export, 100_000, seed=2)


def test_an_export_put_together_from_two_is_not_intact(export: Export, data_dir: Path) -> None:
    with book(data_dir / "other.db") as made:
        other = Export(exported(made.filled(), data_dir / "other"), pin_of(made))
    for name in ("entries.jsonl", "checkpoints.jsonl", "manifest.json"):
        mixed = data_dir / f"mixed-{name}"
        shutil.copytree(export.folder, mixed)
        shutil.copy(other / name, mixed / name)
        for pin in (export.pin, other.pin):
            assert state(mixed, pin) in ("tampered", "incomplete"), name
