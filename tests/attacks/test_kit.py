"""The kit against this checkout, in its short form; and the kit itself: it can say BROKEN, and does where a gateway is weak."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import __main__ as kit
from tests.attacks import judge, limits, registry, wire
from tests.attacks.judge import MB
from tests.attacks.processes import family
from tests.attacks.registry import ATTACKS, BROKEN, FAILED, HELD, SKIPPED, WEAK, Attack, Seen, Skip, chosen, perform, verdict
from tests.attacks.supply import suspicious
from tests.gateway import wait_for

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the kit runs on Linux and macOS"),
    pytest.mark.timeout(900),
]
ROOT = Path(__file__).resolve().parents[2]
SHORT = chosen((), short=True)
# Why an attack may be left out here. Anything else that is SKIPPED is a gap.
REASONS = (
    "only root can become another user", r"this process may have \d+ descriptors", "no sparse file of 20 GB can be made here",
    "this user's channels are not in the temporary folder", "there is no lock beside the kit",
    "what is planted is watched through /proc", "no module of this installation can be altered", "there is no dbus-daemon here",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    code: int
    rows: dict[str, dict[str, Any]]
    folder: Path


def run_kit(*words: str, command: list[str] | None = None) -> Run:
    asked = ["--gatehouse", shlex.join(command)] if command else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks", "--json", "-", *asked, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("{"), done.stderr[-2000:]
    said = json.loads(done.stdout)
    return Run(done.returncode, {row["id"]: row for row in said["rows"]}, Path(said["folder"]))


@pytest.fixture(scope="module")
def short_form() -> Run:
    return run_kit("--short", command=kit.installed() or [sys.executable, "-I", "-m", "app"])


@pytest.mark.parametrize("one", SHORT, ids=lambda one: one.id)
def test_it_held(short_form: Run, one: Attack) -> None:
    row = short_form.rows[one.id]
    if row["verdict"] == SKIPPED and any(re.match(reason, row["observed"]) for reason in REASONS):
        pytest.skip(row["observed"])
    wanted = WEAK if one.id in limits.SHOWN else HELD
    assert row["verdict"] == wanted, f"{one.what}: {row['observed']}"


def test_the_exit_code_follows_the_table_and_nothing_is_left_behind(short_form: Run) -> None:
    assert set(short_form.rows) == {one.id for one in SHORT}
    assert short_form.code == (1 if {row["verdict"] for row in short_form.rows.values()} & {BROKEN, FAILED} else 0)
    assert short_form.folder.name.startswith("gh-attacks-") and not short_form.folder.exists()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert os.fsencode(short_form.folder) not in place.read_bytes()


def test_a_weak_gateway_is_broken() -> None:
    """Every kind of attack says so of a gateway that counts nothing, checks nobody and passes everything on."""
    weak = [sys.executable, str(ROOT / "tests" / "attacks" / "weak.py")]
    wanted = {"A1": BROKEN, "A3": BROKEN, "A5": BROKEN, "A20": BROKEN, "A60": BROKEN, "A71": WEAK, "D1": BROKEN, "D3": BROKEN, "D6": WEAK}
    run = run_kit("--short", "--only", ",".join(wanted), command=weak)
    assert {name: row["verdict"] for name, row in run.rows.items()} == wanted
    assert run.code == 1


def test_what_does_not_start_is_said_and_nothing_is_judged() -> None:
    for command, said in (([sys.executable, "-c", "print('no')"], "did not start"), (["no-such-gatehouse"], "No Gatehouse was found")):
        done = subprocess.run(
            [sys.executable, "-m", "tests.attacks", "--only", "A1", "--gatehouse", shlex.join(command)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc")
def test_a_run_that_is_ended_leaves_nothing_behind() -> None:
    weak = shlex.join([sys.executable, str(ROOT / "tests" / "attacks" / "weak.py")])
    with subprocess.Popen([sys.executable, "-m", "tests.attacks", "--gatehouse", weak, "--only", "A20,A21"], cwd=ROOT,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        made = wait_for(
            lambda: [place for place in Path("/tmp").glob("gh-attacks-*/g*/serve.log") if _is_of(process.pid, place)], "a gateway"
        )
        process.terminate()
        assert process.wait(40) == 128 + 15
    assert not made[0].parents[1].exists()


def _is_of(pid: int, place: Path) -> bool:
    """Whether a child of `pid` works in the folder of `place`."""
    return any(os.fsencode(place.parents[1]) in command(child) for child in family(pid)[1:])


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# -- the judges


@pytest.mark.parametrize(
    ("taken", "refused", "grown", "held"),
    [(1 * MB, True, 0, True), (1 * MB, False, 0, False), (48 * MB, True, 0, False), (1 * MB, True, 90 * MB, False)],
)
def test_endless_input_is_judged_by_what_was_taken_and_what_it_cost(taken: int, refused: bool, grown: int, held: bool) -> None:
    assert judge.bounded(taken, refused, grown, 40 * MB).held == held


@pytest.mark.parametrize(
    ("worst", "cpu", "elapsed", "missed", "held"),
    [
        (0.1, 9.0, 9.0, 0, True),
        (9.0, 9.0, 9.0, 0, False),
        (9.0, 3.0, 9.0, 0, False),
        (9.0, 0.1, 9.0, 0, True),
        (3.5, 2.0, 20.0, 0, True),
        (0.1, 9.0, 9.0, 1, False),
        (0.1, 0.1, 9.0, 1, True),
    ],
    ids=["quick", "a stall", "a stall on a busy machine", "a busy machine", "a little work, long", "no answer", "no answer without work"],
)
def test_a_stall_is_a_long_wait_that_the_gateway_worked_for(worst: float, cpu: float, elapsed: float, missed: int, held: bool) -> None:
    assert judge.stalled(worst, cpu, elapsed, missed).held == held


@pytest.mark.parametrize(
    ("target", "climbs"),
    [
        ("/v1beta/models/x:generateContent", False), ("/v1beta/models/..x/y...z", False), ("/v1/models/../x", True), ("/v1/./x", True),
        ("/v1/%2e%2e/x", True), ("/v1/%2E./x", True), ("/v1/x%2f..%2fy", True), ("/v1/x\\..\\y", True), ("/v1/..;a/x", True),
        ("/v1/..", True),         ("/v1/x?a=../y", False), ("/v1/%252e%252e/x", False),
    ],
)  # fmt: skip
def test_a_climbing_path_is_seen_in_every_spelling(target: str, climbs: bool) -> None:
    assert judge.climbs(target) == climbs


def test_members_are_counted_as_a_reader_reads_them() -> None:
    body = rb'{"a": 1, "mess\u0061ges": 2, "messages": 3, "A": 4, "b": {"c": 1, "c": 2}}'
    assert judge.twice(body) == ["messages"]
    assert judge.twice(body, by_case=True) == ["a", "messages"]
    assert judge.twice(b'{"a": 1, "b": 2}') == []


KEY = "sk-proj-abcdefghij0123456789ABCDEFGHIJKLMNOPQRST"


@pytest.mark.parametrize("form", [*judge.PLAIN, *judge.ENCODED, *judge.RARE])
def test_a_key_is_found_in_every_writing_and_nowhere_else(form: str) -> None:
    source, needle = {**judge.PLAIN, **judge.ENCODED, **judge.RARE}[form](KEY)
    body = '{"error": {"message": "Incorrect API key provided: ' + source + '"}}'
    json.loads(body)  # a provider could have sent it
    for raw in (body.encode(), b"HTTP/1.1 400 X\r\n\r\n" + body.encode(), b"data: " + body.encode() + b"\n\n"):
        assert judge.leaks(judge.readable(raw), needle), raw
    assert not judge.leaks(judge.readable(body.replace(source, "[key removed]").encode()), needle)


def test_half_of_a_key_is_a_leak_and_its_beginning_is_not() -> None:
    assert judge.leaks(f"a {KEY[24:]} b", KEY) and judge.leaks(KEY[:30], KEY)
    assert not judge.leaks(f"{KEY[:8]}…{KEY[-4:]}", KEY)


def test_a_key_is_found_in_files_in_four_writings() -> None:
    for way in (KEY.encode(), KEY.encode().hex().encode(), KEY.encode("utf-16-le")):
        assert judge.found_in(b"x" + way + b"y", KEY)
    assert judge.found_in(b"nothing", KEY) == []


def test_a_table_without_cases_is_no_pass() -> None:
    assert not judge.every([]).held
    assert not judge.every([("a", True, ""), ("b", False, "seen")]).held
    assert "b: seen" in judge.every([("a", True, ""), ("b", False, "seen")]).observed
    assert not judge.both(Seen(True, "a"), Seen(False, "b")).held
    assert not judge.growth(41 * MB, 40 * MB).held


def test_source_that_could_run_text_is_found() -> None:
    bad = "import pickle\nfrom zipfile import ZipFile\neval('1')\nos.system('x')\nsubprocess.run('x', shell=True)\n"
    assert suspicious(bad) == ["pickle", "zipfile", "eval", "os.system", "shell="]
    assert suspicious("import json\nmodel.eval()\nsubprocess.run(['x'], shell=False)\n") == []


# -- rows


@pytest.mark.parametrize(("promise", "held", "said"), [("x", True, HELD), ("x", False, BROKEN), ("", True, HELD), ("", False, WEAK)])
def test_a_verdict_follows_from_what_was_seen_and_promised(promise: str, held: bool, said: str) -> None:
    assert verdict(promise, Seen(held, "")) == said


class Idle:
    def ready(self, *, fresh: bool) -> None: ...


def test_an_attack_that_cannot_be_carried_out_is_no_pass() -> None:
    def fails(_: object) -> Seen:
        raise OSError("gone")

    def skips(_: object) -> Seen:
        raise Skip("not here")

    rows = [perform(Attack("A1", "", "x", "", one), Idle()) for one in (fails, skips)]  # type: ignore[arg-type]
    assert [row.verdict for row in rows] == [FAILED, SKIPPED]
    assert "gone" in rows[0].observed and rows[1].observed == "not here"


def test_every_attack_says_what_it_tries_and_expects() -> None:
    assert len(ATTACKS) >= 60
    for one in ATTACKS.values():
        assert re.fullmatch(r"[ACDEFGI]\d+", one.id) and one.what and one.expected
        assert (one.run.__doc__ or "").strip(), one.id
    assert {one.section for one in ATTACKS.values()} >= set("ACDEGI")
    assert all(one.what and one.reason for one in limits.LIMITS)
    assert all(ATTACKS[name].promise == "" for name in limits.SHOWN), "a broken promise is no limit"
    with pytest.raises(ValueError, match="two attacks"):
        registry.attack("A1", "", promise="", expected="")(lambda _: Seen(True, ""))


def test_attacks_are_chosen_by_section_and_by_id() -> None:
    assert {one.section for one in chosen(("a", "C"), short=False)} == {"A", "C"}
    assert [one.id for one in chosen(("D3", "A20"), short=True)] == ["A20", "D3"]
    assert set(SHORT) < set(chosen((), short=False))


def test_replies_are_parsed_as_they_are_framed() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\njunk"
    assert [(reply.status, reply.body) for reply in wire.parse(data)] == [(200, b"hi"), (400, b"abc"), (0, b"junk")]
    assert wire.unchunked(wire.chunks(b"abcde", 2)) == (b"abcde", b"")
