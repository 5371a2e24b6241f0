"""The engine is killed while requests flow: the port stays, the engine comes back, nothing acknowledged is lost or counted twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx2
import pytest

from app.control.contract import Exchange
from app.store import replay
from app.system.paths import Paths
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream

A_SECOND = 200


class Load:
    """Threads that ask, together about `A_SECOND` times a second, and note the call id of every reply they have whole."""

    def __init__(self, url: str, key: str, threads: int = 8) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url, key, threads / A_SECOND), daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, url: str, key: str, every_s: float) -> None:
        body = b'{"model":"work/gpt-4o-mini","messages":[{"role":"user","content":"x"}]}'
        stream = b'{"model":"work/gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"x"}]}'
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        due = time.monotonic()
        with httpx2.Client(trust_env=False, timeout=20) as http:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + every_s, time.monotonic() - 0.2)
                sent = stream if random.random() < 0.3 else body
                try:
                    reply = http.post(f"{url}/v1/chat/completions", content=sent, headers=headers)
                except httpx2.HTTPError:
                    time.sleep(0.02)
                    continue
                whole = reply.text.endswith("[DONE]\n\n") if sent is stream else reply.status_code == 200
                if whole:
                    self.acknowledged.append(reply.headers["x-gatehouse-call-id"])

    def stop(self) -> set[str]:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        return set(self.acknowledged)


def every_row(one: Gateway) -> list[Exchange]:
    with one.control() as control:
        rows: list[Exchange] = []
        before: str | None = None
        while True:
            page = control.activity(limit=1000, before=before)
            rows += page.rows
            if page.next is None:
                return rows
            before = page.next


def every_acknowledged(one: Gateway, acknowledged: set[str]) -> list[Exchange]:
    """All rows, once what was acknowledged is among them; none is there twice."""

    def recorded() -> list[Exchange]:
        rows = every_row(one)
        return rows if acknowledged <= {row.id for row in rows} else []

    rows: list[Exchange] = wait_for(recorded, "every acknowledged row")
    assert len(rows) == len({row.id for row in rows}), "no row twice"
    return rows


def check_sums(one: Gateway, rows: list[Exchange]) -> None:
    """What Usage says is the sum over the rows."""
    with one.control() as control:
        found = control.usage(("model",))
    assert sum(group.requests for group in found) == len(rows)
    assert sum(group.input for group in found) == sum(row.tokens.input or 0 for row in rows)
    assert sum(group.output for group in found) == sum(row.tokens.output or 0 for row in rows)
    assert sum(group.cost_microusd for group in found) == sum(row.cost_microusd or 0 for row in rows)


def check_empty_journal(one: Gateway, key: bytes) -> None:
    """Nothing waits in the journal: what the run before left is in the ledger. Needs a gateway without load."""
    found = replay.read(Paths(one.folder).journal, key)
    assert (found.replay.closed, found.replay.interrupted, found.replay.damage) == ((), (), "")
    assert len(found.segments) == 1


def add_work(one: Gateway, up: Upstream) -> None:
    one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)


def test_a_killed_engine_comes_back_behind_the_same_port(tmp_path: Path, up: Upstream) -> None:
    with gateway(tmp_path / "data") as one:
        add_work(one, up)
        load = Load(one.url, one.client())
        wait_for(lambda: len(load.acknowledged) > 20, "some replies")
        first = one.pids()["engine"]
        os.kill(first, signal.SIGKILL)
        before = len(load.acknowledged)
        wait_for(lambda: one.pids().get("engine", first) != first, "another engine")
        wait_for(lambda: len(load.acknowledged) > before + 20, "more replies at the same address")
        acknowledged = load.stop()
        check_sums(one, every_acknowledged(one, acknowledged))
        kinds = [entry["kind"] for entry in one.cli_json("audit", "list")]
        assert "gateway.crash_found" in kinds
        wait_for(lambda: one.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault")


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_killing_keeper_or_engine_at_random_loses_nothing(tmp_path: Path, up: Upstream, rounds: int) -> None:
    one = Gateway(tmp_path / "data").start()
    one.wait_open()
    add_work(one, up)
    key, journal_key = one.client(), one.keys()["journal"]
    port = int(one.url.rpartition(":")[2])
    acknowledged: set[str] = set()
    killed: dict[str, int] = {}
    for _ in range(rounds):
        load = Load(one.url, key)
        time.sleep(random.uniform(0.05, 0.9))
        pids = one.pids()
        which = random.choice(["keeper", "engine", "both"])
        killed[which] = killed.get(which, 0) + 1
        if which in ("engine", "both") and "engine" in pids:  # it may just be coming back from the last time
            os.kill(pids["engine"], signal.SIGKILL)
        if which in ("keeper", "both"):
            os.kill(pids["keeper"], signal.SIGKILL)
            acknowledged |= load.stop()
            one.stop()
            left = list(pids.values())
            wait_for(lambda left=left: not any(alive(pid) for pid in left), "the others to follow their keeper", 20)
            one.start(port)
            one.wait_open()
            check_empty_journal(one, journal_key)
        else:
            time.sleep(random.uniform(0.0, 0.6))
            acknowledged |= load.stop()
    one.wait_open()
    print(f"killed {killed}, {len(acknowledged)} requests were acknowledged")
    assert len(acknowledged) > 10 * rounds
    rows = every_acknowledged(one, acknowledged)
    wait_for(lambda: one.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault", 60)
    check_sums(one, rows)
    assert one.stop() == 0
    check_empty_journal(one, journal_key)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_quit_leaves_no_process_behind(tmp_path: Path, up: Upstream) -> None:
    one = Gateway(tmp_path / "data")
    one.start()
    one.wait_open()
    pids = one.pids()
    assert {"keeper", "engine"} <= set(pids)
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < 20
    wait_for(lambda: not any(alive(pid) for pid in pids.values()), "no process of ours", 20)
