"""What the engine says a person wanted, and no person did: it is not done, nothing is looked up for it, and it is shown."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AppError
from app.keeper.grants import ROOM
from app.system.paths import Paths
from tests.gateway import wait_for
from tests.journeys.taken import Taken
from tests.upstream import Upstream

EVIL = {"scheme": "https", "host": "exfiltration.example", "port": 443, "local": False}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(0.5)
        yield made


def here(listener: socket.socket, **changes: Any) -> dict[str, Any]:
    return {"scheme": "http", "host": "127.0.0.1", "port": listener.getsockname()[1], "local": True} | changes


def connected(listener: socket.socket) -> bytes | None:
    """What the next connection brings; None when there is none."""
    try:
        there, _ = listener.accept()
    except TimeoutError:
        return None
    with there:
        return there.recv(10)


def test_a_host_that_nobody_asked_for_is_held_before_its_first_look_up_and_shown(data_dir: Path, listener: socket.socket) -> None:
    one = Taken(
        data_dir,
        {"op": "declare", "account": "extra", **EVIL}, {"op": "dial", "account": "extra"}, {"op": "dial", "account": "extra"},
        {"op": "declare", "account": "near", **here(listener)}, {"op": "dial", "account": "near"}, {"op": "facts"},
        {"until": {"op": "dial", "account": "near"}}, {"op": "dial", "account": "extra"},
    )  # fmt: skip
    with one, one.control() as control:
        answers = one.told(6)
        assert [each.get("held") for each in (answers[0], answers[3])] == [True, True]
        assert [each.get("error") for each in answers if each["step"]["op"] == "dial"] == ["destination_held"] * 3

        view = control.network()
        assert view.names == ()
        assert view.connections == 0
        assert connected(listener) is None
        port = listener.getsockname()[1]
        places = ["https://exfiltration.example:443", f"http://127.0.0.1:{port} (this machine or its network)"]

        # Shown: to the command line, by the keeper; in the view; in the keeper's log; in the audit log.
        waiting = one.waiting()
        assert [(each["number"], each["kind"], each["subject"], each["value"]) for each in waiting] == [
            (1, "held", "extra", places[0]), (2, "held", "near", places[1]),
        ]  # fmt: skip
        listed = one.cli("confirm").stdout
        assert all(place in listed for place in places)
        assert "2 things wait for your confirmation" in one.cli("status").stdout
        assert "exfiltration.example" in one.cli("network", "status", check=None).stdout
        assert [(each.subject, each.value) for each in view.waiting] == [("extra", places[0]), ("near", places[1])]
        wait_for(lambda: [each.account for each in control.network().refused] == ["near", "extra"], "each refusal, once")
        assert "a destination is held" in one.keeper_log()
        wait_for(lambda: [e for e in control.audit(group="network").entries if e.kind == "egress.held"], "the entry of the audit log")

        # A person confirms one of them: it counts at once, and only it.
        one.cli("confirm", "2")
        assert one.told(8)[-2]["sockets"] == 1
        assert connected(listener) == b"leak"
        assert one.told()[-1]["error"] == "destination_held"
        assert [each["number"] for each in one.waiting()] == [1]
        answered = wait_for(lambda: [e for e in control.audit().entries if e.kind == "confirmation.answered"], "the entry")[0]
        assert answered.body["detail"]["answer"] == "confirmed"
        assert one.cli("confirm", "2", check=1).stderr.startswith("gatehouse: Nothing waits under that number")
        one.cli("confirm", "--refuse", "1")
        assert one.waiting() == []
        assert control.network().names == ()


def test_nothing_that_the_engine_says_explains_itself(data_dir: Path, up: Upstream) -> None:
    place: dict[str, Any] = {"scheme": "http", "host": "127.0.0.1", "port": up.port, "local": True}
    others: list[dict[str, Any]] = [
        place | {"port": up.port + 1}, place | {"host": "127.0.0.2"}, place | {"host": "localhost"}, place | {"local": False},
        place | {"scheme": "https"}, place | {"host": "127.0.0.1.evil.example"}, EVIL, EVIL | {"host": "EXFILTRATION.example."},
    ]  # fmt: skip
    named = ["Work", "WORK", "work ", " work", "w\u043erk", "work\u200b", "work.", "work/x", "gatehouse", "", "work\x00"]
    script = [
        {"added": "work"},
        *({"op": "declare", "account": "work", **other} for other in others),
        {"op": "declare", "account": "work", **place},  # as it was wished for: it is on again
        *({"op": "declare", "account": name, **place} for name in named),
        {"op": "declare", "account": "second", **place, "by": "window", "as_before": True, "granted": True},
        {"op": "grant", "what": "destination", "subject": "extra", "kind": "openai", "base_url": "https://evil.example", "local": False},
        *({"op": op, "number": number} for op in ("confirm", "refuse", "take_back", "waiting") for number in (1, 2)),
        {"op": "change", "what": "destination", "subject": "extra", "value": "https://evil.example:443"},
        {"op": "change", "what": "audit.keep_days", "value": "1"}, {"op": "change", "what": "unlock", "value": ""},
        {"op": "change", "what": "audit.prune", "value": "5"}, {"op": "unlock", "passphrase": None},
        {"op": "may_declare", "account": "extra", "place": "https://evil.example:443"},
        {"op": "settings", "found": [["audit.keep_days", "", 0, "1", None]]},
        {"op": "withdraw", "account": "work"}, {"op": "declare", "account": "work", **place}, {"op": "dial", "account": "work"},
    ]  # fmt: skip
    with Taken(data_dir, *script) as one:
        one.cli("provider", "add", "work", "--kind", "openai-compatible", "--base-url", f"{up.url}/v1", "--local", "--no-key")
        answers = one.told()
        told = iter(answers)
        for other in others:
            answer = next(told)
            assert answer.get("held") is True, (other, answer)
        assert next(told)["held"] is False
        for name in named:
            answer = next(told)
            assert answer.get("held") is True or answer.get("error") == "name_invalid", (name, answer)
        assert next(told)["held"] is True
        for answer in [next(told) for _ in range(9)]:
            assert answer["error"] == "internal", answer  # the engine's channel knows no such request
        assert next(told)["error"] == "body_invalid"
        assert next(told)["error"] == "confirmation_needed"
        assert next(told)["error"] == "body_invalid"
        assert next(told)["error"] == "confirmation_needed"
        assert next(told)["error"] == "vault_passphrase" or answers  # a passphrase vault asks nobody; see the next assertions
        assert next(told)["error"] == "confirmation_needed"
        assert next(told)["used"] == [["365", "1"]]
        assert "error" not in next(told)
        assert next(told)["held"] is True, "what was let go is asked for anew"
        assert next(told)["error"] == "destination_held"
        with one.control() as control:
            assert control.network().names == ()
        shown = {each["value"] for each in one.waiting()}
        assert "https://exfiltration.example:443" in shown
        assert all(value.isascii() and value.isprintable() for value in shown)


def test_a_flood_of_declarations_hides_nothing_and_stops_nobody(data_dir: Path, up: Upstream) -> None:
    script = [
        {"op": "declare", "account": "first", **EVIL},
        {"op": "declare", "account": "flood#", "scheme": "https", "host": "h#.example", "port": 443, "local": False, "times": 10_000},
        {"op": "change", "what": "client.content", "subject": "tool#", "value": "on", "times": 10_000},
        {"op": "dial", "account": "first"}, {"op": "dial", "account": "flood9000"},
    ]  # fmt: skip
    with Taken(data_dir, *script) as one:
        one.cli(
            "provider", "add", "work", "--kind", "openai-compatible", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key
        )
        answers = one.told()
        assert [each["error"] for each in answers[-2:]] == ["destination_held", "destination_refused"]
        asked = one.cli_json("confirm")
        held = [each for each in asked["waiting"] if each["kind"] == "held"]
        assert held[0]["value"] == "https://exfiltration.example:443"
        assert len(held) == ROOM["held"]
        assert len(asked["waiting"]) == ROOM["held"] + ROOM["refused"]
        assert asked["unlisted"] > 19_000
        assert "something floods the keeper" in one.cli("confirm").stdout
        assert len(one.keeper_log().splitlines()) < 200
        one.cli("provider", "test", "work")
        one.cli("provider", "add", "more", "--kind", "openai-compatible", "--base-url", f"{up.url}/v1", "--local", "--no-key")
        one.cli("confirm", "--refuse", "--all")
        assert one.waiting() == []


def test_who_confirms_asks_the_keeper_also_while_the_engine_hangs_or_is_dead(data_dir: Path, listener: socket.socket) -> None:
    one = Taken(data_dir, {"op": "declare", "account": "near", **here(listener)}, {"until": {"op": "dial", "account": "near"}})
    with one:
        one.told(1)
        engine = int(re.findall(r"the engine starts as process (\d+)", one.keeper_log())[-1])
        os.kill(engine, signal.SIGSTOP)
        try:
            (item,) = one.waiting()
            one.cli("confirm", str(item["number"]))
            assert one.waiting() == []
        finally:
            os.kill(engine, signal.SIGCONT)
        assert connected_within(listener) == b"leak"


def connected_within(listener: socket.socket) -> bytes | None:
    listener.settimeout(15)
    return connected(listener)


def test_a_destination_is_remembered_once_a_person_wanted_it_and_not_before(data_dir: Path, up: Upstream) -> None:
    place = {"scheme": "http", "host": "127.0.0.1", "port": up.port, "local": True}
    script = [{"op": "declare", "account": "near", **place}]
    with Taken(data_dir, *script) as one:
        assert one.told()[0]["held"] is True
        one.cli("confirm", "--all")
    (Paths(data_dir).logs / "engine.log").unlink()
    with Taken(data_dir, *script, {"op": "declare", "account": "near", **place, "port": up.port + 1}) as one:
        assert [each["held"] for each in one.told()] == [False, True]
    (Paths(data_dir).logs / "engine.log").unlink()
    (data_dir / "declared.json").unlink()
    with Taken(data_dir, *script) as one:
        assert one.told()[0]["held"] is True


def test_a_window_and_a_command_line_at_once_confirm_a_thing_once(data_dir: Path) -> None:
    with Taken(data_dir, {"op": "declare", "account": "extra", **EVIL}) as one:
        one.told()
        from app.system import instance

        paths = Paths(data_dir)
        instance.ask(paths, {"op": "confirm", "number": 1})
        with pytest.raises(AppError, match="unknown_name"):
            instance.ask(paths, {"op": "refuse", "number": 1})
