"""What a library raises stays in the file that calls it: the rules that can be read from the source.

The faults themselves are tried where they happen: `tests/control/test_client_faults.py`, `tests/wire`, `tests/egress`, `tests/store`,
`tests/system`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"
# Each library's errors as a file may name them in `except`, and what must stand beside them, because the library raises that too (tried,
# each in the tests named above). The first name of a pair is enough.
BESIDE = {
    "msgspec.DecodeError": ("UNREADABLE",),
    "msgspec.MsgspecError": ("UNREADABLE",),
    "httpx2.HTTPError": ("httpx2.InvalidURL", "httpx2.StreamError"),
    "psutil.Error": ("OSError",),
}


def names(node: ast.expr | None) -> set[str]:
    """What an `except`, a `suppress` or a tuple names."""
    if node is None:
        return set()
    if isinstance(node, ast.Tuple):
        return set().union(*(names(each) for each in node.elts))
    if isinstance(node, ast.BinOp):
        return names(node.left) | names(node.right)
    return {ast.unparse(node)}


def caught(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """For each `try`, `suppress` or constant tuple of errors: its line, and all that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            yield node.lineno, set().union(*(names(handler.type) for handler in node.handlers))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield node.lineno, set().union(*(names(each) for each in node.args))
        elif isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Tuple):
            yield node.lineno, names(node.value)


def lacking(source: str) -> list[str]:
    """Places that catch a library's own error and not what else it raises."""
    return [
        f"{line}: {one} without {', '.join(sorted(set(beside) - found))}"
        for line, found in caught(ast.parse(source))
        for one, beside in BESIDE.items()
        if one in found and not set(beside) <= found
    ]


FILES = sorted(APP.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(APP)))
def test_who_catches_a_librarys_error_catches_what_else_it_raises(path: Path) -> None:
    if path.relative_to(APP).as_posix() == "core/unreadable.py":
        return  # says what UNREADABLE is
    assert lacking(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("try: pass\nexcept msgspec.DecodeError: pass", ["1: msgspec.DecodeError without UNREADABLE"]),
        ("try: pass\nexcept (ValueError, msgspec.MsgspecError): pass", ["1: msgspec.MsgspecError without UNREADABLE"]),
        ("try: pass\nexcept msgspec.DecodeError: pass\nexcept UNREADABLE: pass", []),
        ("with contextlib.suppress(psutil.Error): pass", ["1: psutil.Error without OSError"]),
        ("with suppress(psutil.Error, OSError): pass", []),
        ("A = (httpx2.HTTPError,)", ["1: httpx2.HTTPError without httpx2.InvalidURL, httpx2.StreamError"]),
    ],
)
def test_the_rule_sees_what_it_is_for(source: str, said: list[str]) -> None:
    assert lacking(source) == said
