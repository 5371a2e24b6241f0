"""What was released is never edited: the steps of the schema, and the forms of the ledger's digests.

A failure here means that databases out there were made by other steps than the ones that stand here now. Put the step back as it was and
write a new one; only a step that was never released may get new digests.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from pathlib import Path

import msgspec

from app.store import forms, migrations, steps
from tests.store.rows import opened

# By step: the digests of its source, with all that it names, and of the schema after it.
RELEASED = {
    "first": ("b01f16a6c0360eb9", "ccdecb8e3a3292a6"),
    "checkpoints and settings": ("cd4d83d718286886", "0f250a6b04d126f1"),
    "kept responses": ("d9e90fc4fd6daea0", "1a40b18d2fc6cf1a"),
    "egress records": ("db2626dcf89cdd46", "978efbdfbf2ead91"),
    "families of rows and whole days": ("a5bbf6d70dab4e61", "668d636994f86559"),
    "own prices and later costs": ("3eea5b747e956763", "dca1e83ef6149f4d"),
    "what rides along": ("9d8b1eda1da0792c", "cfd3d6dd43f2b3d9"),
    "forms and ids": ("882a690b22d64528", "9243adafe42ffdda"),
    "what retention took": ("5b988e72eabf6d2f", "dbd25b6b231d8b7b"),
    "tags": ("d71b07a804cc4ea7", "caed0cc5b5dffb82"),
}
FORMS = {
    "1": "178e01bec98c450b",
    "2": "7d1a9a2ecd2c0250",
}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sources() -> dict[str, ast.stmt]:
    """What the module defines, by name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(Path(steps.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def source_of(name: str) -> str:
    """The source of a step and of everything of the module that it reaches."""
    text, known, reached, waiting = Path(steps.__file__).read_text(encoding="utf-8"), _sources(), set[str](), [name]
    while waiting:
        here = waiting.pop()
        if here in known and here not in reached:
            reached.add(here)
            inside = [node for node in ast.walk(known[here]) if isinstance(node, ast.Name)]
            its_own = {node.id for node in inside if isinstance(node.ctx, ast.Store)}
            its_own |= {node.arg for node in ast.walk(known[here]) if isinstance(node, ast.arg)}
            waiting += [node.id for node in inside if node.id not in its_own]
    return "\n".join(ast.get_source_segment(text, known[one]) or "" for one in sorted(reached))


def test_no_released_step_was_edited(data_dir: Path) -> None:
    found = {}
    for number, step in enumerate(migrations.ALL, 1):
        with opened(data_dir / f"{number}.db", steps=migrations.ALL[:number]) as store, store.read() as connection:
            schema = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").all()
        found[step.name] = (_hash(source_of(step.apply.__name__)), _hash("\n".join(map(str, schema))))
    assert found == RELEASED


def test_a_step_depends_on_nothing_of_ours() -> None:
    tree = ast.parse(Path(steps.__file__).read_text(encoding="utf-8"))
    imported = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            imported.add((node.module or "").partition(".")[0])
    assert imported <= set(sys.stdlib_module_names) | {"sqlcipher3"}
    assert {step.apply.__module__ for step in migrations.ALL} == {steps.__name__}


def test_no_released_form_was_edited() -> None:
    assert {form: _hash(msgspec.json.encode(fields).decode()) for form, fields in forms.FORMS.items()} == FORMS
