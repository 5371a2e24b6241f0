"""Dialling: only what is declared, only where the verdict allows, at the very address that was judged, and counted by the kernel."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AppError
from app.core.records import Destination
from app.keeper import broker as broker_module
from app.keeper.broker import Broker, connect
from app.keeper.workers import Workers
from app.system.names import resolve
from tests.keeper.consenting import Willing

UNASKABLE = "x" * 64 + ".invalid"  # a label of 64 characters fits into no DNS message, so no resolver is asked
Announced = list[tuple[str, str, str]]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def announced() -> Announced:
    return []


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def broker(announced: Announced, logged: list[str]) -> Iterator[Broker]:
    made = Broker(
        4141, lambda change, account, destination, by: announced.append((change, account, str(destination))), logged.append,
        consent=Willing(),
    )  # fmt: skip
    yield made
    made.engine_ended()


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def refused(broker: Broker, account: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        broker.dial(account)
    return caught.value


def test_a_declared_local_server_is_dialled_at_its_address(broker: Broker, listener: socket.socket) -> None:
    broker.declare("ollama", "http", "127.0.0.1", port_of(listener), True)
    dialled = broker.dial("ollama")
    there, _ = listener.accept()
    assert dialled.address == f"127.0.0.1:{port_of(listener)}"
    assert dialled.sock.getblocking() is False
    assert dialled.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert dialled.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not os.get_inheritable(dialled.sock.fileno())
    there.close()


@pytest.mark.parametrize("account", ["other", "", "OLLAMA", None, 7, ["ollama"], {"a": 1}])
def test_what_nobody_declared_is_refused_and_written_down(broker: Broker, listener: socket.socket, logged: list[str], account: Any) -> None:
    broker.declare("ollama", "http", "127.0.0.1", port_of(listener), True)
    assert refused(broker, account).code == "destination_refused"
    assert "nothing declares" in logged[0]


def test_a_withdrawn_account_is_refused(broker: Broker, listener: socket.socket, announced: Announced) -> None:
    destination = f"http://127.0.0.1:{port_of(listener)}"
    broker.declare("ollama", "http", "127.0.0.1", port_of(listener), True)
    broker.withdraw("ollama")
    broker.withdraw("ollama")
    broker.withdraw(None)
    assert refused(broker, "ollama").code == "destination_refused"
    assert announced == [("added", "ollama", destination), ("removed", "ollama", destination)]


def test_every_change_is_announced_once_and_the_same_again_is_not(broker: Broker, announced: Announced) -> None:
    broker.declare("a", "https", "API.Example.com.", 443, False)
    broker.declare("a", "https", "api.example.com", 443, False)
    broker.declare("a", "https", "api.example.org", 443, False)
    assert announced == [
        ("added", "a", "https://api.example.com:443"),
        ("removed", "a", "https://api.example.com:443"),
        ("added", "a", "https://api.example.org:443"),
    ]


def test_a_new_engine_must_declare_again_but_the_window_is_not_told_twice(
    broker: Broker, listener: socket.socket, announced: Announced
) -> None:
    broker.declare("ollama", "http", "127.0.0.1", port_of(listener), True)
    broker.engine_ended()
    assert refused(broker, "ollama").code == "destination_refused"
    broker.declare("ollama", "http", "127.0.0.1", port_of(listener), True)
    broker.dial("ollama")
    assert len(announced) == 1
    broker.engine_ended()
    broker.declare("ollama", "http", "127.0.0.1", 1, True)
    assert [change for change, *_ in announced] == ["added", "removed", "added"]


@pytest.mark.parametrize(
    ("scheme", "host", "port", "local"),
    [
        ("ftp", "a.example", 21, False),
        ("https", "", 443, False),
        ("https", "a b", 443, False),
        ("https", "a\r\nb", 443, False),
        ("https", "a.example/path", 443, False),
        ("https", "user@a.example", 443, False),
        ("https", "api.openai.com:443", 443, False),  # these would be shown to a person, who can say none of them
        ("https", "<h1>a.example", 443, False),
        ("https", "$(id).example", 443, False),
        ("https", "a.example(the.one.you.added)", 443, False),
        ("https", "a..example", 443, False),
        ("https", "[::1]", 443, False),
        ("https", "fe80::1%eth0", 443, False),
        ("https", "api.\u043epenai.com", 443, False),  # a Cyrillic letter: announced, it would pass for another
        ("https", "\uff11\uff16\uff19.254.169.254", 80, False),
        ("https", "169\u3002254\u3002169\u3002254", 80, False),
        ("https", "a.example\u202egro", 443, False),
        ("https", "a" * 300, 443, False),
        ("https", None, 443, False),
        ("https", "a.example", 0, False),
        ("https", "a.example", 65536, False),
        ("https", "a.example", "443", False),
        ("https", "a.example", 443, "yes"),
        (None, "a.example", 443, False),
    ],
)
def test_a_declaration_that_is_no_destination_is_refused(
    broker: Broker, announced: Announced, scheme: Any, host: Any, port: Any, local: Any
) -> None:
    with pytest.raises(AppError) as caught:
        broker.declare("a", scheme, host, port, local)
    assert caught.value.code == "url_invalid"
    assert not announced


def test_the_list_of_declarations_has_an_end(broker: Broker) -> None:
    for n in range(500):
        broker.declare(f"a{n}", "https", "a.example", 443, False)
    with pytest.raises(AppError):
        broker.declare("one-more", "https", "a.example", 443, False)
    broker.declare("a7", "https", "b.example", 443, False)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe",
     "2002:a9fe:a9fe::1", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "0.0.0.0", "0", "224.0.0.1", "fe80::1",
     "240.0.0.1", "1.2.3.256"],
)  # fmt: skip
@pytest.mark.parametrize("local", [True, False])
def test_addresses_that_no_provider_has_are_refused_in_every_spelling(broker: Broker, logged: list[str], host: str, local: bool) -> None:
    broker.declare("a", "https", host, 443, local)
    error = refused(broker, "a")
    assert error.code == "destination_refused"
    assert error.message in logged[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "::1", "[::1]", "localhost", "localhost.", "a.localhost", "10.0.0.1", "192.168.0.1"]
)
def test_this_machine_and_its_network_need_the_persons_word(broker: Broker, host: str) -> None:
    broker.declare("a", "https", host.strip("[]"), 443, False)
    assert "not marked as local" in refused(broker, "a").message


def test_a_local_account_does_not_reach_the_internet(broker: Broker) -> None:
    broker.declare("a", "https", "8.8.8.8", 443, True)
    assert "marked as local" in refused(broker, "a").message


def test_plain_http_to_the_internet_is_refused(broker: Broker) -> None:
    broker.declare("a", "http", "8.8.8.8", 80, False)
    assert "unencrypted" in refused(broker, "a").message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "::ffff:127.0.0.1", "2130706433"])
def test_our_own_port_is_never_dialled(broker: Broker, host: str) -> None:
    broker.declare("loop", "http", host, 4141, True)
    assert "Gatehouse itself" in refused(broker, "loop").message


def test_a_local_account_stays_where_it_was_first_reached(listener: socket.socket) -> None:
    """`localhost` stands for two addresses; a declaration that is the same again changes nothing, another one begins anew."""
    said: list[str] = []
    refusals: list[str] = []
    broker = Broker(4141, lambda *_: None, said.append, consent=Willing(), on_refused=lambda refusal: refusals.append(refusal.rule))
    broker.declare("nas", "http", "127.0.0.1", port_of(listener), True)
    nas = Destination("http", "nas", port_of(listener), local=True)
    assert broker._where_it_was("nas", nas, ["192.168.1.9"]) == ["192.168.1.9"]  # not reached yet
    broker.dial("nas")
    assert broker._where_it_was("nas", nas, ["fe80::1", "127.0.0.1"]) == ["127.0.0.1"]
    with pytest.raises(AppError, match=r"was at 127\.0\.0\.1 and is now at 192\.168\.1\.9") as caught:
        broker._where_it_was("nas", nas, ["192.168.1.9"])
    assert caught.value.code == "destination_refused"
    assert refusals == ["moved"]
    assert "another machine" in said[-1]
    broker.engine_ended()
    broker.declare("nas", "http", "127.0.0.1", port_of(listener), True)
    with pytest.raises(AppError):
        broker._where_it_was("nas", nas, ["192.168.1.9"])
    broker.declare("nas", "http", "192.168.1.9", port_of(listener), True)
    assert broker._where_it_was("nas", nas, ["192.168.1.9"]) == ["192.168.1.9"]
    broker.engine_ended()


def test_localhost_is_found_without_asking_anybody(broker: Broker, listener: socket.socket) -> None:
    broker.declare("ollama", "http", "localhost", port_of(listener), True)
    assert broker.dial("ollama").address == f"127.0.0.1:{port_of(listener)}"


def test_a_server_that_is_not_started_is_said_in_words(broker: Broker, listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    broker.declare("ollama", "http", "localhost", port, True)
    error = refused(broker, "ollama")
    assert (error.code, error.hint) == ("provider_unreachable", "Is the server started?")


def test_one_wrong_address_condemns_a_name_on_the_internet(broker: Broker) -> None:
    public, local = Destination("https", "a.example", 443), Destination("http", "nas", 80, local=True)
    with pytest.raises(AppError, match="not marked as local"):
        broker._allowed("work", public, ["8.8.8.8", "127.0.0.1"])
    assert broker._allowed("work", public, ["8.8.8.8", "2606:4700::1"]) == ["8.8.8.8", "2606:4700::1"]
    assert broker._allowed("work", local, ["fe80::1", "192.168.1.2", "2606:4700::1"]) == ["192.168.1.2"]
    with pytest.raises(AppError):
        broker._allowed("work", local, ["2606:4700::1"])


def test_a_name_that_does_not_exist_is_said_in_words(broker: Broker) -> None:
    broker.declare("a", "https", UNASKABLE, 443, False)
    error = refused(broker, "a")
    assert error.code == "provider_unreachable"
    assert UNASKABLE in error.message


def test_the_hosts_file_is_read_and_judged_like_any_answer(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# comment 9.9.9.9 api.test\n10.0.0.7 nas nas.home.arpa # mine\n::1 nas\nnonsense nas\n8.8.8.8 API.Test\n", encoding="ascii"
    )
    assert resolve("nas", search=True, hosts=hosts) == ["10.0.0.7", "::1"]
    assert resolve("NAS.home.arpa.", search=False, hosts=hosts) == ["10.0.0.7"]
    assert resolve("api.test", search=False, hosts=hosts) == ["8.8.8.8"]
    with pytest.raises(OSError, match=r".*"):
        resolve(UNASKABLE, search=False, hosts=tmp_path / "none")
    assert resolve("localhost", search=False, hosts=tmp_path / "none") == ["127.0.0.1", "::1"]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the kernel's counters")
def test_the_kernel_counts_what_the_engine_sent_and_received(broker: Broker, listener: socket.socket) -> None:
    broker.declare("a", "http", "127.0.0.1", port_of(listener), True)
    dialled = broker.dial("a")
    engine = dialled.sock.dup()  # what the engine would hold
    engine.setblocking(True)
    there, _ = listener.accept()
    engine.sendall(b"q" * 1234)
    assert there.recv(4096)
    there.sendall(b"a" * 54321)
    got = 0
    while got < 54321:
        got += len(engine.recv(65536))
    engine.shutdown(socket.SHUT_RDWR)
    engine.close()
    assert broker.closed(dialled.connection) == (1234, 54321)
    assert broker.closed(dialled.connection) is None
    assert broker.closed("x") is None
    there.close()


def test_the_provider_sees_the_end_when_the_engine_says_closed_and_when_it_dies(broker: Broker, listener: socket.socket) -> None:
    broker.declare("a", "http", "127.0.0.1", port_of(listener), True)
    first, second = broker.dial("a"), broker.dial("a")
    ends = [listener.accept()[0] for _ in range(2)]
    forgotten = first.sock.dup()  # a descriptor that the engine did not close
    for end in ends:
        end.settimeout(2)
    broker.closed(first.connection)
    assert ends[0].recv(10) == b""
    assert broker.kept() == 1
    broker.engine_ended()
    assert ends[1].recv(10) == b""
    assert broker.kept() == 0
    assert second.sock.fileno() == -1
    forgotten.close()
    for end in ends:
        end.close()


def full(listener: socket.socket) -> list[socket.socket]:
    """Fill a listener's queue, so that the next connection hangs in SYN: a black hole on loopback."""
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    time.sleep(0.05)
    return fillers


@pytest.mark.skipif(sys.platform != "linux", reason="how a full queue behaves")
def test_a_connection_that_comes_up_after_its_engine_died_is_dropped(broker: Broker) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = full(hole)
        broker.declare("a", "http", "127.0.0.1", port_of(hole), True)
        errors: list[AppError] = []
        thread = threading.Thread(target=lambda: errors.append(refused(broker, "a")))
        thread.start()
        time.sleep(0.1)
        broker.engine_ended()
        accepted = []
        hole.settimeout(3)
        while thread.is_alive():
            accepted.append(hole.accept()[0])
            thread.join(0.05)
        for each in fillers + accepted:
            each.close()
    assert errors[0].code == "destination_refused"
    assert "has ended" in errors[0].message
    assert broker.kept() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="how a full queue behaves")
def test_a_black_hole_ends_at_the_deadline_and_the_next_address_is_tried_meanwhile() -> None:
    with socket.socket() as hole, socket.socket() as good:
        hole.bind(("127.0.0.1", 0))
        port = hole.getsockname()[1]
        hole.listen(0)
        fillers = full(hole)
        good.bind(("127.0.0.2", port))
        good.listen()
        started = time.monotonic()
        sock, address = connect(["127.0.0.1", "127.0.0.2"], port, started + 5)
        assert address == f"127.0.0.2:{port}"
        assert 0.2 < time.monotonic() - started < 5
        sock.close()
        started = time.monotonic()
        with pytest.raises(AppError) as caught:
            connect(["127.0.0.1"], port, started + 0.4)
        assert caught.value.code == "provider_timeout"
        assert 0.3 < time.monotonic() - started < 10
        for filler in fillers:
            filler.close()


def test_a_refused_address_leads_to_the_next_at_once(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_NEXT_ADDRESS_S", 20.0)
    started = time.monotonic()
    sock, address = connect(["::1", "127.0.0.3", "127.0.0.1"], port_of(listener), started + 60)
    assert address.startswith("127.0.0.1")
    assert time.monotonic() - started < 15
    sock.close()
    listener.close()
    with pytest.raises(OSError, match="connection failed"):
        connect(["127.0.0.1"], port_of(sock) if sock.fileno() >= 0 else 1, time.monotonic() + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptor limits")
def test_without_free_descriptors_the_machine_is_named_and_nothing_leaks(broker: Broker, listener: socket.socket) -> None:
    import resource

    broker.declare("a", "http", "127.0.0.1", port_of(listener), True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.open("/dev/null", os.O_RDONLY)
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        error = refused(broker, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error.code == "too_many_connections"
    assert broker.dial("a").connection == 1


def test_slow_work_does_not_hold_up_other_work() -> None:
    workers, gate, done = Workers(), threading.Event(), threading.Event()
    for _ in range(20):
        workers.run(lambda: gate.wait(5) and None)
    workers.run(done.set)
    assert done.wait(2)
    gate.set()


def test_all_work_is_done_also_beyond_the_most_threads() -> None:
    workers, lock, total, done = Workers(), threading.Lock(), [0], threading.Event()

    def work() -> None:
        time.sleep(0.001)
        with lock:
            total[0] += 1
            if total[0] == 500:
                done.set()

    for _ in range(500):
        workers.run(work)
    assert done.wait(10)
    assert workers._threads <= 64


def test_a_dial_costs_little_more_than_a_connection(broker: Broker, listener: socket.socket) -> None:
    broker.declare("a", "http", "127.0.0.1", port_of(listener), True)
    direct, dialled = [], []
    for _ in range(100):
        started = time.perf_counter()
        with socket.create_connection(listener.getsockname()):
            direct.append(time.perf_counter() - started)
        listener.accept()[0].close()
        started = time.perf_counter()
        connection = broker.dial("a").connection
        dialled.append(time.perf_counter() - started)
        listener.accept()[0].close()
        broker.closed(connection)
    assert statistics.median(dialled) - statistics.median(direct) < 1e-3
