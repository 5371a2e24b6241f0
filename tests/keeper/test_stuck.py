"""What the keeper makes of an engine that stands still: a puppet computes, and answers nothing."""

from __future__ import annotations

import random
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.keeper.watchdog import Patience
from app.system.shared_page import SIZE, SLOT_BYTES, of_text, record
from tests.keeper.stage import Puppeteer, Stage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="puppets speak over unix sockets")

PATIENCE = asdict(Patience(tick_s=0.2, late_s=0.8, silent_s=1.0, computed_s=0.5, pauses_s=(0, 0, 7)))
WINDOW: dict[str, Any] = {"window": True, "environment": {"DISPLAY": ":77"}, "vault": "session", "patience": PATIENCE}
SAID = ("req_01", "Tool", "chat/completions", "work/m")


def stuck(stage: Stage, page: bytes = b"") -> tuple[Puppeteer, dict[str, Any]]:
    """An engine that said this of itself, and is ended; and its boot message."""
    engine = stage.child("engine", 30)
    boot = engine.message("boot")
    engine.order(answer=True)
    if page:
        engine.order(page=page.hex())
        engine.wait(lambda line: line.get("done") == "page")
    engine.order(spin=True)
    engine.message("ping", 30)
    engine.gone(30)
    return engine, boot


def test_the_window_is_told_what_it_was_and_its_own_ends_are_not_counted(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **WINDOW) as stage:
        window = stage.child("gui")
        _, boot = stuck(stage, record(1, SAID))
        assert boot["stuck"] == []
        told = window.message("engine", 30, state="crashed")
        assert (told["unanswering"], told["next_s"], told["crashes_us"], told["restarts"]) == (True, 0, [], 1)
        assert (told["stuck"][0]["request"], told["stuck"][0]["client"], told["stuck"][0]["model"]) == ("req_01", "Tool", "work/m")
        assert "worked on request req_01 of “Tool” for work/m" in told["exit"]
        second = stage.child("engine", 30)
        heard = second.message("boot")
        assert [(one["request"], one["noted"]) for one in heard["stuck"]] == [("req_01", False)]
        # It says that the audit log has it; one that dies is told as what it is, and the next one need not write it again.
        second.send("stuck_noted", at_us=heard["stuck"][0]["at_us"] + 1)
        second.send("stuck_noted", at_us="x")
        second.send("stuck_noted", at_us=heard["stuck"][0]["at_us"])
        second.order(answer=True)
        window.message("engine", 30, state="up")
        second.order(kill=signal.SIGKILL)
        died = window.message("engine", 30, state="crashed")
        assert (died["unanswering"], len(died["crashes_us"]), len(died["stuck"]), died["exit"]) == (False, 1, 1, "killed by SIGKILL")
        third = stage.child("engine", 30)
        assert [one["noted"] for one in third.message("boot")["stuck"]] == [True]


def test_in_a_long_pause_a_person_may_start_it_at_once(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **WINDOW) as stage:
        window = stage.child("gui")
        for _ in range(3):
            stuck(stage, record(1, SAID))
        told = window.message("engine", 30, state="crashed", next_s=7)
        assert told["unanswering"]
        window.send("start_engine")
        engine = stage.child("engine", 5)
        engine.message("boot")
        engine.order(answer=True)
        window.message("engine", 30, state="up")
        assert stage.log().count("stood still 3 times in a row: it is started again in 7 s") == 1


def test_whatever_is_on_the_page_is_shown_as_text_and_stops_nobody(tmp_path: Path) -> None:
    chance = random.Random(7)
    pages = [
        bytes([1]) * SIZE,
        chance.randbytes(SIZE),
        of_text(1, b"\x1b[2J\x1f\xff\xfe\x1f\n\r\x1f\xe2\x80\xae" + b"\x1f" * 400),
        b"".join(of_text(number, bytes([10 + number]) * 600).ljust(SLOT_BYTES, b"\0") for number in range(3)),
    ]
    patience = PATIENCE | {"pauses_s": (0,)}
    with Stage(tmp_path / "data", **(WINDOW | {"patience": patience})) as stage:
        window = stage.child("gui")
        for page in pages:
            stuck(stage, page)
            told = window.message("engine", 30, state="crashed")
            assert told["exit"].isprintable()
            for one in told["stuck"]:
                assert all(
                    text.isprintable() and len(text) <= 200 for text in (one["request"], one["client"], one["endpoint"], one["model"])
                )
        assert all(line.isprintable() for line in stage.log().splitlines())
        assert len(told["stuck"]) == len(pages)


@pytest.mark.slow
def test_an_engine_that_is_ready_late_is_not_ended_before(tmp_path: Path) -> None:
    """It may compute for as long as it needs until it says that it is ready: nothing asks it."""
    with Stage(tmp_path / "data", vault="session", patience=PATIENCE) as stage:
        engine = stage.child("engine")
        engine.message("boot")
        engine.order(spin=True)
        with pytest.raises(AssertionError, match="nothing of the kind came"):
            engine.message("ping", 5)
        engine.order(answer=True)
        engine.message("ping", 30)


@pytest.mark.slow
def test_one_that_stands_still_at_the_end_is_ended_with_the_rest(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", patience=PATIENCE | {"silent_s": 60.0}) as stage:
        engine = stage.child("engine")
        engine.message("boot")
        engine.order(answer=True)
        stage.until(lambda: stage.printed)
        engine.stubborn()
        engine.order(ignore=signal.SIGTERM)
        engine.wait(lambda line: line.get("done") == "ignore")
        engine.order(spin=True)
        assert stage.end() == 0
        assert "did not answer" not in stage.log()
