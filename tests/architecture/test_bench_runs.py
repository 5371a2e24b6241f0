"""The benchmark works: its parts give figures with tiny counts, and refuse a number when something was wrong."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import nginx, report
from tests.bench.__main__ import PARTS
from tests.bench.figures import Figure, Scale, collect
from tests.bench.load import Ask, RefusedError, Side, burst, generate
from tests.bench.load import streams as many_streams
from tests.bench.processes import Meter
from tests.bench.rig import Rig, Stub, answer, rig, stub

TINY = Scale(
    rounds=1, burst_s=0.3, connections=(2,), streams=10, chunks=30, stream_rounds=1, starts=1, leaves=2, windows=1, idle_s=0.2,
    requests=(50, 100), ledgers=(2_000,), asks=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Stub]:
    with stub() as one:
        yield one


def test_both_generators_count_what_the_upstream_answered_and_the_meter_sees_its_work(provider: Stub) -> None:
    with Meter(provider.family) as meter:
        seen = generate(provider.side(), Ask(), 2, 0.5)
    assert seen.requests > 20 and 0 < seen.p50_us <= seen.p99_us
    assert 1 < meter.total_us() / seen.requests < 10_000
    assert burst(provider.side(), Ask(), 2, 1).requests > 20


def test_streams_are_counted_while_all_of_them_run(provider: Stub) -> None:
    moments: list[tuple[str, int]] = []
    seen = many_streams(provider.side(), Ask("m?chunks=20&every_ms=20", stream=True), 5, 0.05, lambda *moment: moments.append(moment))
    assert seen.requests == 5
    assert [name for name, _ in moments] == ["steady", "ending"]
    assert moments[0][1] < moments[1][1] <= 5 * 23
    assert 10_000 < seen.interval_p50_us < 100_000


@pytest.mark.parametrize("load", [burst, generate])
def test_one_wrong_answer_refuses_the_figure(provider: Stub, load: object) -> None:
    wrong = Side("direct", provider.port, "sk-not-the-key")
    with pytest.raises(RefusedError, match="status"):
        load(wrong, Ask(), 1, 1)  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="401"):
        answer(wrong)


def test_nobody_there_refuses_the_figure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(RefusedError):
        generate(Side("direct", port, "k"), Ask(), 1, 0.2)


def test_a_reply_that_is_cut_off_refuses_the_figure() -> None:
    class Cut(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cut) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RefusedError, match="cut off"):
            generate(Side("direct", server.server_port, "k"), Ask(), 1, 0.2)
        server.shutdown()


@pytest.mark.skipif(nginx.installed() is None, reason="nginx is not installed")
def test_nginx_gives_the_same_answer(provider: Stub, tmp_path: Path) -> None:
    with nginx.nginx(tmp_path / "nginx", provider.port, provider.key) as (side, family):
        assert answer(side) == answer(provider.side())
        with Meter(family) as meter:
            generate(side, Ask(), 2, 0.3)
        assert meter.total_us() > 0


def test_the_report_says_what_was_met_missed_and_refused() -> None:
    figures = [
        Figure(part="a", name="quick", unit="us", values={"gateway": [1.0, 3.0, 2.0], "nginx": [1.0]}, goal=2),
        Figure(part="a", name="slow", unit="us", values={"gateway": [3.0]}, goal=2, aim=1),
        Figure(part="b", name="broken", unit="", refused="REFUSED: 3 x status 502"),
    ]
    text = report.table({"cores": 2}, "python -m tests.bench", figures)
    assert "<= 2: met" in text and "<= 2, aim 1: MISSED" in text and "3 x status 502" in text
    assert [figure.met for figure in figures] == [True, False, None]
    assert '"low": 1.0' in report.as_json({}, "", figures)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("bench")) as made:
        yield made


LONG = [pytest.param(part, marks=pytest.mark.slow) for part in PARTS if part not in ("requests", "leaving")]


@pytest.mark.parametrize("part", ["requests", "leaving", *LONG])
def test_every_part_gives_figures_of_the_real_gateway(one: Rig, part: str) -> None:
    if part == "window" and not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("no virtual display here")
    figures = list(collect([part], PARTS, one, TINY, lambda _: None))
    assert figures and not [figure.refused for figure in figures if figure.refused]
    assert all(figure.median("gateway") is not None or "direct" in figure.values for figure in figures)
    assert any((figure.median("gateway") or 0) > 0 for figure in figures)
