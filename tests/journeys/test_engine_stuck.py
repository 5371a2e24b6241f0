"""The engine stands still: it is ended and comes back, it is said what it was at, and nothing that only waits is ended for it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.keeper.watchdog import Patience
from tests.gateway import ROOT, Gateway, free_port, wait_for
from tests.journeys.test_engine_dies import Load, add_work, check_sums, every_acknowledged
from tests.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is planted and stopped here is Linux's")

ENGINE = Path(__file__).parents[1] / "keeper" / "hanging_engine.py"
QUICK = Patience(tick_s=0.4, late_s=0.8, silent_s=2.0, computed_s=1.0, pauses_s=(0,))
LONG_S = 3 * QUICK.silent_s  # enough for the watchdog to end what it would end
PROGRAM = """
import json, sys
from pathlib import Path
from app.keeper.main import Options, run
from app.keeper.watchdog import Patience
from app.system.children import own_command
given = json.loads(sys.argv[1])
engine = [sys.executable, "-s", "-P", given.pop("engine"), "engine"]
given |= {name: Path(given[name]) for name in ("data_dir", "passphrase_file")} | {"patience": Patience(**given["patience"])}
sys.exit(run(Options(**given, window=False, command=lambda verb: engine if verb == "engine" else own_command(verb))))
"""


class Hanging(Gateway):
    """A gateway whose engine stands still for what `tests/keeper/hanging_engine.py` says."""

    def __init__(self, folder: Path, patience: Patience = QUICK) -> None:
        super().__init__(folder)
        self.patience = patience

    def start(self, port: int = 0) -> Hanging:
        given: dict[str, Any] = {
            "data_dir": str(self.folder), "port": port or free_port(), "vault": "passphrase", "passphrase_file": str(self.passphrase),
            "patience": dataclasses.asdict(self.patience), "engine": str(ENGINE),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(given)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        errors = self.process.stderr
        assert errors is not None
        self.reader = threading.Thread(target=lambda: self.said.extend(errors), daemon=True)
        self.reader.start()
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        assert self.line.startswith("ready "), (self.line, self.said, self.log())
        self.url = self.line.split()[1]
        return self

    def engine(self) -> int:
        """Its process, 0 while there is none."""
        assert self.process is not None
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and str(ENGINE).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    return int(entry.name)
        return 0

    def another(self, than: int) -> int:
        """The engine that came after this one, once it answers."""
        found = wait_for(lambda: (pid := self.engine()) not in (0, than) and pid, "another engine", 60)
        self.wait_open()
        return int(found)

    def keepers_log(self) -> str:
        return (self.folder / "logs" / "keeper.log").read_text()

    def stuck(self) -> list[dict[str, Any]]:
        """The entries of the audit log, the newest last."""
        found = [entry for entry in self.cli_json("audit", "list", "--limit", "1000") if entry["kind"] == "engine.stuck"]
        return sorted(found, key=lambda entry: int(entry["seq"]))

    def last_stuck(self) -> dict[str, Any]:
        """Once there is one: entries are committed in batches."""
        return wait_for(self.stuck, "the entry of the audit log")[-1]

    def intact(self) -> None:
        wait_for(lambda: self.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault", 60)


@contextmanager
def hanging(folder: Path, patience: Patience = QUICK) -> Iterator[Hanging]:
    one = Hanging(folder, patience)
    with one:
        one.wait_open()
        yield one


def ask(one: Gateway, key: str, says: str, model: str = "gatehouse/echo", timeout_s: float = 60) -> httpx2.Response:
    """httpx2.HTTPError when the connection breaks off."""
    body = {"model": model, "messages": [{"role": "user", "content": says}]}
    with httpx2.Client(trust_env=False, timeout=timeout_s) as http:
        return http.post(f"{one.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


def breaks_off(one: Gateway, key: str, says: str, model: str = "gatehouse/echo") -> None:
    with pytest.raises(httpx2.HTTPError):
        ask(one, key, says, model)


def begin(one: Gateway, key: str, says: str, model: str = "gatehouse/echo") -> threading.Thread:
    """Ask, and do not wait for what becomes of it."""

    def run() -> None:
        with suppress(httpx2.HTTPError):
            ask(one, key, says, model)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("how", "size"),
    [
        pytest.param("hang-python", 0, id="Python on the loop", marks=pytest.mark.slow),
        pytest.param("hang-native", 0, id="native code on the loop"),
        pytest.param("hang-pattern", 0, id="a pattern on the loop"),
        pytest.param("hang-native", 2_000_000, id="native code on a thread", marks=pytest.mark.slow),
        pytest.param("hang-early", 0, id="before the model is known", marks=pytest.mark.slow),
    ],
)
def test_an_engine_that_stands_still_is_ended_and_comes_back_and_the_request_is_named(tmp_path: Path, how: str, size: int) -> None:
    with hanging(tmp_path / "data") as one:
        bad, good = one.client("Bad tool"), one.client("Good tool")
        assert ask(one, good, "hello").status_code == 200
        first = one.engine()
        asked = begin(one, bad, how + "x" * size)
        others = [begin(one, good, f"meanwhile {n}") for n in range(5)]
        second = one.another(first)
        for thread in (asked, *others):
            thread.join(60)
            assert not thread.is_alive(), "nobody waits for ever"
        assert ask(one, good, "again").status_code == 200
        assert ask(one, bad, "something else").status_code == 200, "the client itself is not punished"

        entry = one.last_stuck()
        detail = entry["body"]["detail"]
        assert entry["actor"] == "keeper"
        model = "" if how == "hang-early" else "gatehouse/echo"
        assert (detail["client"], detail["model"], detail["endpoint"]) == ("Bad tool", model, "chat/completions")
        assert detail["request"].startswith("req_")
        assert detail["silent_s"] >= QUICK.silent_s
        assert detail["cpu_s"] >= QUICK.computed_s
        assert len(one.stuck()) == 1

        log = one.keepers_log()
        assert f"worked on request {detail['request']} of “Bad tool”" in log
        assert "killed by SIGKILL" in log
        assert [each["request"] for each in one.cli_json("status")["stuck"]] == [detail["request"]]
        assert f"worked on request {detail['request']} of “Bad tool”" in one.cli("status").stdout
        assert one.engine() == second
        one.intact()


def test_the_exchange_it_stood_still_over_says_so_and_no_row_is_lost(tmp_path: Path, up: Upstream) -> None:
    with hanging(tmp_path / "data") as one:
        add_work(one, up)
        key = one.client()
        load = Load(one.url, one.client("load"))
        wait_for(lambda: len(load.acknowledged) > 20, "some replies")
        first = one.engine()
        breaks_off(one, key, "hello", "work/hang-late")
        one.another(first)
        before = len(load.acknowledged)
        wait_for(lambda: len(load.acknowledged) > before + 20, "more replies at the same address", 60)
        rows = every_acknowledged(one, load.stop())
        check_sums(one, rows)
        request = one.last_stuck()["body"]["detail"]["request"]
        row = next(row for row in rows if row.id == request)
        assert (row.outcome, row.error, row.model) == ("interrupted", "engine_stuck", "hang-late")
        assert "did not answer for" in row.message
        assert [each.id for each in rows if each.error == "engine_stuck"] == [request], "others that broke off with it were not the cause"
        one.intact()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("hang-sleep", id="the loop waits and computes nothing"),
        pytest.param("spin-thread", id="a thread computes and the loop answers"),
        pytest.param("flood", id="it says a lot, and answers"),
    ],
)
def test_an_engine_that_only_waits_or_answers_is_not_ended(tmp_path: Path, how: str) -> None:
    with hanging(tmp_path / "data") as one:
        key = one.client()
        first = one.engine()
        asked = begin(one, key, how)
        time.sleep(LONG_S)
        assert one.engine() == first
        if how != "hang-sleep":
            asked.join(10)
            assert ask(one, key, "hello").status_code == 200
            assert one.stuck() == []
        else:
            os.kill(first, signal.SIGKILL)
        assert "did not answer" not in one.keepers_log()


@pytest.mark.parametrize("who", [*(pytest.param(who, marks=pytest.mark.slow) for who in ("engine", "keeper")), "both"])
def test_what_was_stopped_for_long_goes_on(tmp_path: Path, who: str) -> None:
    """A debugger, a job that was suspended, a machine that slept. The engine computes before and after it, so that it is asked."""
    stop_for(tmp_path, who, QUICK, LONG_S)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("who", ["engine", "keeper", "both"])
def test_what_was_stopped_for_more_than_a_minute_goes_on(tmp_path: Path, who: str) -> None:
    stop_for(tmp_path, who, Patience(), 75)


def stop_for(folder: Path, who: str, patience: Patience, seconds: float) -> None:
    with hanging(folder / "data", patience) as one:
        key = one.client()
        first = one.engine()
        assert ask(one, key, "spin-thread").status_code == 200
        assert one.process is not None
        stopped = [pid for name, pid in (("engine", first), ("keeper", one.process.pid)) if who in (name, "both")]
        time.sleep(3.3 * patience.tick_s)  # it is asked again and again, so that a question may be open when it is stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        time.sleep(2 * patience.silent_s)
        assert one.engine() == first
        assert ask(one, key, "hello").status_code == 200
        assert "did not answer" not in one.keepers_log()


@pytest.mark.slow
def test_a_stopped_keeper_finds_an_engine_that_stands_still_only_after_it_looked_for_long_enough(tmp_path: Path) -> None:
    """The time in which it did not look does not count; afterwards it does."""
    with hanging(tmp_path / "data") as one:
        first = one.engine()
        assert one.process is not None
        begin(one, one.client(), "hang-native")
        time.sleep(3 * QUICK.tick_s)  # the question is open by now, and not for long enough
        os.kill(one.process.pid, signal.SIGSTOP)
        time.sleep(LONG_S)
        os.kill(one.process.pid, signal.SIGCONT)
        one.another(first)
        assert one.last_stuck()["body"]["detail"]["silent_s"] < LONG_S


@pytest.mark.slow
def test_a_busy_machine_ends_no_engine_that_serves(tmp_path: Path, up: Upstream) -> None:
    spinners = [subprocess.Popen(["nice", "-n", "5", sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with hanging(tmp_path / "data") as one:
            add_work(one, up)
            first = one.engine()
            load = Load(one.url, one.client())
            assert ask(one, one.client("large"), "y" * 20_000_000).status_code == 200
            time.sleep(2 * LONG_S)
            assert len(load.stop()) > 0
            assert one.engine() == first
            assert "did not answer" not in one.keepers_log()
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def test_an_engine_that_does_not_hear_the_keeper_any_more_is_ended_while_it_computes(tmp_path: Path) -> None:
    """Its loop serves, but nothing it asks the keeper comes back: no new connection, no key. No request is to blame, and none is named."""
    with hanging(tmp_path / "data") as one:
        key = one.client()
        first = one.engine()
        ask(one, key, "deaf spin-thread")
        one.another(first)
        detail = one.last_stuck()["body"]["detail"]
        assert (detail["request"], detail["client"], detail["model"]) == ("", "", "")
        assert "worked and did not say on which request" in one.keepers_log()


@pytest.mark.slow
def test_a_request_that_is_repeated_ends_in_pauses_and_not_in_giving_up(tmp_path: Path) -> None:
    patience = dataclasses.replace(QUICK, pauses_s=(0, 0, 8))
    with hanging(tmp_path / "data", patience) as one:
        key = one.client("Bad tool")
        for number in range(3):
            first = one.engine()
            breaks_off(one, key, "hang-native")
            if number < 2:
                one.another(first)
        wait_for(lambda: "3 times in a row" in one.keepers_log(), "the keeper to see its end")
        # In the pause others are told at once, and when to come again.
        refused = wait_for(lambda: (told := ask(one, key, "hello")).status_code == 503 and told, "an answer in the pause")
        assert "several times in a row" in refused.json()["error"]["message"]
        assert 5 <= int(refused.headers["retry-after"]) <= 10
        one.another(first)
        assert ask(one, key, "hello").status_code == 200
        # It is not given up.
        log = one.keepers_log()
        assert "it is started again in 8 s" in log
        assert "3 times it was requests of “Bad tool” for gatehouse/echo. Block “Bad tool”" in log
        assert "is not started again" not in log
        assert "Block “Bad tool”" in one.cli("status").stdout
        wait_for(lambda: len(one.stuck()) == 3, "three entries")
        one.intact()


def test_its_own_ends_are_counted_apart(tmp_path: Path) -> None:
    """Four ends of its own, one for standing still, one more of its own: a sixth end of any kind would have been the last."""
    with hanging(tmp_path / "data") as one:
        key = one.client()
        for n in range(6):
            first = one.engine()
            if n == 3:
                breaks_off(one, key, "hang-native")
            else:
                os.kill(first, signal.SIGKILL)
            one.another(first)
        log = one.keepers_log()
        assert "is not started again" not in log
        assert log.count("stood still") + log.count("did not answer for") == 1
        assert len(one.stuck()) == 1
        assert ask(one, key, "hello").status_code == 200


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_with_the_times_of_every_day(tmp_path: Path) -> None:
    with hanging(tmp_path / "data", Patience()) as one:
        first = one.engine()
        began = time.monotonic()
        begin(one, one.client(), "hang-native")
        one.another(first)
        assert time.monotonic() - began >= 20
        assert one.last_stuck()["body"]["detail"]["silent_s"] >= 20
