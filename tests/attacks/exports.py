"""E: an export of the audit log in the hands of somebody hostile, checked as its README says and with `gatehouse verify`."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from tests.attacks.judge import every
from tests.attacks.registry import EXPORTS, NOT_PROMISED, Seen, Skip, attack
from tests.attacks.stage import Stage

PLANTED = (
    "json", "hashlib", "argparse", "re", "struct", "cryptography", "pathlib", "dataclasses", "itertools", "collections", "typing",
    "sitecustomize", "encodings", "base64", "os", "io", "codecs", "html",
)  # fmt: skip


def export(stage: Stage, name: str) -> Path:
    """A new export with some entries, made once and copied."""
    first = stage.folder / "export-of-the-log"
    if not first.exists():
        for client in ("one", "two", "three"):
            stage.gateway.cli("client", "add", f"export-{client}", check=False)
        stage.gateway.cli("audit", "export", str(first))
        (stage.folder / "fingerprint-of-the-log").write_text(str(stage.gateway.json("audit", "status")["fingerprint"]))
    place = stage.folder / f"export-{name}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(first, place)
    return place


def verify(stage: Stage, place: Path, *words: str, seconds: float = 40.0) -> tuple[int, str, float]:
    """Exit code, what was said, and the processor time of `gatehouse verify`; -1 when it took longer than `seconds`."""
    before = _children_s()
    try:
        done = stage.gateway.cli("verify", str(place), *words, check=False, timeout_s=seconds)
    except subprocess.TimeoutExpired:
        return -1, f"no verdict in {seconds:g} s", _children_s() - before
    return done.returncode, done.stdout + done.stderr, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fingerprint(stage: Stage) -> str:
    """The log's, as its owner read it when the export was made."""
    kept = stage.folder / "fingerprint-of-the-log"
    if not kept.exists():
        raise Skip("audit status shows no fingerprint")
    return kept.read_text()


def as_the_readme_says(place: Path) -> list[str]:
    """The command of README.txt, for this machine's Python, without the fingerprint."""
    text = (place / "README.txt").read_text()
    found = re.search(r"^\s*python3?((?:\s+-\w+)*)\s+\S*verify\.py", text, re.MULTILINE)
    return [sys.executable, *(found[1].split() if found else []), "verify.py"]


@attack("E1", "modules planted beside verify.py, started as README.txt says and in other ways", promise=EXPORTS, expected="never imported")
def planted(stage: Stage) -> Seen:
    """`python verify.py` puts the script's folder first in the places where modules are looked for."""
    rows = []
    place = export(stage, "planted")
    mark = stage.folder / "ran-beside-verify"
    readme = as_the_readme_says(place)
    for name in PLANTED:
        (place / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r} + ' ')\nraise SystemExit(0)\n")
    (place / "json").mkdir()
    (place / "json" / "__init__.py").write_text(f"open({str(mark)!r}, 'a').write('package ')\nraise SystemExit(0)\n")
    for name, words, where in (
        ("as README.txt says", readme, place),
        ("python verify.py", [sys.executable, "verify.py"], place),
        ("python FOLDER/verify.py", [sys.executable, str(place / "verify.py")], stage.folder),
        ("python verify.py --json", [sys.executable, "verify.py", "--json"], place),
    ):
        done = subprocess.run(words, cwd=where, capture_output=True, text=True, timeout=40, check=False, env=stage.gateway.environment())
        ran = mark.read_text() if mark.exists() else ""
        rows.append((name, not ran and "Traceback" not in done.stderr, f"ran {ran or 'nothing '}and gave {done.returncode}"))
        mark.unlink(missing_ok=True)
    done = stage.gateway.cli("verify", ".", cwd=place, check=False)
    rows.append(("gatehouse verify .", not mark.exists() and done.returncode in (0, 1, 2), f"gave {done.returncode}"))
    return every(rows, "ways to start it")


@attack("E2", "the same beside the program that checks a network report", promise=EXPORTS, expected="never imported")
def planted_report(stage: Stage) -> Seen:
    """A report brings a program of its own, so the same could be planted there."""
    place = stage.folder / "report"
    shutil.rmtree(place, ignore_errors=True)
    stage.gateway.cli("network", "report", str(place))
    programs = list(place.glob("*.py"))
    mark = stage.folder / "ran-beside-report"
    for name in PLANTED:
        if not (place / f"{name}.py").exists():
            (place / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r} + ' ')\nraise SystemExit(0)\n")
    rows = []
    for program in programs:
        done = subprocess.run([sys.executable, program.name], cwd=place, capture_output=True, text=True, timeout=40, check=False)
        ran = mark.read_text() if mark.exists() else ""
        rows.append((program.name, not ran, f"ran {ran or 'nothing '}and gave {done.returncode}"))
        mark.unlink(missing_ok=True)
    stage.gateway.cli("verify", str(place), check=False)
    return every([*rows, ("gatehouse verify", not mark.exists(), "ran it")], "programs")


@attack("E3", "a replaced verify.py", promise=EXPORTS, expected="gatehouse verify does not run it, and does not say intact")
def replaced(stage: Stage) -> Seen:
    """The program that came with an export is as hostile as the export may be."""
    rows = []
    for name, wanted in (("of the same length", (1,)), ("shorter", (1, 2))):
        place = export(stage, "replaced")
        mark = stage.folder / "ran-replaced"
        text = f"open({str(mark)!r}, 'w').write('x')\nprint('Intact')\n"
        size = (place / "verify.py").stat().st_size
        (place / "verify.py").write_text(text if name == "shorter" else text.ljust(size, "#"))
        code, said, _ = verify(stage, place, "--key", fingerprint(stage))
        rows.append((name, code in wanted and not mark.exists(), f"{code}: {said[:80]}"))
    return every(rows, "programs")


@attack("E4", "a file in the export that does not belong to it", promise=NOT_PROMISED, expected="named, whatever the verdict")
def unknown(stage: Stage) -> Seen:
    """What was put beside the signed files must not look as if it were signed. It is no proof of tampering: file managers leave such."""
    rows = []
    names = ("json.py", ".hidden", "extra.txt", "entries.jsonl.bak")
    for name in names[:2] if stage.short else names:
        place = export(stage, "unknown")
        (place / name).write_text("x")
        code, said, _ = verify(stage, place, "--key", fingerprint(stage))
        rows.append((name, name in said, f"{code}, not named" if name not in said else str(code)))
    return every(rows, "files")


@attack(
    "E5",
    "a good export with the fingerprint, with another one, and without any",
    promise=NOT_PROMISED,
    expected="0; 1; 2, because nobody is named",
)
def pins(stage: Stage) -> Seen:
    """Without a fingerprint, an export forged whole under another key cannot be told from a real one: that is not `intact`."""
    place, pin = export(stage, "pins"), fingerprint(stage)
    wrong = pin[:-1] + ("0" if pin[-1] != "0" else "1")
    codes = [verify(stage, place, *words)[0] for words in (("--key", pin), ("--key", wrong), ())]
    names = ("the fingerprint", "another", "none")
    return every([(name, code == want, str(code)) for name, code, want in zip(names, codes, (0, 1, 2), strict=True)], "checks")


@attack("E6", "entries of 20 GB, sparse", promise=NOT_PROMISED, expected="a verdict at once: the size is in the manifest")
def sparse(stage: Stage) -> Seen:
    """The manifest says how long each file is, so the first look decides; reading it all takes minutes."""
    rows = []
    for name in ("entries.jsonl", "checkpoints.jsonl", "manifest.json", "README.txt"):
        place = export(stage, "sparse")
        try:
            os.truncate(place / name, 20 << 30)
        except OSError as error:
            raise Skip(f"no sparse file of 20 GB can be made here: {error.strerror}") from error
        code, said, used = verify(stage, place, seconds=8 if stage.short else 30)
        rows.append((name, code in (1, 2, 3) and used < 3, f"{said[:40] if code < 0 else code} after {used:.1f} s of processor time"))
        shutil.rmtree(place)
    return every(rows, "files")
