"""The system's table of sockets: real sockets of real processes, and tables that make no sense."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.system import socket_table
from app.system.socket_table import Socket, look

ROOT = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux's tables")
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def ours(sock: socket.socket) -> list[Socket]:
    name = sock.getsockname()
    place = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return [each for each in look([os.getpid()]).sockets if each.local == place]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_listening_connected_and_accepted_sockets_are_there_with_both_ends(stack: ExitStack, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = stack.enter_context(socket.create_server((host, 0), family=family))
    port = listener.getsockname()[1]
    client = stack.enter_context(socket.create_connection((host, port)))
    accepted = stack.enter_context(listener.accept()[0])
    shown = f"[{host}]" if ":" in host else host
    states = {(each.remote, each.state) for each in ours(listener)}
    assert (f"{shown}:{client.getsockname()[1]}", "established") in states
    assert any(state == "listening" for _, state in states)
    (one,) = ours(client)
    assert (one.pid, one.protocol, one.remote, one.state) == (os.getpid(), "tcp", f"{shown}:{port}", "established")
    assert (one.local_port, one.remote_port) == (client.getsockname()[1], port)
    if sys.platform == "linux":
        assert one.inode == socket_table.inode(client) != socket_table.inode(accepted)


@LINUX
def test_datagram_raw_and_packet_sockets_are_there(stack: ExitStack) -> None:
    bound = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    bound.bind(("127.0.0.1", 0))
    aimed = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    aimed.connect(("::1", 53))
    assert [(each.protocol, each.state) for each in ours(bound)] == [("udp", "")]
    assert [(each.protocol, each.remote) for each in ours(aimed)] == [("udp", "[::1]:53")]
    if os.geteuid() == 0:
        raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        packet = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        found = {each.inode: each.protocol for each in look([os.getpid()]).sockets}
        assert (found[socket_table.inode(raw)], found[socket_table.inode(packet)]) == ("raw", "packet")


def test_the_sockets_of_another_process_are_told_apart_from_ours(stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    script = (
        f"import socket,sys; s=socket.create_connection(('127.0.0.1',{listener.getsockname()[1]})); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        table = look([os.getpid(), other.pid])
        there = [each for each in table.sockets if each.pid == other.pid]
        assert [each.remote_port for each in there] == [listener.getsockname()[1]]
        assert (table.hidden, table.unread) == ((), ())
        other.communicate()
    assert look([other.pid]).sockets == ()  # it has ended, which is nothing to be told


@LINUX
def test_what_a_process_of_ours_started_is_found_at_every_depth() -> None:
    script = (
        "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE);"
        " print(c.pid, flush=True); sys.stdin.read(); c.communicate()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= set(socket_table.children(os.getpid()))
        assert socket_table.children(child.pid) == [grandchild]
        child.communicate()
    assert socket_table.children(child.pid) == []


@LINUX
def test_a_process_that_does_not_let_us_look_is_told_and_not_taken_for_one_without_sockets() -> None:
    script = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\nfrom app.system.socket_table import look\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\nprint(look([1]).hidden)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1,)"


@LINUX
def test_an_accepted_connection_that_we_let_go_of_is_nobodys(stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    with socket.create_connection(listener.getsockname()) as client:
        place = "{}:{}".format(*client.getsockname())
    deadline = time.monotonic() + 10
    while any(each.local == place for each in look([os.getpid()]).sockets) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(each.local == place for each in look([os.getpid()]).sockets)


def tables(folder: Path, **rows: str) -> Path:
    for name in ("tcp", "tcp6", "udp", "packet"):
        (folder / name).write_text(HEAD + rows.get(name, ""))
    return folder


def row(local: str, remote: str, state: str, inode: int) -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000\n"


@LINUX
def test_every_state_and_both_families_are_read_as_the_kernel_writes_them(stack: ExitStack, tmp_path: Path) -> None:
    holder = stack.enter_context(socket.socket())
    number = socket_table.inode(holder)
    here, there = "0100007F:102D", "076433C6:01BB"
    six = "0000000000000000FFFF0000076433C6:01BB"
    place = tables(
        tmp_path,
        tcp="".join(row(here, there, state, number) for state in ("01", "02", "03", "04", "06", "08", "0A", "0C")),
        tcp6=row("B80D0120000000000000000001000000:0001", six, "01", number) + row(six, six, "01", 0),
        udp=row(here, there, "07", number),
    )
    found = look([os.getpid()], place)
    assert found.unread == ()
    assert [each.state for each in found.sockets] == [
        "established", "connecting", "accepting", "closing", "closing", "closing", "listening", "closing", "established", "",
    ]  # fmt: skip
    assert {(each.local, each.remote) for each in found.sockets if each.protocol == "udp"} == {("127.0.0.1:4141", "198.51.100.7:443")}
    (v6,) = [each for each in found.sockets if each.local.startswith("[")]
    assert (v6.protocol, v6.local, v6.remote) == ("tcp", "[2001:db8::1]:1", "[::ffff:198.51.100.7]:443")


@LINUX
@pytest.mark.parametrize(
    "garbage",
    [
        "\n", "nonsense\n", "   0: 0100007F 00000000 01\n", "   0: 0100007F:102D 076433C6:01BB ZZ 0 0 0 0 0 0 7\n", "\0" * 200 + "\n",
        row("0100007F:102D", "1:1", "01", 7), row("0100007F102D", "076433C6:01BB", "01", 7), row("-100007F:102D", "076433C6:01BB", "01", 7),
        row("0100007F:102D", "G" * 32 + ":01BB", "01", 7), row("0100007F:102D", "076433C6:01BB", "01", 7)[:60] + "\n",
    ],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_told_and_the_others_are_still_read(stack: ExitStack, tmp_path: Path, garbage: str) -> None:
    number = socket_table.inode(stack.enter_context(socket.socket()))
    good = row("0100007F:102D", "076433C6:01BB", "01", number)
    found = look([os.getpid()], tables(tmp_path, tcp=good + garbage + good, udp=good))
    assert found.unread == ("tcp",)
    assert [each.protocol for each in found.sockets] == ["tcp", "udp"]


@LINUX
def test_a_table_that_cannot_be_read_is_told_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    with socket.socket():
        place = tables(tmp_path)
        (place / "tcp6").unlink()
        (place / "udp").unlink()
        (place / "udp").mkdir()
        (place / "raw").write_bytes(HEAD.encode() + b"\xff\xfe\n")
        assert look([os.getpid()], place).unread == ("udp", "raw")
