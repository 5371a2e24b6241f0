"""A real keeper between an engine that asks and a person who answers, in the window or on the command line."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from app.core import wishes
from app.core.errors import AppError
from app.keeper.consent import Consent
from app.keeper.grants import NEW_MAX, ROOM, Grants
from app.keeper.remembered import Remembered
from tests.keeper.stage import Stage
from tests.keeper.test_keeper import WINDOW, dial, up

PLACE: dict[str, Any] = {"scheme": "https", "host": "api.example.com", "port": 443, "local": False}
WISH = {"what": "destination", "subject": "work", "kind": "openai-compatible", "base_url": "https://api.example.com/v1", "local": False}


def test_the_window_wants_it_on_its_own_channel(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        window = stage.child("gui")
        assert window.message("waiting")["items"] == []
        assert window.ask("grant", **WISH)["number"] == 1
        assert engine.ask("declare", account="work", **PLACE)["held"] is False
        assert window.message("declared")["account"] == "work"
        assert "destination added (window): work" in stage.log()
        engine.ask("withdraw", account="work")
        assert engine.ask("declare", account="work", **PLACE)["held"] is True, "it was good once"


def test_the_window_is_told_what_waits_and_answers(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, _ = up(stage)
        window = stage.child("gui")
        here: dict[str, Any] = {"scheme": "http", "host": "127.0.0.1", "port": upstream.getsockname()[1], "local": True}
        engine.ask("declare", account="near", **here)
        told = window.wait(lambda line: bool((line.get("message") or {}).get("items")))["message"]
        (item,) = told["items"]
        assert (item["subject"], item["value"]) == ("near", f"http://127.0.0.1:{here['port']} (this machine or its network)")
        assert dial(engine, "near")["error"]["code"] == "destination_held"
        assert window.ask("confirm", number=99)["error"]["code"] == "unknown_name"
        assert "error" not in window.ask("confirm", number=item["number"])
        assert engine.message("answered")["answer"] == "confirmed"
        assert dial(engine, "near")["address"] == f"127.0.0.1:{here['port']}"
        upstream.accept()[0].close()
        # The next engine declares it, and it is as it was in this run.
        engine.order(kill=signal.SIGKILL)
        engine, _ = up(stage)
        assert engine.ask("declare", account="near", **here)["held"] is False


def test_another_address_puts_an_account_off_until_a_person_answers_and_the_old_one_is_its_own_again(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, _ = up(stage)
        here: dict[str, Any] = {"scheme": "http", "host": "127.0.0.1", "port": upstream.getsockname()[1], "local": True}
        stage.declare(engine, account="work", **here)
        assert engine.ask("declare", account="work", **PLACE)["held"] is True
        assert dial(engine, "work")["error"]["code"] == "destination_held"
        (item,) = stage.steer("waiting")["items"]
        assert engine.ask("declare", account="work", **here)["held"] is False
        assert "error" not in dial(engine, "work")
        (kept,) = stage.steer("waiting")["items"]
        assert (kept["number"], kept["asked"]) == (item["number"], False), "what was asked for stays in sight"
        # Confirmed after all: it is remembered, and the account goes where it says it goes.
        stage.steer("confirm", number=item["number"])
        assert dial(engine, "work")["address"] == f"127.0.0.1:{here['port']}"
        assert engine.ask("declare", account="work", **PLACE)["held"] is False
        # Refused: the same is not asked for again and again by the same engine.
        other = PLACE | {"host": "other.example.com"}
        engine.ask("declare", account="work", **other)
        stage.steer("refuse", number=stage.steer("waiting")["items"][0]["number"])
        for _ in range(3):
            assert engine.ask("declare", account="work", **other)["held"] is True
        assert stage.steer("waiting")["items"] == []
        assert dial(engine, "work")["error"]["code"] == "destination_held"


def test_a_dialog_on_the_screen_needs_a_person(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        assert engine.ask("unlock", passphrase=None)["error"]["code"] == "confirmation_needed"
        assert engine.ask("unlock", passphrase="a guess in the hope of a dialog")["error"]["code"] == "confirmation_needed"
        (item,) = stage.steer("waiting")["items"]
        assert (item["what"], item["kind"]) == ("unlock", "refused")
        stage.steer("confirm", number=item["number"])
        assert engine.ask("unlock", passphrase=None)["state"] == "ready"
        assert engine.ask("unlock", passphrase=None)["error"]["code"] == "confirmation_needed"


def test_a_setting_is_changed_by_a_wish_and_known_afterwards(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        change = {"what": "client.identifiers", "subject": "tool", "since": 5, "value": "pass"}
        assert engine.ask("change", **change)["error"]["code"] == "confirmation_needed"
        stage.want("client.identifiers", "tool", "pass")
        assert "error" not in engine.ask("change", **change)
        assert "error" not in engine.ask("change", **change), "it is so already"
        found = [["client.identifiers", "tool", since, value, None] for since in (5, 6) for value in ("pass", "pseudonym", "remove")]
        assert engine.ask("settings", found=found)["used"] == [
            ["pass", None], ["pass", "pseudonym"], ["pass", "remove"], ["pseudonym", "pass"], ["pseudonym", None], ["pseudonym", "remove"],
        ]  # fmt: skip
        assert engine.ask("settings", found=found)["wished"] == [True] * 3 + [False] * 3
        stage.want("client.identifiers", "other", "pass")
        assert engine.ask("change", **change | {"since": 6})["error"]["code"] == "confirmation_needed"


@pytest.mark.parametrize(
    "found",
    [
        None, "x", {}, [[]], [None], [["audit.keep_days", "", 0, "1"]], [["audit.keep_days", "", 0, 1, None]],
        [["audit.keep_days", "x", 0, "1", None]],
        [["unlock", "", 0, "", None]], [["nothing", "", 0, "", None]], [["client.content", "a\x1b", 0, "on", None]],
        [["audit.keep_days", "", -1, "1", None]], [["audit.keep_days", "", 1 << 70, "1", None]], [["audit.keep_days", "", None, "1", None]],
    ],
)  # fmt: skip
def test_nonsense_about_settings_is_refused(tmp_path: Path, found: object) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        assert engine.ask("settings", found=found)["error"]["code"] in ("body_invalid", "name_invalid")
        assert stage.steer("waiting")["items"] == []


def test_the_keepers_own_socket_answers_on_after_nonsense(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        up(stage)
        for wrong in (
            {}, {"what": "nothing"}, {"what": ["x"]}, WISH | {"kind": 7}, WISH | {"kind": "no such"}, WISH | {"base_url": None},
            WISH | {"base_url": "https://" + "a" * 9_000}, WISH | {"subject": "a/b"}, WISH | {"subject": None},
        ):  # fmt: skip
            with pytest.raises(AppError):
                stage.steer("grant", **wrong)
        for number in (None, "1", [1], {"a": 1}, 1 << 80):
            with pytest.raises(AppError):
                stage.steer("confirm", number=number)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(stage.paths.instance))
            raw.sendall(b"\xff\xfe nonsense\n")
        assert stage.steer("waiting") | {"nonce": ""} == stage.steer("waiting") | {"nonce": ""}


def test_who_sends_a_letter_now_and_then_keeps_nobody_from_the_keepers_own_socket(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.socket(socket.AF_UNIX) as slow:
        up(stage)
        slow.connect(str(stage.paths.instance))
        over = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not over.wait(0.3):
                    slow.send(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert stage.steer("waiting")["items"] == []
        finally:
            over.set()
            dripping.join()


@pytest.mark.parametrize("op", ["grant", "take_back", "let_go", "waiting", "confirm", "refuse"])
def test_our_own_processes_do_not_speak_for_a_person_where_no_kernel_holds_them(tmp_path: Path, op: str) -> None:
    """The puppet is not locked, as an engine is not on a system without such locks."""
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        for child in (engine, stage.child("gui")):
            child.order(instance=str(stage.paths.instance), ask=WISH | {"op": op, "number": 1})
            assert child.wait(lambda line: "answer" in line)["answer"]["error"]["code"] == "peer_not_allowed"
        assert "one of our own processes wants to speak for a person" in stage.log()
        assert engine.ask("declare", account="work", **PLACE)["held"] is True


@pytest.mark.parametrize("way", ["window", "command line"])
def test_what_a_person_removed_is_gone_also_where_the_engine_does_not_say_so(tmp_path: Path, way: str) -> None:
    with Stage(tmp_path / "data", **WINDOW) as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, _ = up(stage)
        window = stage.child("gui")
        here: dict[str, Any] = {"scheme": "http", "host": "127.0.0.1", "port": upstream.getsockname()[1], "local": True}
        stage.declare(engine, account="near", **here)
        assert "error" not in dial(engine, "near")
        if way == "window":
            assert "error" not in window.ask("let_go", account="near")
        else:
            assert stage.steer("let_go", account="near").get("error") is None
        assert dial(engine, "near")["error"]["code"] == "destination_refused"
        assert engine.ask("declare", account="near", **here)["held"] is True, "it was added once, and removed since"
        assert dial(engine, "near")["error"]["code"] == "destination_held"
        assert f"removed by the {way}: near" in stage.log()
        assert "error" in window.ask("let_go", account="ne\nar")
        engine.order(kill=signal.SIGKILL)
        engine, _ = up(stage)
        assert engine.ask("declare", account="near", **here)["held"] is True
        assert "error" not in window.ask("let_go", account="near")
        assert all(not item["asked"] for item in stage.steer("waiting")["items"])


def test_a_flood_of_grants_pushes_no_line_out_of_the_log(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        up(stage)
        window = stage.child("gui")
        before = len(stage.log())
        for _ in range(400):
            window.ask("take_back", number=window.ask("grant", **WISH)["number"])
            window.ask("let_go", account="work")
        assert len(stage.log()[before:].splitlines()) < 600
        assert "granted by the window: work may be sent to" in stage.log()


LOCKED = """
import sys
from pathlib import Path
from app.system import instance, sandbox
from app.system.paths import Paths
paths = Paths(Path(sys.argv[1]))
assert not sandbox.lock("window").seccomp
print(instance.ask(paths, {"op": "confirm", "number": int(sys.argv[2])})["subject"])
"""


SHOWS = LOCKED.partition("print")[0] + 'instance.ask(paths, {"op": "show", "display": {"DISPLAY": "192.0.2.1:0"}})'


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters are Linux's")
def test_a_locked_process_does_not_choose_the_screen_on_which_the_next_window_has_no_lock(tmp_path: Path) -> None:
    """A screen that is reached over the network needs the network: a window that was taken asks for one and ends."""
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        up(stage)
        window = stage.child("gui")
        window.order(exit=0)
        window.gone()
        asked = [sys.executable, "-c", SHOWS, str(stage.paths.data_dir)]
        subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
        assert stage.child("gui").environment["DISPLAY"] == ":77"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters are Linux's")
def test_what_a_locked_process_says_without_its_parent_is_not_put_down_to_the_person(tmp_path: Path) -> None:
    """A window may start processes: one that outlived it has no parent of ours any more."""
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        assert engine.ask("declare", account="work", **PLACE)["held"] is True
        (item,) = stage.steer("waiting")["items"]
        asked = [sys.executable, "-c", LOCKED, str(stage.paths.data_dir), str(item["number"])]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == "work\n"
        assert "confirmed by the command line, from a locked process: work may be sent to" in stage.log()
        assert "destination added (command line, from a locked process): work" in stage.log()


def test_a_flood_of_settings_grows_nothing_and_a_thousand_clients_are_no_flood(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        clients = [["client.identifiers", f"tool {number}", number, "pseudonym", None] for number in range(10_000)]
        assert len(engine.ask("settings", found=clients)["used"]) == 10_000
        assert stage.steer("waiting")["items"] == []
        found = [["audit.keep_days", "", 0, str(number), None] for number in range(10_000)]
        assert {used for used, _ in engine.ask("settings", found=found)["used"]} == {"365"}
        asked = stage.steer("waiting")
        assert len(asked["items"]) == ROOM["setting"]
        assert asked["unlisted"] > 9_000
        assert len(stage.log().splitlines()) < 2 * NEW_MAX


@pytest.mark.parametrize("answer", ["confirm", "refuse"])
def test_what_the_engine_asks_while_a_person_answers_is_not_listed_again(tmp_path: Path, answer: str) -> None:
    found = ["audit.keep_days", "", 0, wishes.default("audit.keep_days"), "1"]
    told: list[str] = []

    class AskingMeanwhile(Remembered):
        def choose(self, what: str, subject: str, since: int, value: str) -> None:
            consent.settings({"found": [found]})
            super().choose(what, subject, since, value)

    def log(line: str) -> None:
        told.append(line)
        if "refused by" in line:
            consent.settings({"found": [found]})

    remembered = AskingMeanwhile(tmp_path / "declared.json", lambda: bytes(32), told.append)
    consent = Consent(Grants(told.append, lambda: None), remembered, lambda *_: False, lambda *_: False, lambda *_: None, log)
    remembered.choose_all([])  # nothing is taken over from an earlier version
    consent.settings({"found": [found]})
    (item,) = consent.waiting()["items"]  # type: ignore[misc]
    consent.steer("window", {"op": answer, "number": item["number"]})
    assert consent.waiting()["items"] == []
