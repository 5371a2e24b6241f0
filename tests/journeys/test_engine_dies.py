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

from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream


class Load:
    """Threads that ask and note the call id of every reply they have whole."""

    def __init__(self, url: str, key: str, threads: int = 4) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url, key), daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, url: str, key: str) -> None:
        body = b'{"model":"work/gpt-4o-mini","messages":[{"role":"user","content":"x"}]}'
        stream = b'{"model":"work/gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"x"}]}'
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        with httpx2.Client(trust_env=False, timeout=20) as http:
            while not self._stop.is_set():
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


def every_row(one: Gateway) -> list[str]:
    with one.control() as control:
        ids: list[str] = []
        before: str | None = None
        while True:
            page = control.activity(limit=1000, before=before)
            ids += [row.id for row in page.rows]
            if page.next is None:
                return ids
            before = page.next


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
        ids = wait_for(lambda: acknowledged <= set(got := every_row(one)) and got, "every acknowledged row")
        assert len(ids) == len(set(ids)), "no row twice"
        kinds = [entry["kind"] for entry in one.cli_json("audit", "list")]
        assert "gateway.crash_found" in kinds
        wait_for(lambda: one.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault")


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_killing_keeper_or_engine_at_random_loses_nothing(tmp_path: Path, up: Upstream, rounds: int) -> None:
    one = Gateway(tmp_path / "data")
    one.start()
    one.wait_open()
    add_work(one, up)
    key = one.client()
    port = int(one.url.rpartition(":")[2])
    acknowledged: set[str] = set()
    for _ in range(rounds):
        load = Load(one.url, key)
        time.sleep(random.uniform(0.2, 0.8))
        pids = one.pids()
        which = random.choice(["keeper", "engine", "both"])
        if which in ("engine", "both"):
            os.kill(pids["engine"], signal.SIGKILL)
        if which in ("keeper", "both"):
            os.kill(pids["keeper"], signal.SIGKILL)
            acknowledged |= load.stop()
            one.stop()
            wait_for(lambda pid=pids["engine"]: not alive(pid), "the engine to follow its keeper", 8)
            one.start(port)
            one.wait_open()
        else:
            time.sleep(0.3)
            acknowledged |= load.stop()
            one.wait_open()
    assert len(acknowledged) > 10 * rounds
    ids = wait_for(lambda: acknowledged <= set(got := every_row(one)) and got, "every acknowledged row")
    assert len(ids) == len(set(ids))
    wait_for(lambda: one.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault")
    usage = one.cli_json("usage", "--by", "model")
    assert sum(group["requests"] for group in usage) == len(ids)
    assert one.stop() == 0


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
