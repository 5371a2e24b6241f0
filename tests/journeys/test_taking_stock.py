"""From requests to sums, files, prices and retention, by the command line against a real gateway."""

from __future__ import annotations

import csv
import json
import signal
import stat
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from app.control.contract import RowFilter
from app.core.errors import AppError
from app.store import ledger
from app.store.database import Store
from app.system.paths import Paths
from tests.gateway import ROOT, gateway, wait_for
from tests.store.rows import row, rows


def test_requests_are_summed_priced_taken_out_and_kept_within_limits(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    def ask(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "app", *words, "--data-dir", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    with gateway(folder) as one, one.control() as client:
        wait_for(lambda: client.snapshot().state == "running", "the store to open")
        for _ in range(3):
            client.echo()
        rows = wait_for(lambda: len(found := client.activity(limit=10).rows) == 3 and found, "the rows to be recorded")
        for by in ("hour", "day", "month"):
            assert sum(row["requests"] for row in json.loads(ask("usage", "--by", f"{by},model", "--json"))) == 3

        since_us, until_us = rows[-1].opened_us - 60_000_000, rows[0].opened_us + 60_000_000
        assert sum(minute.requests for minute in client.activity_minutes(since_us, until_us)) == 3
        assert client.activity_minutes(since_us, until_us, RowFilter(clients=("nobody",))) == []
        place = client.activity_row(rows[0].id)
        assert (place.row, place.refusal) == (rows[0], None)
        assert client.audit_entry(place.batch).entry.kind == "ledger.batch"
        for missing in (lambda: client.activity_row("req_" + "0" * 26), lambda: client.egress_record(7)):
            with pytest.raises(AppError, match="unknown_name"):
                missing()
        headers = {"authorization": "Bearer sk-gh-wrong", "content-type": "application/json"}
        request = Request(one.url + "/v1/chat/completions", b"{}", headers)
        with pytest.raises(HTTPError) as refused:
            urlopen(request, timeout=20)
        refused.value.close()
        only = RowFilter(statuses=("refused",))
        turned_away = wait_for(lambda: client.activity(limit=1, only=only).rows, "the refusal to be recorded")[0]
        written = wait_for(lambda: client.activity_row(turned_away.id).refusal, "the refusal to be written down")
        assert client.audit_entry(written).entry.kind == "key.refused"

        target = tmp_path / "out.csv"
        assert json.loads(ask("export", str(target), "--json"))["rows"] == 4
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        with target.open(newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == [*(row.id for row in rows[::-1]), turned_away.id]
        assert "exists already" in ask("export", str(target), code=1)
        assert {row.status for row in rows} == {200}
        lines = ask("export", "-", "--form", "jsonl", "--status", "200").splitlines()
        assert [json.loads(line)["id"] for line in lines] == [row.id for row in rows][::-1]
        assert ask("export", "-", "--client", "nobody", "--form", "jsonl") == ""
        assert "a status is" in ask("export", str(tmp_path / "x"), "--status", "teapot", code=1).lower()
        assert not (tmp_path / "x").exists()
        assert not list(tmp_path.glob("x*.part"))

        account = rows[0].account
        assert "costs: in 3, out 5.5" in ask("price", "set", account, "-", "--input", "3", "--output", "5.5")
        assert json.loads(ask("reprice", "--json"))["changed"] == 0  # nothing is unpriced
        found = json.loads(ask("reprice", "--all", "--json"))
        assert (found["looked_at"], found["changed"], found["before_microusd"]) == (4, 3, 0)  # the refused one cost nothing
        after = client.activity(limit=10, only=RowFilter(statuses=("completed",))).rows
        assert all(row.price.startswith("own ") for row in after)
        assert sum(row.cost_microusd or 0 for row in after) == found["after_microusd"] > 0
        assert client.usage(())[0].cost_microusd == found["after_microusd"]
        assert client.echo().row.price.startswith("own ")
        assert account in ask("price", "list")
        ask("price", "remove", account, "-")
        assert client.echo().row.price == "local"

        assert "no limit" in ask("retention", "set", "--days", "30", "--size", "0")
        assert json.loads(ask("retention", "run", "--json"))["rows"] == 0
        assert "ten million" in ask("retention", "set", "--size", "1k", code=1)
        kinds = [entry.kind for entry in client.audit(limit=100).entries]
        assert {"ledger.exported", "ledger.repriced", "price.set", "setting.changed"} <= set(kinds)
        folded = client.audit(limit=100, fold=True)
        assert {entry.kind for entry in folded.entries} == set(kinds) - {"ledger.batch"}
        assert sum(run.entries or 0 for run in folded.runs) == kinds.count("ledger.batch") > 0
        assert sum(run.requests or 0 for run in folded.runs) == len(client.activity(limit=100).rows)
        assert {entry.kind for entry in client.audit(text="price set", titled=("price.set",)).entries} == {"price.set"}
        assert client.verify_audit().state == "intact"


def test_an_export_that_is_interrupted_leaves_no_file_and_is_written_down(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        key = one.keys()["db"]
    with closing(Store.open(Paths(one.folder).database, key)) as store, store.write() as connection:
        ledger.record(connection, rows(60_000))
    target = tmp_path / "out" / "rows.csv"
    target.parent.mkdir()
    with one:
        one.wait_open()
        command = [sys.executable, "-m", "app", "export", str(target), "--data-dir", str(one.folder)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
            wait_for(
                lambda: running.poll() is not None or any(part.stat().st_size for part in target.parent.glob("rows.csv.*.part")),
                "the first rows",
                60,
            )
            running.send_signal(signal.SIGINT)
            assert running.wait(30) == 130
            assert running.stderr is not None and running.stderr.read() == ""
        assert list(target.parent.iterdir()) == []

        def written() -> list[dict[str, object]]:
            return [entry["body"]["detail"] for entry in one.cli_json("audit", "list") if entry["kind"] == "ledger.exported"]

        (said,) = wait_for(written, "its entry")
        assert said["finished"] is False
        assert isinstance(said["rows"], int) and said["rows"] < 60_000


@pytest.mark.parametrize(("zone", "ahead"), [("XXX-05:30", timedelta(hours=5, minutes=30)), ("XXX+09:30", -timedelta(hours=9, minutes=30))])
def test_days_of_the_gateway_are_those_of_a_half_hour_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, ahead: timedelta
) -> None:
    """Rows around local midnight of a day long ago, recorded as the engine does and summed by the running gateway."""
    monkeypatch.setenv("TZ", zone)
    midnight = datetime(2026, 3, 10, tzinfo=timezone(ahead))
    at_us = int(midnight.timestamp()) * 1_000_000
    with gateway(tmp_path / "data") as one:
        key = one.keys()["db"]
    with closing(Store.open(Paths(one.folder).database, key)) as store, store.write() as connection:
        made = [row(1, at_us=at_us - 60_000_000), row(2, at_us=at_us), row(3, at_us=at_us + 60_000_000)]
        ledger.record(connection, made, zone=timezone(ahead))
    with one:
        one.wait_open()
        assert [(sums["key"], sums["requests"]) for sums in one.cli_json("usage", "--by", "day", "--since", "2026-03-09")] == [
            (["2026-03-09"], 1),
            (["2026-03-10"], 2),
        ]
        assert sum(sums["requests"] for sums in one.cli_json("usage", "--since", "2026-03-10", "--until", "2026-03-10")) == 2
        hours = [sums["key"][0] for sums in one.cli_json("usage", "--by", "hour", "--since", "2026-03-09", "--until", "2026-03-10")]
        assert [hour.partition("T")[2][:5] for hour in hours] == ["23:00", "00:00"]
