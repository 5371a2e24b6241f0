"""Lines that a process can cause do not push out the ones that matter."""

from __future__ import annotations

from pathlib import Path

from app.system.logs import Claims, Log, rotate, tail


def test_a_flood_is_cut_and_counted_and_what_comes_later_is_written() -> None:
    lines: list[str] = []
    now = [0.0]
    claims = Claims(lines.append, burst=3, every_s=10.0, clock_s=lambda: now[0])
    for number in range(1000):
        claims.line(f"line {number}")
    assert lines == ["line 0", "line 1", "line 2"]
    now[0] = 10.0
    claims.line("later")
    assert lines[3:] == ["later (997 lines of our processes before this one were left out)"]
    now[0] = 1e6
    for number in range(4):
        claims.line(f"again {number}")
    assert lines[4:] == ["again 0", "again 1", "again 2"], "a long silence saves up no more than the first time"


def test_a_clock_that_goes_back_lets_nothing_through() -> None:
    lines: list[str] = []
    now = [100.0]
    claims = Claims(lines.append, burst=1, every_s=10.0, clock_s=lambda: now[0])
    claims.line("one")
    now[0] = 0.0
    claims.line("two")
    assert lines == ["one"]


def test_what_is_put_aside_of_a_huge_log_is_its_end(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    log = Log(path)
    for number in range(2000):
        log.line(f"number {number}")
    log.close()
    assert rotate(path, 1000)
    aside = path.with_name("engine.log.1")
    assert aside.stat().st_size <= 1000
    assert tail(aside, 1)[0].endswith("number 1999")
    assert path.stat().st_size == 0
