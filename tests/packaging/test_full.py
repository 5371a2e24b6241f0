"""The long run: each part has an end, says why it cannot run, and has its line in the table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.packaging.test_environment import PACKAGING, load

full = load("full")
ROOT = PACKAGING.parent


@pytest.fixture(autouse=True)
def _no_folder_for_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FULL_LOGS", raising=False)


def part(name: str, run: object, minutes: float = 1) -> object:
    return full.Part(name, "tried here", minutes, run)


def skip(one: object, within_s: float) -> int:
    raise full.SkipError("needs a thing that is not here")


def too_long(one: object, within_s: float) -> int:
    raise subprocess.TimeoutExpired("words", within_s)


def broken(one: object, within_s: float) -> int:
    raise OSError(28, "No space left on device")


GOOD = part("good", lambda one, within_s: 0)
BAD = part("bad", lambda one, within_s: 3)
SKIPPED, LONG, BROKEN = part("skipped", skip), part("long", too_long), part("broken", broken)


@pytest.mark.parametrize(
    ("parts", "code", "said"),
    [
        ((GOOD, SKIPPED), 0, ["ran, good", "skipped: needs a thing that is not here"]),
        ((GOOD, BAD), 1, ["ran, good", "failed (3)"]),
        ((LONG, GOOD), 1, ["took too long, was ended", "ran, good"]),
        ((BROKEN, GOOD), 1, ["failed: [Errno 28] No space left on device", "ran, good"]),
    ],
)
def test_every_part_has_its_line_and_a_bad_one_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parts: tuple[object, ...], code: int, said: list[str]
) -> None:
    monkeypatch.setattr(full, "PARTS", parts)
    assert full.main([]) == code
    lines = capsys.readouterr().out.splitlines()[-len(parts) - 1 :]
    assert [re.sub(r"^\w+ +[\d.]+ s  ", "", line) for line in lines[:-1]] == said
    assert re.fullmatch(r"whole +[\d.]+ s", lines[-1])


def test_only_the_parts_that_are_named_run_and_an_unknown_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full, "PARTS", (BAD, GOOD))
    assert full.main(["good"]) == 0
    with pytest.raises(SystemExit) as caught:
        full.main(["goood"])
    assert caught.value.code == 2
    assert "no part called goood" in capsys.readouterr().err


def test_when_the_whole_time_is_over_the_rest_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(full, "PARTS", (GOOD,))
    monkeypatch.setattr(full, "LIMIT_S", 30)
    assert full.main([]) == 0
    assert "skipped: the time of the whole is over" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_a_part_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        f"open({str(told)!r} + '.part', 'w').write(str(child.pid)); import os; os.rename({str(told)!r} + '.part', {str(told)!r})\n"
        "time.sleep(300)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        full.run(GOOD, [sys.executable, "-c", script], 5.0)
    grandchild = int(told.read_text())
    for _ in range(200):
        try:
            state = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("what the part had started is still there")


def test_what_a_part_prints_goes_to_its_file_when_there_is_a_folder_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FULL_LOGS", str(tmp_path))
    assert full.run(GOOD, [sys.executable, "-c", "print('a line')"], 20.0) == 0
    assert (tmp_path / "good.log").read_text() == "a line\n"


def test_all_parts_together_stay_within_the_whole_or_are_cut_by_it() -> None:
    assert full.LIMIT_S == 75 * 60
    assert max(each.minutes for each in full.PARTS) * 60 <= full.LIMIT_S
    names = [each.name for each in full.PARTS]
    assert len(set(names)) == len(names)


def test_a_part_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    for name in ("clean", "programs", "python"):
        (one,) = [each for each in full.PARTS if each.name == name]
        with pytest.raises(full.SkipError):
            one.run(one, 60.0)


def test_the_hosted_entry_passes_its_words_and_the_exit_code_on(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "packaging").mkdir()
    (tmp_path / ".ci" / "full").write_text((ROOT / ".ci" / "full").read_text())
    (tmp_path / "packaging" / "full.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    done = subprocess.run(["bash", ".ci/full", "slow"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "['slow']\n")
