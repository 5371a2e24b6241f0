"""`ControlClient` against a real server on a real unix socket."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpcore2
import msgspec
import pytest

from app.control import client as client_module
from app.control import contract as c
from app.control.client import ControlClient
from app.control.connection import Sockets
from app.core.errors import AppError
from app.core.secret import Secret
from tests.control.server import ControlServer, dead_socket
from tests.gateway import wait_for

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with ControlServer() as running:
        yield running


@pytest.fixture
def client(server: ControlServer) -> Iterator[ControlClient]:
    with ControlClient(server.control, timeout_s=5) as asking:
        yield asking


def test_the_snapshot_arrives_as_the_engine_sent_it(server: ControlServer, client: ControlClient) -> None:
    assert client.snapshot() == server.snapshot()
    assert server.hosts_seen == ["gatehouse"]


def test_a_provider_is_added_tested_given_a_key_and_removed(server: ControlServer, client: ControlClient) -> None:
    added = client.add_provider(c.NewProvider(name="work", kind="openai", key=KEY))
    assert added.account.keyed
    assert server.keys["work"] == KEY
    assert client.test_provider("work").account.models == ("a", "b")
    client.set_provider_key("work", Secret("sk-other"))
    assert server.keys["work"] == "sk-other"
    assert client.remove_provider("work").message == "Removed."
    assert client.snapshot().providers == ()


def test_a_client_is_added_blocked_unblocked_and_removed(client: ControlClient) -> None:
    assert client.add_client("editor").key.startswith("sk-gh-")
    assert client.block_client("editor").blocked
    assert not client.unblock_client("editor").blocked
    client.remove_client("editor")
    assert client.snapshot().clients == ()


def test_activity_and_audit_are_read_page_by_page(server: ControlServer, client: ControlClient) -> None:
    server.rows = [c.Exchange(id=f"req_{i:026}", opened_us=i) for i in range(5)]
    server.entries = [c.AuditEntry(seq=i, at_us=i, kind="k", actor="a", subject="s", body={}, hash="00") for i in range(1, 6)]
    first = client.activity(limit=3)
    assert [row.opened_us for row in first.rows] == [4, 3, 2]
    assert [row.opened_us for row in client.activity(limit=3, before=first.next).rows] == [1, 0]
    page = client.audit(limit=4)
    assert [entry.seq for entry in page.entries] == [5, 4, 3, 2]
    assert [entry.seq for entry in client.audit(limit=4, before=page.next).entries] == [1]


def test_every_path_of_the_contract_is_asked_as_written(server: ControlServer, client: ControlClient) -> None:
    client.kinds()
    client.usage(("day", "client"), since_us=1, until_us=2)
    client.verify_audit()
    client.echo()
    client.unlock()
    client.proof("ab" * 16)
    client.quit()
    assert [(method, path) for method, path, _ in server.asked] == [
        ("GET", "/v0/kinds"),
        ("GET", "/v0/usage?by=day,client&since_us=1&until_us=2"),
        ("POST", "/v0/audit/verify"),
        ("POST", "/v0/echo"),
        ("POST", "/v0/vault/unlock"),
        ("GET", "/v0/proof?nonce=" + "ab" * 16),
        ("POST", "/v0/quit"),
    ]


def test_a_refusal_carries_the_engines_code_sentence_and_hint(client: ControlClient) -> None:
    with pytest.raises(AppError) as caught:
        client.test_provider("nobody")
    assert (caught.value.code, caught.value.status) == ("unknown_name", 404)
    assert caught.value.sentence() == "There is no provider called 'nobody'. See: gatehouse provider list"


@pytest.mark.parametrize("name", ["", ".", "..", "\udcff"])
def test_a_name_that_would_change_the_path_is_never_sent(server: ControlServer, client: ControlClient, name: str) -> None:
    with pytest.raises(AppError) as caught:
        client.remove_provider(name)
    assert caught.value.code == "unknown_name"
    assert server.asked == []


@pytest.mark.parametrize("name", ["a/b", "a?b=c", "a#b", "%2e%2e", "ä b", "a\r\nhost: x", "../clients/x"])
def test_a_hostile_name_stays_one_segment(server: ControlServer, client: ControlClient, name: str) -> None:
    with pytest.raises(AppError):
        client.remove_provider(name)
    method, path, _ = server.asked[0]
    assert method == "DELETE"
    assert path.startswith("/v0/providers/")
    assert path.count("/") == 3
    assert not set(path) & set("?# \r\n")


def test_no_socket_says_that_no_gateway_is_running_and_what_to_do(tmp_path: Path) -> None:
    with ControlClient(tmp_path / "absent.sock") as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"
    assert "gatehouse serve" in caught.value.hint


def test_a_folder_that_is_not_there_says_the_same(tmp_path: Path) -> None:
    with ControlClient(tmp_path / "nowhere" / "control.sock") as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"


def test_the_socket_of_a_dead_engine_says_the_same_for_commands_and_events() -> None:
    with dead_socket() as control, ControlClient(control) as client:
        with pytest.raises(AppError) as caught:
            client.snapshot()
        assert caught.value.code == "engine_absent"
        with pytest.raises(AppError) as caught:
            next(client.events())
        assert caught.value.code == "engine_absent"


def test_an_engine_that_does_not_answer_is_given_up_after_the_timeout(server: ControlServer) -> None:
    server.delays_s["/v0/snapshot"] = 2
    with ControlClient(server.control, timeout_s=0.2) as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"
    assert "does not answer" in caught.value.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"seq": "one"}', b"\xff"])
def test_an_answer_that_is_not_the_contracts_becomes_one_sentence(server: ControlServer, client: ControlClient, body: bytes) -> None:
    server.answer("/v0/snapshot", 200, body)
    with pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "internal"
    server.answer("/v0/snapshot", 500, body)
    with pytest.raises(AppError) as caught:
        client.snapshot()
    assert (caught.value.code, caught.value.status) == ("internal", 500)


def test_a_code_from_a_newer_engine_keeps_its_sentence(server: ControlServer, client: ControlClient) -> None:
    server.answer("/v0/snapshot", 418, msgspec.json.encode(c.Problem(code="teapot", message="I am one.", hint="Pour.")))
    with pytest.raises(AppError) as caught:
        client.snapshot()
    assert (caught.value.code, caught.value.status, caught.value.sentence(), caught.value.fault) == (
        "internal",
        418,
        "I am one. Pour.",
        "ours",
    )


def test_a_key_is_in_no_error_text_nor_in_its_causes(server: ControlServer, client: ControlClient) -> None:
    server.answer("/v0/providers", 500, b"broken")
    with pytest.raises(AppError) as caught:
        client.add_provider(c.NewProvider(name="work", kind="openai", key=KEY))
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_proxy_variables_are_not_followed(server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    with ControlClient(server.control, timeout_s=2) as client:
        assert client.snapshot().seq == 1


def test_events_begin_with_a_snapshot_and_then_follow(server: ControlServer, client: ControlClient) -> None:
    events = client.events()
    assert next(events).snapshot == server.snapshot()
    server.say(c.EventLine(seq=2))
    assert next(events) == c.EventLine(seq=2)
    row = c.Exchange(id="req_" + "1" * 26, opened_us=5, model="a\u2028b\x85c")
    server.say(c.EventLine(seq=3, kind="exchange.closed", row=row))
    assert next(events).row == row


def test_an_event_line_cut_anywhere_is_put_together_again(server: ControlServer, client: ControlClient) -> None:
    events = client.events()
    next(events)
    encoded = msgspec.json.encode(c.EventLine(seq=9, kind="provider.added", snapshot=server.snapshot())) + b"\n"
    for cut in range(0, len(encoded), 7):
        server.lines.put(encoded[cut : cut + 7])
    assert next(events).seq == 9


def test_the_end_of_the_engine_is_an_error_for_the_one_who_follows(server: ControlServer, client: ControlClient) -> None:
    events = client.events()
    next(events)
    server.lines.put(None)
    with pytest.raises(AppError) as caught:
        next(events)
    assert caught.value.code == "engine_absent"

    def again() -> bool:
        try:
            return next(client.events()).snapshot is not None
        except AppError:  # the end of the one before may still be on its way
            return False

    wait_for(again, "asking again to connect again")


def test_silence_is_noticed(server: ControlServer, client: ControlClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_S", 0.2)
    events = client.events()
    next(events)
    began = time.monotonic()
    with pytest.raises(AppError) as caught:
        next(events)
    assert caught.value.code == "engine_absent"
    assert time.monotonic() - began < 10


def test_close_ends_a_follower_in_another_thread_at_once(server: ControlServer, client: ControlClient) -> None:
    first, ended = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def follow() -> None:
        try:
            for _ in client.events():
                first.set()
        except BaseException as error:
            errors.append(error)
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    assert first.wait(5)
    client.close()
    assert ended.wait(10)
    assert errors == []


def test_close_ends_a_question_in_another_thread_at_once(server: ControlServer, client: ControlClient) -> None:
    server.delays_s["/v0/snapshot"] = 2
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            client.snapshot()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.asked:
        thread.join(0.01)
    client.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [error.code for error in errors if isinstance(error, AppError)] == ["engine_absent"]


def test_a_connection_that_is_made_while_the_client_closes_is_closed_too(server: ControlServer) -> None:
    sockets = Sockets()
    early = sockets.connect_unix_socket(str(server.control))
    sockets.close()
    assert early.get_extra_info("socket").fileno() == -1
    with pytest.raises(httpcore2.ConnectError):
        sockets.connect_unix_socket(str(server.control))


def test_clients_closed_at_any_moment_leave_no_socket_behind(server: ControlServer) -> None:
    for _ in range(50):
        client = ControlClient(server.control, timeout_s=5)

        def use(client: ControlClient = client) -> None:
            with contextlib.suppress(AppError):
                client.snapshot()
                for _ in client.events():
                    client.snapshot()

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        client.close()
        for thread in threads:
            thread.join()
    gc.collect()  # a socket that nobody closed warns now, and a warning is an error


def test_a_full_queue_at_the_engine_is_waited_for(tmp_path: Path) -> None:
    with ControlServer() as server:
        server.delays_s["/v0/snapshot"] = 0.3
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for sock in crowd:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(str(server.control))
        with ControlClient(server.control, timeout_s=5) as client:
            assert client.snapshot().seq == 1
        for sock in crowd:
            sock.close()


def test_a_closed_client_answers_no_more(client: ControlClient) -> None:
    client.close()
    client.close()
    with pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"


def test_many_threads_share_one_client(server: ControlServer, client: ControlClient) -> None:
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(10):
                assert client.snapshot().seq == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# -- where there is no unix socket


def test_a_control_file_leads_to_loopback_with_its_token(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.write_text(json.dumps({"host": "127.0.0.1", "port": listener.getsockname()[1], "token": "t0k"}))
        heads: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n" + b'{"hmac":"ab"}')

        thread = threading.Thread(target=answer)
        thread.start()
        with ControlClient(control, timeout_s=5) as client:
            assert client.proof("cd" * 16).hmac == "ab"
        thread.join()
    head = heads[0].lower()
    assert b"authorization: bearer t0k\r\n" in head
    assert f"host: 127.0.0.1:{listener_port(control)}\r\n".encode() in head


def test_a_follower_finds_a_gateway_that_was_started_again_on_another_port(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    line = msgspec.json.encode(c.EventLine(seq=7)) + b"\n"
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(line) + line

    def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            control.write_text(json.dumps({"host": "127.0.0.1", "port": listener.getsockname()[1], "token": "t"}))
            ready.set()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    with ControlClient(control, timeout_s=5) as client:
        for _ in range(2):
            ready = threading.Event()
            gateway = threading.Thread(target=run)
            gateway.start()
            assert ready.wait(5)
            assert next(client.events()).seq == 7
            gateway.join()
            with pytest.raises(AppError, match="engine_absent"):  # while nobody listens
                next(client.events())


def listener_port(control: Path) -> int:
    return int(json.loads(control.read_text())["port"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "127.0.0.1"}', '{"host": "127.0.0.1", "port": "x", "token": "t"}'])
def test_a_control_file_that_is_half_written_means_no_gateway(tmp_path: Path, text: str) -> None:
    control = tmp_path / "control.json"
    control.write_text(text)
    with ControlClient(control) as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "engine_absent"


def test_a_control_file_that_names_another_machine_is_refused(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps({"host": "192.0.2.7", "port": 1, "token": "t"}))
    with ControlClient(control) as client, pytest.raises(AppError) as caught:
        client.snapshot()
    assert caught.value.code == "peer_not_allowed"


@pytest.mark.needs("root")
def test_a_control_folder_of_another_user_is_refused(server: ControlServer) -> None:
    import os

    os.chown(server.folder, 12345, -1)
    with ControlClient(server.control) as client, pytest.raises(AppError) as caught:
        client.add_provider(c.NewProvider(name="work", kind="openai", key=KEY))
    assert caught.value.code == "peer_not_allowed"
    assert server.asked == []


def test_importing_the_client_does_not_import_httpx2() -> None:
    code = "import sys, app.control.client; print([m for m in ('httpx2', 'ssl', 'anyio') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
