"""G: what is installed, and what its source could do. Looks at this checkout; nothing is asked of any network."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.attacks.judge import every
from tests.attacks.registry import CODE, Seen, Skip, attack
from tests.attacks.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "marshal", "shelve", "dill", "yaml", "zipfile", "tarfile"}
CALLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("subprocess", "getstatusoutput"), ("tempfile", "mktemp")}


def suspicious(source: str) -> list[str]:
    """What in a Python source could run or unpack what it is given."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in NAMES:
                found.append(called.id)
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and (called.value.id, called.attr) in CALLS:
                found.append(f"{called.value.id}.{called.attr}")
            if any(one.arg == "shell" and not (isinstance(one.value, ast.Constant) and one.value.value is False) for one in node.keywords):
                found.append("shell=")
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            found.append(str(node.module))
    return found


@attack("G2", "what in the program could run text or unpack archives", promise=CODE, expected="nothing")
def source(stage: Stage) -> Seen:
    """eval, exec, a shell, pickle, archives: each would be a way from input to code."""
    del stage
    files = sorted((ROOT / "app").rglob("*.py"))
    if not files:
        raise Skip("there is no source beside the kit")
    return every([(path.name, not (found := suspicious(path.read_text(encoding="utf-8"))), ", ".join(found)) for path in files], "files")


@attack(
    "G3", "packages that would be installed without a check of their contents", promise=CODE, expected="none: a version and a hash for each"
)
def lock(stage: Stage) -> Seen:
    """A name without a hash is whatever the index serves today."""
    del stage
    rows = []
    for path in sorted((ROOT / "packaging").glob("requirements*.txt")):
        text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "--"))]
        rows += [(f"{path.name}: {line.split()[0]}", "==" in line and "--hash=sha256:" in line, "no version or no hash") for line in lines]
    if not rows:
        raise Skip("there is no lock beside the kit")
    return every(rows, "packages")
