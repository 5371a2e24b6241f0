"""The keeper as a process: its children, its ports, its end. Puppets stand for engine and window: they do what real ones cannot be told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app.core import frames
from app.core.errors import AppError
from app.keeper.listeners import open_listeners
from app.system.paths import Paths
from app.system.processes import started_at
from tests import rights
from tests.gateway import free_port
from tests.keeper.stage import ROOT, Puppeteer, Stage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="puppets speak over unix sockets")
WINDOW = {"window": True, "environment": {"DISPLAY": ":77"}}


def up(stage: Stage) -> tuple[Puppeteer, dict[str, Any]]:
    """An engine that answers the proof, and its boot message."""
    engine = stage.child("engine")
    boot = engine.message("boot")
    engine.order(answer=True)
    return engine, boot


def alive(pid: int) -> bool:
    return started_at(pid) is not None


def test_the_engine_gets_everything_it_needs_in_its_first_message(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session") as stage:
        engine = stage.child("engine")
        boot = engine.message("boot")
        assert boot["listeners"] == ["gateway", "gateway", "control"] or boot["listeners"] == ["gateway", "control"]
        assert len(boot["_sockets"]) == len(boot["listeners"])
        assert boot["addresses"][0] == f"127.0.0.1:{boot['port']}"
        assert boot["control"] == str(stage.paths.control)
        assert boot["control_token"] == ""
        assert boot["port_note"] == ""
        assert (boot["restarts"], boot["ephemeral"]) == (0, True)
        assert len(bytes.fromhex(boot["proof_secret"])) == 32
        assert "HOME" in engine.environment
        assert "DISPLAY" not in engine.environment
        vault = engine.message("vault")
        assert (vault["mode"], vault["state"]) == ("session", "ready")
        assert set(vault["keys"]) == {"db", "journal", "client-keys"}
        assert len({bytes.fromhex(key) for key in vault["keys"].values()}) == 3


def test_ready_is_said_when_our_own_listener_proved_itself_and_not_before(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine = stage.child("engine")
        boot = engine.message("boot")
        time.sleep(0.3)
        assert stage.printed == []
        engine.order(answer=True)
        stage.until(lambda: stage.printed)
        assert stage.printed == [f"ready http://127.0.0.1:{boot['port']} keys=ready"]


def test_no_secret_is_in_an_argument_or_an_environment(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine = stage.child("engine")
        boot = engine.message("boot")
        keys = engine.message("vault")["keys"]
        public = Path(f"/proc/{engine.pid}/cmdline").read_bytes() + Path(f"/proc/{engine.pid}/environ").read_bytes()
        public += Path(f"/proc/{stage.process.pid}/cmdline").read_bytes() + stage.log().encode()
        for secret in [boot["proof_secret"], *keys.values()]:
            assert secret.encode() not in public
            assert bytes.fromhex(secret) not in public


def test_a_clean_end_leaves_no_process_no_socket_and_no_session(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "data")
    engine, boot = up(stage)
    folder = Path(boot["data_dir"])
    assert folder.is_dir()
    assert folder != stage.folder
    stage.until(lambda: stage.printed)
    stage.process.send_signal(signal.SIGTERM)
    assert engine.message("drain")["reason"] == "signal SIGTERM"
    engine.order(exit=0)
    assert stage.exited() == 0
    assert not alive(engine.pid)
    assert not folder.exists()
    assert not stage.paths.control.exists()
    assert not stage.paths.instance.exists()
    assert not stage.paths.runtime.exists()
    stage.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_polite_signal_is_an_orderly_end(tmp_path: Path, number: int) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        stage.process.send_signal(number)
        engine.message("drain")
        engine.order(exit=0)
        assert stage.exited() == 0


def test_an_engine_that_does_not_drain_is_ended_after_five_seconds(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        engine.order(ignore=signal.SIGTERM)
        engine.stubborn()
        started = time.monotonic()
        stage.process.send_signal(signal.SIGTERM)
        assert stage.exited() == 0
        assert 5 <= time.monotonic() - started < 30
        assert not alive(engine.pid)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        engine.stubborn()
        stage.process.send_signal(signal.SIGINT)
        engine.message("drain")
        started = time.monotonic()
        stage.process.send_signal(signal.SIGINT)
        assert stage.exited() == 0
        assert time.monotonic() - started < 4.5, "it was not given its five seconds"
        assert not alive(engine.pid)


def test_children_see_the_end_of_a_killed_keeper_and_the_next_one_starts(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, boot = up(stage)
        window = stage.child("gui")
        stage.end(signal.SIGKILL)
        for child in (engine, window):
            child.wait(lambda line: "eof" in line)
            child.gone()
            stage.until(lambda child=child: not alive(child.pid))
        left = Path(boot["data_dir"])
        assert left.exists()
        with Stage(tmp_path / "data", vault="session", port=boot["port"]) as again:
            second, second_boot = up(again)
            assert second_boot["port"] == boot["port"], "the port is free again"
            again.until(lambda: again.printed)
            assert not left.exists(), "what the killed session left is removed"
            second.order(exit=0)


def test_a_crashed_engine_is_revived_behind_the_same_sockets(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, boot = up(stage)
        stage.until(lambda: stage.printed)
        engine.order(kill=signal.SIGKILL)
        engine.gone()
        # a client that connects while there is no engine waits in the queue and is served by the next one
        client = http.client.HTTPConnection("127.0.0.1", boot["port"], timeout=10)
        client.request("GET", "/health/proof?nonce=" + "0" * 32)
        second, second_boot = up(stage)
        assert second.pid != engine.pid
        assert (second_boot["port"], second_boot["restarts"]) == (boot["port"], 1)
        assert client.getresponse().status == 200
        client.close()
        assert second.message("vault")["keys"] is not None


def test_after_six_crashes_in_a_row_serve_gives_up_and_says_why(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        pauses = []
        last = 0.0
        for _ in range(6):
            engine = stage.child("engine", 20)
            if last:
                pauses.append(time.monotonic() - last)
            engine.order(print="Traceback: the disk is on fire")
            engine.wait(lambda line: line.get("done") == "print")
            last = time.monotonic()
            engine.order(exit=1)
            engine.gone()
        assert stage.exited() == 1
        assert any("exit code 1" in line for line in stage.said)
        assert any("the disk is on fire" in line for line in stage.said)
        for pause, wanted in zip(pauses, (0, 1, 2, 4, 8), strict=True):
            assert wanted <= pause < wanted + 2


def test_with_a_window_the_engine_stays_down_until_it_is_started_again_and_clients_hear_it(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        window = stage.child("gui")
        port = window.message("boot")["port"]
        for n in range(6):
            engine = stage.child("engine", 20)
            engine.order(print=f"crash {n}")
            engine.wait(lambda line: line.get("done") == "print")
            engine.order(exit=3)
            if n < 5:
                crashed = window.message("engine", state="crashed")
                assert crashed["next_s"] == (0, 1, 2, 4, 8)[n]
                assert crashed["exit"] == "exit code 3"
                assert crashed["log"][-1] == f"crash {n}"
        stopped = window.message("engine", state="stopped")
        assert (stopped["next_s"], stopped["restarts"]) == (None, 6)
        for host in ("127.0.0.1", "::1"):
            client = http.client.HTTPConnection(host, port, timeout=5)
            try:
                client.request("POST", "/v1/chat/completions", body=b"x" * 100_000)
            except ConnectionRefusedError:
                assert host == "::1"
                continue
            reply = client.getresponse()
            assert reply.status == 503
            assert json.loads(reply.read())["error"]["code"] == "engine_absent"
            client.close()
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(stage.paths.control))
            control.sendall(b"GET /v0/snapshot HTTP/1.1\r\n\r\n")
            assert b'"code": "engine_absent"' in control.recv(4096)
        ours, engines = window.ask("log")["files"]
        assert (ours["name"], engines["name"]) == ("keeper.log", "engine.log")
        assert ours["lines"][-1].endswith("the engine is not started again: it ended 6 times in a row")
        assert sum("ended: exit code 3" in line for line in ours["lines"]) == 6
        assert engines["lines"][-1] == "crash 5"
        assert len(stopped["crashes_us"]) == 6
        window.send("start_engine")
        engine, _ = up(stage)
        assert window.message("engine", state="up")["restarts"] == 6
        window.message("proof", ok=True)


def test_an_engine_that_breaks_the_channel_does_not_stay(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        engine.order(send={"op": "x", "deep": None} | {"re": None})  # odd, but a frame: ignored
        assert engine.ask("nonsense")["error"]["code"] == "internal"
        assert engine.ask("")["error"]["code"] == "internal"
        stage.until(lambda: stage.printed)


def dial(engine: Puppeteer, account: str) -> dict[str, Any]:
    return engine.ask("dial", account=account, purpose="exchange")


def test_a_connection_is_handed_over_counted_and_ended(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, boot = up(stage)
        port = upstream.getsockname()[1]
        assert dial(engine, "work")["error"]["code"] == "destination_refused"
        assert "error" not in stage.declare(engine, account="work", scheme="http", host="127.0.0.1", port=port, local=True)
        got = dial(engine, "work")
        assert got["address"] == f"127.0.0.1:{port}"
        assert got["connect_ms"] >= 0
        there, _ = upstream.accept()
        there.settimeout(5)
        engine.order(socket=got["_sockets"][0], write="GET / HTTP/1.1")
        assert there.recv(100) == b"GET / HTTP/1.1"
        there.sendall(b"hello")
        engine.order(socket=got["_sockets"][0], read=100)
        assert engine.wait(lambda line: "read" in line)["read"] == "hello"
        engine.order(socket=got["_sockets"][0], end=True)
        counts = engine.ask("closed", connection=got["connection"])
        assert (counts["bytes_out"], counts["bytes_in"]) == (14, 5)
        assert there.recv(100) == b""
        there.close()
        assert engine.ask("closed", connection=got["connection"])["bytes_out"] is None
        # ourselves, and what was withdrawn
        stage.declare(engine, account="loop", scheme="http", host="localhost", port=boot["port"], local=True)
        assert "Gatehouse itself" in dial(engine, "loop")["error"]["message"]
        engine.ask("withdraw", account="work")
        assert dial(engine, "work")["error"]["code"] == "destination_refused"
        assert engine.ask("declare", account="x", scheme="gopher", host="h", port=1, local=False)["error"]["code"] == "url_invalid"


def test_connections_of_a_dead_engine_end_for_the_provider(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, _ = up(stage)
        stage.declare(engine, account="work", scheme="http", host="127.0.0.1", port=upstream.getsockname()[1], local=True)
        dial(engine, "work")
        there, _ = upstream.accept()
        there.settimeout(5)
        engine.order(kill=signal.SIGKILL)
        assert there.recv(10) == b""
        there.close()


def test_what_happened_while_no_engine_heard_it_is_told_to_the_next(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.create_server(("127.0.0.1", 0)) as upstream:
        engine, _ = up(stage)
        stage.declare(engine, account="work", scheme="http", host="127.0.0.1", port=upstream.getsockname()[1], local=True)
        lost = engine.ask("dial", account="work", purpose="test")
        engine.order(kill=signal.SIGKILL)
        second, _ = up(stage)
        (told,) = second.message("lost")["connections"]
        # All that the engine knew of it, because this is written over what that one had written down.
        assert (told["connection"], told["purpose"], told["address"]) == (lost["connection"], "test", lost["address"])
        assert [round(lost[f"{step}_ms"] * 1000) for step in ("resolve", "connect")] == [told["resolve_us"], told["connect_us"]]


def test_a_new_destination_is_announced_to_the_window_and_written_down(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    secret = {"vault": "passphrase", "passphrase_file": str(passphrase)}
    declaration: dict[str, Any] = {"account": "work", "scheme": "https", "host": "api.example.com", "port": 443, "local": False}
    with Stage(tmp_path / "data", **secret, **WINDOW) as stage:  # type: ignore[arg-type]
        engine, _ = up(stage)
        window = stage.child("gui")
        engine.message("vault", state="ready")
        stage.declare(engine, **declaration)
        announced = window.message("declared", change="added", account="work")
        assert announced["destination"] == "https://api.example.com:443"
        assert "destination added (command line): work -> https://api.example.com:443" in stage.log()
        engine.order(kill=signal.SIGKILL)
        engine, _ = up(stage)
        stage.declare(engine, **declaration)
        stage.declare(engine, **declaration | {"account": "other"})
        news = window.message("declared")
        assert (announced["also"], news["account"], news["also"]) == ([], "other", ["work"]), "the same one again is no news"
        engine.order(exit=0)
    # the next run knows what was declared before, and only what changed is news
    with Stage(tmp_path / "data", **secret, **WINDOW) as stage:  # type: ignore[arg-type]
        engine, _ = up(stage)
        window = stage.child("gui")
        engine.message("vault", state="ready")
        stage.declare(engine, **declaration)
        stage.declare(engine, **declaration | {"account": "other", "host": "api.example.org"})
        assert window.message("declared")["destination"] == "https://api.example.org:443"
        assert "destination added (as before): work" in stage.log()
        remembered = (stage.folder / "declared.json").read_text()
        assert "example" not in remembered
        engine.order(exit=0)


def test_a_destination_is_announced_again_when_the_memory_was_tampered_with(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    for content in ("{", json.dumps([1, None, "0" * 64])):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "declared.json").write_text(content)
        with Stage(tmp_path / "data", vault="passphrase", passphrase_file=str(passphrase), **WINDOW) as stage:  # type: ignore[arg-type]
            engine, _ = up(stage)
            window = stage.child("gui")
            engine.message("vault", state="ready")
            stage.declare(engine, account="work", scheme="https", host="api.example.com", port=443, local=False)
            window.message("declared", change="added")
            engine.order(exit=0)


def test_secrets_of_a_session_are_kept_in_memory_only(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, boot = up(stage)
        assert engine.ask("secret_get", name="work")["error"]["code"] == "provider_key_missing"
        assert engine.ask("secret_put", name="work", secret="sk-canary-1234567890")["place"] == "memory, until Gatehouse quits"
        assert engine.ask("secret_get", name="work")["secret"] == "sk-canary-1234567890"
        for name in (None, "", 7, ["a"]):
            assert engine.ask("secret_get", name=name)["error"]["code"] == "name_invalid"
        for folder in (Path(boot["data_dir"]), stage.folder):
            for path in folder.rglob("*"):
                assert not path.is_file() or b"canary" not in path.read_bytes()
        engine.ask("secret_remove", name="work")
        assert engine.ask("secret_get", name="work")["error"]["code"] == "provider_key_missing"
        assert stage.unlock(engine, passphrase=None)["state"] == "ready"


def test_an_existing_folder_is_never_opened_by_a_session(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "gatehouse.db").write_bytes(b"precious")
    with Stage(data, vault="session") as stage:
        engine, boot = up(stage)
        assert Path(boot["data_dir"]) != data
        engine.order(exit=0)
    assert (data / "gatehouse.db").read_bytes() == b"precious"


def test_a_second_serve_says_who_runs_and_a_second_window_shows_the_first(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        _, boot = up(stage)
        window = stage.child("gui")
        window.message("boot")
        with Stage(tmp_path / "data") as second:
            assert second.exited() == 3
            assert str(stage.process.pid) in second.said[0]
            assert str(boot["port"]) in second.said[0]
        with Stage(tmp_path / "data", vault="session", **WINDOW) as third:
            assert third.exited() == 0
        window.message("show")


def test_a_window_can_be_opened_on_a_gateway_that_was_started_without_one(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        up(stage)
        with Stage(tmp_path / "data", window=True, environment={"DISPLAY": ":42", "LD_PRELOAD": ""}) as asking:
            assert asking.exited() == 0
        window = stage.child("gui")
        assert window.environment["DISPLAY"] == ":42"
        assert window.message("boot")["tray"] is True
        assert window.message("engine")["state"] == "up"
        window.message("proof", ok=True)


def test_without_a_display_the_gateway_runs_without_a_window_and_says_so(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", window=True) as stage:
        up(stage)
        stage.until(lambda: any("no display" in line for line in stage.said))


def test_the_window_is_told_of_the_engine_and_of_every_proof(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        window = stage.child("gui")
        assert window.message("boot")["version"]
        assert window.message("engine")["state"] == "starting"
        engine, _ = up(stage)
        assert window.message("engine", state="up")["exit"] is None
        window.message("proof", ok=True)  # asked because the engine came up, and once more because the window had
        window.message("proof", ok=True)
        first = window.message("proof", ok=True)
        second = window.message("proof", ok=True)
        assert second["at_us"] - first["at_us"] > 2.5e6, "asked every three seconds"
        assert stage.printed == []
        engine.order(kill=signal.SIGSTOP)
        wrong = window.message("proof", ok=False)
        assert "did not answer" in wrong["message"]
        os.kill(engine.pid, signal.SIGCONT)
        window.message("proof", ok=True)


def test_a_stranger_who_answers_at_our_port_does_not_pass_for_us(tmp_path: Path) -> None:
    """Somebody who knows the form of the answer but not the secret."""
    from app.keeper.proof import ask

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]

        def answer(reply: bytes) -> None:
            client, _ = stranger.accept()
            with client:
                client.recv(4096)
                client.sendall(reply)

        for reply, words in (
            (b"HTTP/1.1 200 OK\r\n\r\n" + b"0" * 64, "could not prove"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "could not prove"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "not as Gatehouse does"),
            (b"SSH-2.0-x\r\n", "not as Gatehouse does"),
            (b"x" * 100_000, "not as Gatehouse does"),
        ):
            thread = threading.Thread(target=answer, args=(reply,))
            thread.start()
            assert words in ask(port, b"k" * 32)
            thread.join()
    assert "does not answer" in ask(port, b"k" * 32)


def test_closing_the_window_keeps_the_gateway_and_quitting_ends_all(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        window = stage.child("gui")
        window.order(exit=0)
        window.gone()
        time.sleep(0.3)
        assert stage.process.poll() is None
        with Stage(tmp_path / "data", vault="session", **WINDOW) as again:
            assert again.exited() == 0
        window = stage.child("gui")
        window.send("quit", reason="menu")
        assert engine.message("drain")["reason"] == "asked in the window: menu"
        engine.order(exit=0)
        window.message("quit")
        window.order(exit=0)
        assert stage.exited() == 0


def test_the_window_outlives_the_drain(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        window = stage.child("gui")
        engine.stubborn()
        window.stubborn()
        stage.process.send_signal(signal.SIGTERM)
        engine.message("drain")
        time.sleep(0.3)
        assert alive(window.pid)
        engine.order(exit=0)
        window.message("quit")
        assert stage.exited() == 0, "a window that does not go is made to"
        assert not alive(window.pid)


def test_a_crashed_window_is_revived_three_times_and_then_left(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        for _ in range(4):
            window = stage.child("gui")
            window.order(print="no Qt platform plugin")
            window.wait(lambda line: line.get("done") == "print")
            window.order(exit=1)
        stage.until(lambda: any("several times in a row" in line for line in stage.said))
        stage.until(lambda: any("no Qt platform plugin" in line for line in stage.said))
        assert stage.process.poll() is None, "the gateway goes on"
        with Stage(tmp_path / "data", vault="session", **WINDOW) as again:
            assert again.exited() == 0
        stage.child("gui").message("boot")
        engine.order(exit=0)


def test_ending_the_window_process_ends_all(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="session", **WINDOW) as stage:
        engine, _ = up(stage)
        window = stage.child("gui")
        os.kill(window.pid, signal.SIGTERM)
        engine.message("drain")
        engine.order(exit=0)
        assert stage.exited() == 0


def test_a_quit_from_the_engine_ends_all(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage:
        engine, _ = up(stage)
        engine.send("quit", reason="asked on the control channel")
        assert "asked on the control channel" in engine.message("drain")["reason"]
        engine.order(exit=0)
        assert stage.exited() == 0


def test_links_are_opened_by_name_from_our_list_only(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    tool = tmp_path / "bin" / "xdg-open"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {opened}.part && mv {opened}.part {opened}\n')
    tool.chmod(0o755)
    given = {"DISPLAY": ":77", "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    with Stage(tmp_path / "data", window=True, environment=given) as stage:
        window = stage.child("gui")
        for name in ("https://evil.example", "", None, "file:///etc/passwd", ["openai"]):
            assert window.ask("open_link", name=name)["error"]["code"] == "unknown_name"
        assert "error" not in window.ask("open_link", name="openai")
        stage.until(opened.exists)
        assert opened.read_text() == "https://platform.openai.com/api-keys"


def test_the_links_are_the_catalogues() -> None:
    from app.keeper.links import LINKS
    from app.providers.catalogue import KINDS

    assert dict(LINKS) == {kind: provider.key_url for kind, provider in KINDS.items() if provider.key_url}
    assert all(url.startswith("https://") for url in LINKS.values())


@pytest.mark.parametrize("family", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_port_taken_on_either_family_is_named_and_the_next_is_used(tmp_path: Path, family: str) -> None:
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    try:
        stranger = socket.create_server((family, 0), family=kind)
    except OSError:
        pytest.skip("no IPv6 here")
    wanted = stranger.getsockname()[1]
    with Stage(tmp_path / "data", port=wanted) as stage:
        _, boot = up(stage)
        assert wanted < boot["port"] < wanted + 100
        assert f"Port {wanted} is held by" in boot["port_note"]
        assert f"(process {os.getpid()})" in boot["port_note"]
        assert {address.rpartition(":")[2] for address in boot["addresses"]} == {str(boot["port"])}
        stage.until(lambda: stage.said)
        assert stage.said[0] == boot["port_note"]
    stranger.close()


def test_a_data_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with Stage(tmp_path / "data", vault="auto") as stage:
        assert stage.exited() == 2
        assert len(stage.said) == 1
        assert stage.said[0].startswith("data_folder: “data” is a file")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_passphrase_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "passphrase"
    if content is not None:
        file.write_bytes(content)
    with Stage(tmp_path / "data", vault="passphrase", passphrase_file=str(file)) as stage:
        assert stage.exited() == 2
        assert stage.said == ["vault_passphrase: The passphrase file cannot be read. Check --passphrase-file."]


def test_the_keeper_is_small_and_does_not_grow(tmp_path: Path) -> None:
    with Stage(tmp_path / "data") as stage, socket.create_server(("127.0.0.1", 0), backlog=1024) as upstream:
        engine, _ = up(stage)
        stage.declare(engine, account="work", scheme="http", host="127.0.0.1", port=upstream.getsockname()[1], local=True)

        def resident_kb() -> int:
            status = Path(f"/proc/{stage.process.pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        def some(count: int) -> None:
            for _ in range(count):
                got = dial(engine, "work")
                upstream.accept()[0].close()
                engine.ask("closed", connection=got["connection"])

        def held() -> int:
            """Descriptors; of a process that closed itself an ordinary user sees how many there is room for, which doubles."""
            if rights.refused("hidden processes"):
                status = Path(f"/proc/{stage.process.pid}/status").read_text()
                return int(status.partition("FDSize:")[2].split()[0])
            return len(os.listdir(f"/proc/{stage.process.pid}/fd"))

        some(100)
        before = resident_kb()
        descriptors = held()
        some(200)
        assert resident_kb() < 25_000
        assert resident_kb() - before < 500
        # A look at the system's table holds a descriptor for a moment.
        stage.until(lambda: held() <= descriptors)
        for module in ("asyncio", "msgspec", "cryptography", "keyring", "PySide6", "aiohttp", "sqlalchemy", "ssl", "logging"):
            code = f"import sys, app.keeper.main; sys.exit({module!r} in sys.modules)"
            assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0, module
        engine.order(exit=0)


def test_the_folder_of_the_sockets_is_made_again_when_somebody_removed_it(tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(Paths(tmp_path / "data").runtime, ignore_errors=True)
    with Stage(tmp_path / "data") as stage:
        up(stage)
        stage.until(lambda: stage.printed)
        assert stage.paths.control.exists()


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
def test_a_port_that_is_fixed_is_taken_or_nothing_is(tmp_path: Path, family: str) -> None:
    paths = Paths(tmp_path / "data")
    paths.prepare()
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    try:
        stranger = socket.create_server((family, port := free_port()), family=kind)
    except OSError:
        pytest.skip("no IPv6 here")
    with stranger, pytest.raises(AppError, match=rf"Port {port} is held by .*\(process {os.getpid()}\)\.") as refused:
        open_listeners(paths, port, fixed=True)
    assert refused.value.code == "port_taken"
    made = open_listeners(paths, port, fixed=True)
    assert (made.port, made.note) == (port, "")
    made.close(paths)


def exporting(stage: Stage, target: Path) -> tuple[Puppeteer, int]:
    """A window with an export that has begun: its number for the stream."""
    window = stage.child("gui")
    window.message("boot")
    reply = window.ask("export", kind="requests", path=str(target))
    assert "error" not in reply, reply
    (stream,) = reply["_sockets"]
    window.order(socket=stream, hex=frames.frame(0, b"half\n").hex())
    stage.until(lambda: any(part.stat().st_size for part in target.parent.glob("*.part")))
    return window, stream


REAL = WINDOW | {"real": ("vault", "writer")}


def test_what_the_window_gives_is_written_by_a_child_that_then_ends(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **REAL) as stage:
        window, stream = exporting(stage, tmp_path / "a.csv")
        (record,) = [json.loads(stage.paths.lock.read_text())]
        running = [pid for pid, _ in record["children"]]
        window.order(socket=stream, hex=frames.frame(frames.END, b"").hex())
        window.order(socket=stream, read=100)
        assert json.loads(window.wait(lambda line: "read" in line)["read"]) == {"kept": "a.csv"}
        assert (tmp_path / "a.csv").read_bytes() == b"half\n"
        gone = stage.until(lambda: [pid for pid in running if not alive(pid)])
        assert len(gone) == 1, "the writer is in the record of who runs, and ends"
        log = stage.log()
        assert "export of requests: a.csv is begun" in log
        assert "export: a.csv is kept" in log
        assert str(tmp_path / "a.csv") not in log
        for path in ("/proc/self/a.csv", str(tmp_path / "data" / "a.csv"), str(tmp_path / ".a.csv"), "a.csv", str(tmp_path / "a.csv")):
            assert window.ask("export", kind="requests", path=path)["error"]["code"] in ("name_invalid", "name_taken", "data_folder")
        assert window.ask("export", kind="vault", path=str(tmp_path / "b.csv"))["error"]["code"] == "unknown_name"
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.csv", "data"]


def test_the_engine_has_nothing_written(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **REAL) as stage:
        engine, _ = up(stage)
        assert engine.ask("export", kind="requests", path=str(tmp_path / "a.csv"))["error"]["code"] == "internal"
        assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, None])
def test_an_export_of_a_window_that_ends_leaves_nothing(tmp_path: Path, number: int | None) -> None:
    with Stage(tmp_path / "data", **REAL) as stage:
        window, _ = exporting(stage, tmp_path / "a.csv")
        window.order(exit=0) if number is None else window.order(kill=number)
        stage.until(lambda: [entry.name for entry in tmp_path.iterdir()] == ["data"])
        stage.until(lambda: "nothing is left of it" in stage.log())


def test_an_export_that_goes_on_when_the_keeper_ends_leaves_nothing(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **REAL) as stage:
        exporting(stage, tmp_path / "a.csv")
        assert stage.end() == 0
        assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_keeper_leaves_says_that_it_is_not_whole_and_no_writer_lives_on(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", **REAL) as stage:
        exporting(stage, tmp_path / "a.csv")
        record = stage.until(lambda: len(found := json.loads(stage.paths.lock.read_text())["children"]) == 3 and found)
        stage.end(signal.SIGKILL)
        stage.until(lambda: not any(alive(pid) for pid, _ in record))
        (part,) = [entry for entry in tmp_path.iterdir() if entry.name != "data"]
        assert part.name.startswith("a.csv.")
        assert part.name.endswith(".part")
        assert part.read_bytes() == b"half\n"
