"""What the systems say of the other end, as far as it can be tried here. Other users' processes: `test_strangers`."""

from __future__ import annotations

import os
import socket
import struct
import sys

import pytest

from app.system import peers
from tests.strangers import PERSON, STRANGER, needs_root, run_as

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")


@posix_only
def test_the_kernel_names_the_user_at_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peers.uid_of(ours) == os.geteuid()
        assert peers.same_user(ours)
        assert peers.Peer.of(ours).process == os.getpid()


@posix_only
def test_of_what_is_no_unix_socket_nothing_is_known_and_nobody_is_trusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as made:
        assert peers.uid_of(made) is None
        assert not peers.same_user(made)
    ours, theirs = socket.socketpair()
    ours.close()
    assert not peers.same_user(ours)
    theirs.close()


@pytest.mark.parametrize(("version", "uid", "known"), [(0, 501, 501), (0, 0, 0), (1, 501, None), (0, 4_294_967_294, 4_294_967_294)])
def test_macos_struct_of_a_peer_is_read(version: int, uid: int, known: int | None) -> None:
    """struct xucred as xnu lays it out: 76 bytes. The call itself runs on macOS alone."""
    data = struct.pack("=IIh2x16I", version, uid, 1, *[20] * 16)
    assert len(data) == 76
    assert peers._uid_of_xucred(data) == known


@pytest.mark.skipif(sys.platform != "linux", reason="a stand-in for Windows, with a real table of connections")
def test_the_table_of_connections_names_the_process_at_the_other_end() -> None:
    """What Windows is asked, tried where it can be: the same calls answer here."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as made:
        accepted, _ = listener.accept()
        with accepted:
            assert peers._same_user_by_table(made)
            assert peers._same_user_by_table(accepted)
    with socket.socket() as unconnected:
        assert not peers._same_user_by_table(unconnected)


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="a stand-in for Windows, with a real table of connections")
@pytest.mark.parametrize("asking", [PERSON, 0])
def test_in_the_table_a_listener_of_another_user_is_a_stranger(asking: int) -> None:
    script = f"""
import psutil
listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    become({STRANGER})
    client, _ = listener.accept()
    client.recv(1)
    os._exit(0)
made = socket.create_connection(listener.getsockname())
listener.close()
time.sleep(0.2)
peers._same_user_by_table(made)
os.setresgid({asking}, {asking}, {asking}); os.setresuid({asking}, {asking}, {asking})
print(peers._same_user_by_table(made))
"""
    assert run_as(0, script).strip() == "False"
