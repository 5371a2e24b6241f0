"""Frames, descriptors, requests and replies between two ends; and what a hostile or dying other side can do."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from app.core.errors import AppError
from app.system.channel import FRAME_MAX, Caller, Channel, Message, inherited, pair
from app.system.peers import uid_of

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="SCM_RIGHTS")


@pytest.fixture
def ends() -> Any:
    ours, theirs = socket.socketpair()
    channels = Channel(ours), Channel(theirs)
    yield channels
    for channel in channels:
        channel.close()


def caller(channel: Channel, on_message: Any = None, on_eof: Any = None) -> Caller:
    made = Caller(channel, on_message or (lambda message, sockets: None), on_eof or (lambda: None), "test")
    made.start()
    return made


def test_a_message_arrives_as_it_was_sent(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    left.send({"op": "boot", "text": "Größe ✓", "number": 7, "none": None, "list": ["a", 1]})
    assert right.receive() == ({"op": "boot", "text": "Größe ✓", "number": 7, "none": None, "list": ["a", 1]}, [])


def test_frames_cut_at_every_byte_are_put_together(ends: tuple[Channel, Channel]) -> None:
    raw, theirs = socket.socketpair()
    right = Channel(theirs)
    body = json.dumps({"op": "x", "n": 1}).encode()
    frame = struct.pack(">I", len(body)) + body

    def drip() -> None:
        for byte in frame * 2:
            raw.send(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert right.receive() == right.receive() == ({"op": "x", "n": 1}, [])
    thread.join()
    raw.close()
    assert right.receive() is None
    right.close()


def test_a_large_message_and_many_threads_do_not_mix(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    large = "x" * 300_000
    threads = [threading.Thread(target=lambda n=n: [left.send({"n": n, "i": i, "text": large}) for i in range(5)]) for n in range(4)]
    for thread in threads:
        thread.start()
    got = [right.receive() for _ in range(20)]
    for thread in threads:
        thread.join()
    assert all(message is not None and message[0]["text"] == large for message in got)
    for n in range(4):
        assert [message[0]["i"] for message in got if message and message[0]["n"] == n] == [0, 1, 2, 3, 4]


@posix_only
def test_sockets_arrive_with_their_own_message_in_order(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(16)]
    left.send({"op": "before"})
    left.send({"op": "boot"}, *listeners)
    left.send({"op": "after"})
    assert right.receive() == ({"op": "before"}, [])
    got = right.receive()
    assert got is not None
    assert [s.getsockname() for s in got[1]] == [s.getsockname() for s in listeners]
    assert not any(os.get_inheritable(s.fileno()) for s in got[1])
    assert right.receive() == ({"op": "after"}, [])
    for each in (*got[1], *listeners):
        each.close()


def test_more_sockets_or_bytes_than_fit_are_refused_before_anything_is_sent(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    with socket.socket() as one, pytest.raises(ValueError, match="17 sockets"):
        left.send({"op": "x"}, *[one] * 17)
    with pytest.raises(ValueError, match="does not fit into a frame"):
        left.send({"op": "x", "text": "y" * FRAME_MAX})
    left.send({"op": "next"})
    assert right.receive() == ({"op": "next"}, [])


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">I", FRAME_MAX + 1),
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 0),
        struct.pack(">I", 4) + b"null",
        struct.pack(">I", 7) + b"[1,2,3]",
        struct.pack(">I", 2) + b"\xff\xfe",
        struct.pack(">I", 3) + b"{,}",
        struct.pack(">I", 200_000) + b"[" * 200_000,
        struct.pack(">I", 10) + b"{",
        b"\0\0",
    ],
)
def test_a_broken_frame_ends_the_channel(frame: bytes) -> None:
    raw, theirs = socket.socketpair()
    right = Channel(theirs)
    raw.sendall(frame)
    raw.shutdown(socket.SHUT_WR)
    assert right.receive() is None
    assert right.receive() is None, "and it stays ended"
    raw.close()


@posix_only
def test_sockets_of_a_broken_frame_are_not_leaked() -> None:
    raw, theirs = socket.socketpair()
    right = Channel(theirs)
    before = len(os.listdir("/dev/fd"))
    with socket.socket() as passed:
        socket.send_fds(raw, [struct.pack(">I", 4) + b"null"], [passed.fileno()])
    assert right.receive() is None
    assert len(os.listdir("/dev/fd")) == before - 1, "the passed descriptor is closed, and so is the channel itself"
    raw.close()


@posix_only
def test_a_descriptor_that_is_no_socket_is_dropped() -> None:
    raw, theirs = socket.socketpair()
    right = Channel(theirs)
    body = b'{"op":"x"}'
    with open("/dev/null") as null:
        socket.send_fds(raw, [struct.pack(">I", len(body)) + body], [null.fileno()])
    assert right.receive() == ({"op": "x"}, [])
    raw.close()
    right.close()


@pytest.mark.skipif(sys.platform != "linux", reason="descriptor limits as Linux applies them to SCM_RIGHTS")
def test_without_free_descriptors_the_message_becomes_an_error_and_the_channel_lives() -> None:
    import resource

    ours, theirs = socket.socketpair()
    left, right = Channel(ours), Channel(theirs)
    closed: list[Message] = []
    handed: list[socket.socket] = []
    left_caller = caller(left, lambda message, sockets: closed.append(message) if message["op"] == "closed" else answer(message))

    def answer(request: Message) -> None:
        handed.append(socket.socket())
        left_caller.reply(request, {"connection": 9}, handed[0])

    asker = caller(right)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    occupied = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
    highest = max(occupied)
    filler: list[int] = []
    try:
        left.send({"op": "warm"})
        # The answering side needs one descriptor more than it has now; the limit leaves room for exactly that one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        while True:
            try:
                filler.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        os.close(filler.pop())
        with pytest.raises(AppError) as caught:
            asker.call("dial", timeout_s=5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in occupied + filler:
            os.close(number)
    assert caught.value.code == "too_many_connections"
    deadline = time.monotonic() + 5
    while not closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert closed == [{"op": "closed", "connection": 9}], "the connection that could not arrive is given back"
    handed[0].close()
    left.close()
    right.close()


def test_a_request_gets_its_own_reply_and_errors_keep_their_words(ends: tuple[Channel, Channel]) -> None:
    left, right = ends

    def serve(message: Message, sockets: list[socket.socket]) -> None:
        if message["op"] == "fail":
            answering.refuse(message, AppError("vault_locked", "GNOME Keyring is locked.", "Unlock it."))
        else:
            threading.Timer(0.05 if message["n"] % 2 else 0, lambda: answering.reply(message, {"n": message["n"]})).start()

    answering = caller(left, serve)
    asking = caller(right)
    futures: list[Future[Any]] = [asking.submit("echo", {"n": n}) for n in range(20)]
    assert [future.result(5)[0]["n"] for future in futures] == list(range(20))
    assert asking.call("echo", {"n": 3})[0]["n"] == 3
    with pytest.raises(AppError) as caught:
        asking.call("fail")
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("vault_locked", "GNOME Keyring is locked.", "Unlock it.")


def test_an_error_that_is_not_ours_becomes_internal(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    asking = caller(right)
    future = asking.submit("x")
    received = left.receive()
    assert received is not None
    left.send({"re": received[0]["id"], "error": {"code": "rm -rf", "message": "x"}})
    with pytest.raises(AppError) as caught:
        future.result(5)
    assert caught.value.code == "internal"


def test_replies_that_nobody_asked_for_change_nothing(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    asking = caller(right)
    for reply in ({"re": 99}, {"re": None}, {"re": [1]}, {"re": {"a": 1}, "error": 1}):
        left.send(dict(reply))
    future = asking.submit("x")
    received = left.receive()
    assert received is not None
    left.send({"re": received[0]["id"], "ok": True})
    assert future.result(5)[0]["ok"] is True


def test_waiting_callers_are_told_at_once_when_the_other_side_dies() -> None:
    ours, theirs = socket.socketpair()
    ended = threading.Event()
    asking = caller(Channel(ours), on_eof=ended.set)
    future = asking.submit("x")
    theirs.close()
    with pytest.raises(AppError) as caught:
        future.result(5)
    assert caught.value.code == "engine_absent"
    assert ended.wait(5)
    with pytest.raises(AppError):
        asking.call("later")
    asking.send("push to nobody")


def test_silence_ends_in_words_and_a_late_reply_is_given_back(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    asking = caller(right)
    with pytest.raises(AppError, match="not answered within"):
        asking.call("dial", timeout_s=0.05)
    received = left.receive()
    assert received is not None
    left.send({"re": received[0]["id"], "connection": 4})
    assert left.receive() == ({"op": "closed", "connection": 4}, [])


def test_a_cancelled_request_gives_its_connection_back(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    asking = caller(right)
    future = asking.submit("dial")
    received = left.receive()
    assert received is not None
    assert future.cancel()
    left.send({"re": received[0]["id"], "connection": 5})
    assert left.receive() == ({"op": "closed", "connection": 5}, [])


@pytest.mark.skipif(sys.platform == "win32", reason="SO_SNDTIMEO")
def test_a_peer_that_reads_nothing_does_not_hold_the_sender_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    left = Channel(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200_000))
    started = time.monotonic()
    with pytest.raises(OSError, match=r".*"):
        while True:
            left.send({"op": "x", "text": "y" * 100_000})
    assert time.monotonic() - started < 60
    assert left.receive() is None, "half a frame is out: the channel is over"
    theirs.close()


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="peer credentials")
def test_the_kernel_names_the_user_at_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    assert uid_of(ours) == os.getuid()
    ours.close()
    theirs.close()
    with socket.socket() as inet:
        assert uid_of(inet) is None


@posix_only
def test_a_child_finds_its_channel_by_number() -> None:
    channel, theirs = pair()
    code = "import sys; from app.system.channel import inherited; c = inherited(sys.argv[1:]); c.send(c.receive()[0] | {'pong': 1})"
    child = subprocess.Popen([sys.executable, "-c", code, "--channel", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    channel.send({"op": "ping"})
    assert channel.receive() == ({"op": "ping", "pong": 1}, [])
    assert channel.receive() is None
    assert child.wait(10) == 0
    channel.close()


@pytest.mark.parametrize("arguments", [[], ["--channel"], ["--channel", "x"], ["--channel", "987"], ["--channel", "-1"]])
def test_a_verb_typed_by_hand_is_refused_in_words(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="for Gatehouse itself"):
        inherited(arguments)
