"""One table of promises: README, SECURITY and the page on data privacy say what it says, and every test it names is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from app.core.promises import LIVE, PROMISES, Promise
from app.engine import privacy

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_promises", ROOT / "packaging" / "make_promises.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def functions(path: Path) -> set[str]:
    """The tests that pytest would collect from a file: functions at its top, by their syntax, so that a comment is none."""
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def missing(promise: Promise) -> list[str]:
    """Tests of a promise that are not there."""
    gone = []
    for test in promise.tests:
        name, _, function = test.partition("::")
        path = TESTS / name
        if not (path.is_file() and path.name.startswith("test_") and function in functions(path)):
            gone.append(test)
    return gone


def test_readme_and_security_say_what_the_table_says() -> None:
    for path, content in script().files().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is old: run packaging/make_promises.py"


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.id)
def test_every_promise_has_tests_that_exist(promise: Promise) -> None:
    assert promise.tests, "a promise that nothing proves"
    assert missing(promise) == []


def test_a_test_that_is_not_there_would_be_found() -> None:
    known = PROMISES[0].tests[0]
    name = known.partition("::")[0]
    for wrong in (f"{name}::test_of_nothing", f"{name}::script", "gateway.py::wait_for", "no/such/test_file.py::test_x", name, ""):
        assert missing(Promise(id="x", broken="", claim="", trial="", tests=(known, wrong))) == [wrong]


def test_every_row_is_whole_and_each_that_is_measured_has_its_measure() -> None:
    assert len({promise.id for promise in PROMISES}) == len(PROMISES)
    for promise in PROMISES:
        assert promise.claim and promise.trial and "\n" not in promise.claim + promise.trial and promise.trial.count("`") % 2 == 0
        assert bool(promise.title) == bool(promise.check)
        assert promise.broken.endswith((".", ".)")) or promise.id == "checks"
    assert set(privacy._SAYS) == set(LIVE)


@pytest.mark.parametrize("name", LIVE)
def test_each_that_is_measured_has_a_test_that_breaks_it(name: str) -> None:
    assert any(test.startswith("engine/test_privacy.py::") for test in LIVE[name].tests)
