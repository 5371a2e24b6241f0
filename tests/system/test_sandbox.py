"""The locks on real processes: everything that once got out is tried against a listener that would notice."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.system import landlock, neighbours, sandbox, seccomp

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in seccomp.MACHINES, reason="the kernel's locks are known for Linux on two processors"
)

ATTEMPTS = r"""
import ctypes, errno, fcntl, json, os, socket, struct, subprocess, sys, threading
sys.path.insert(0, sys.argv[1])
role, port = sys.argv[2], int(sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted, _ = listener.accept()
handed = socket.create_connection(listener.getsockname())
taken, _ = listener.accept()
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
LOOPBACK = socket.if_nametoindex("lo")
listener6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
client6 = socket.create_connection(listener6.getsockname()[:2])
SEGMENTS = bytes([0, 2, 4, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, "::1")
before = []
release = threading.Event()
if "--thread" in sys.argv:
    def late():
        release.wait()
        try:
            socket.create_connection(("127.0.0.1", port), 2).sendall(b"thread")
            before.append("REACHED")
        except OSError as error:
            before.append(errno.errorcode.get(error.errno, str(error)))
    worker = threading.Thread(target=late); worker.start()
from app.system import sandbox
if "--none" not in sys.argv:
    locks = sandbox.lock(role)
else:
    locks = sandbox.measure(role, "not asked", "not asked", 0)
libc = ctypes.CDLL(None, use_errno=True)
said = {}
def attempt(name, work):
    try:
        work()
        said[name] = "REACHED"
    except OSError as error:
        said[name] = errno.errorcode.get(error.errno, str(error.errno))
def uv():
    import asyncio, uvloop
    async def go():
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"uvloop"); await writer.drain()
    uvloop.run(go())
def reaim(sock):
    def work():
        if libc.connect(sock.fileno(), struct.pack("=H14x", 0), 16) < 0:
            raise OSError(ctypes.get_errno(), "disconnect")
        sock.connect(("127.0.0.1", port)); sock.sendall(b"re-aimed")
    return work
def relisten():
    copy = socket.socket(fileno=os.dup(listener.fileno()))
    copy.shutdown(socket.SHUT_RDWR)
    copy.connect(("127.0.0.1", port)); copy.sendall(b"listener")
def fast_open(name):
    def work():
        sock = socket.socket()
        arguments = ([b"fast"], [], 0x20000000, ("127.0.0.1", port)) if name == "sendmsg" else (b"fast", 0x20000000, ("127.0.0.1", port))
        getattr(sock, name)(*arguments)
    return work
def curl():
    done = subprocess.run([sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'child')"],
                          capture_output=True)
    if done.returncode: raise OSError(errno.EACCES, "the child could not")
def raw(number, *arguments):
    def work():
        if libc.syscall(ctypes.c_long(number), *arguments) < 0: raise OSError(ctypes.get_errno(), "refused")
    return work
def fork_in_namespace():
    pid = libc.syscall(ctypes.c_long(56), ctypes.c_ulong(0x10000000 | 17), None, None, None, ctypes.c_ulong(0))
    if pid == 0: os._exit(0)
    if pid < 0: raise OSError(ctypes.get_errno(), "refused")
    os.waitpid(pid, 0)
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", port), 2).sendall(b"tcp"))
attempt("tcp6", lambda: socket.socket(socket.AF_INET6).connect(("::1", port)))
attempt("uvloop", uv)
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"udp", ("127.0.0.1", port)))
attempt("mptcp", lambda: socket.socket(2, 1, 262).connect(("127.0.0.1", port)))
attempt("fast open, sendto", fast_open("sendto"))
attempt("fast open, sendmsg", fast_open("sendmsg"))
attempt("child", curl)
attempt("look-up", lambda: socket.getaddrinfo("leak.invalid.", 443))
if role in ("engine", "writer"):
    attempt("accepted descriptor", reaim(accepted))
    attempt("listening descriptor", relisten)
    attempt("older datagram socket, sendto", lambda: datagram.sendto(b"udp", ("127.0.0.1", port)))
    attempt("older datagram socket, connect", lambda: datagram.connect(("127.0.0.1", port)))
    attempt("unix", lambda: socket.socket(socket.AF_UNIX))
    attempt("datagram pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    attempt("source route, IPv4", lambda: client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 131, 7, 4, 127, 0, 0, 1])))
    attempt("source route, IPv6", lambda: client6.setsockopt(socket.IPPROTO_IPV6, 57, SEGMENTS))
    attempt("another interface", lambda: client.setsockopt(socket.SOL_SOCKET, 25, b"lo\0"))
    attempt("another interface, by number", lambda: client.setsockopt(socket.SOL_SOCKET, 62, LOOPBACK))
    attempt("another protocol", lambda: client.setsockopt(socket.IPPROTO_TCP, 31, b"tls"))
    attempt("tunnel", lambda: fcntl.ioctl(os.open("/dev/null", os.O_RDWR), 0x400454CA, bytes(40)))
    attempt("typing into a terminal", lambda: fcntl.ioctl(0, 0x5412, b"x"))
    attempt("new namespace", raw(272, 0x10000000))
    attempt("new namespace for a child", lambda: fork_in_namespace())
    attempt("look-up by the kernel", raw(249, b"dns_resolver", b"leak.invalid", b"", 0))
    attempt("connected descriptor made to listen", lambda: (client.shutdown(socket.SHUT_RDWR), client.listen()))
    attempt("bind", lambda: socket.socket(fileno=os.dup(datagram.fileno())).bind(("127.0.0.1", 0)))
ring = (ctypes.c_byte * 120)()
attempt("io_uring", raw(425, 8, ring))
attempt("pidfd_getfd", raw(438, 3, 0, 0))
ours, theirs = socket.socketpair()
ours.sendall(b"still works"); assert theirs.recv(20) == b"still works"
if locks.holds:
    handed.sendall(b"and so do handed ones"); handed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if role == "window":
    socket.socket(socket.AF_UNIX).close(); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
release.set()
if "--thread" in sys.argv:
    worker.join(); said["older thread"] = before[0]
print(json.dumps({"said": said, "locks": locks.fields()}))
"""


class Evil:
    """Somebody nobody declared: notes what reaches it over TCP and UDP, on both families."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._take, self._hear)]
        for thread in self._threads:
            thread.start()

    def _take(self) -> None:
        while True:
            try:
                one, _ = self.tcp.accept()
            except OSError:
                return
            with one:
                one.settimeout(1)
                try:
                    self.got.append(one.recv(100))
                except OSError:
                    self.got.append(b"connected")

    def _hear(self) -> None:
        while True:
            data = self.udp.recv(100)
            if data == b"end":
                return
            self.got.append(data)

    def close(self) -> None:
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.udp.sendto(b"end", self.udp.getsockname())
        for thread in self._threads:
            thread.join(5)
        self.udp.close()


@pytest.fixture
def evil() -> Iterator[Evil]:
    one = Evil()
    yield one
    one.close()


def attempts(role: str, evil: Evil, *extra: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(ROOT), role, str(evil.port), *extra], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_unlocked_process_gets_out_so_the_attempts_are_real(evil: Evil) -> None:
    found = attempts("engine", evil, "--none")
    reached = {name for name, result in found["said"].items() if result == "REACHED"}
    assert {"tcp", "uvloop", "udp", "child", "accepted descriptor", "older datagram socket, sendto"} <= reached
    assert {b"tcp", b"udp", b"re-aimed", b"child", b"uvloop"} <= set(evil.got)
    locks = sandbox.Locks.of(found["locks"])
    assert locks.level == "guarded"
    assert {"TCP over IPv4", "UDP over IPv4", "connect", "a source route", "starting a program", "unix sockets"} <= set(locks.open)
    # Mounting is refused to an ordinary user anyway.
    assert {*neighbours.FOR_ALL, *neighbours.FOR_ENGINE} - {"mounting"} <= set(locks.open)


@pytest.mark.needs("raw sockets")
def test_an_unlocked_process_may_choose_a_route_so_that_attempt_is_real_too(evil: Evil) -> None:
    assert attempts("engine", evil, "--none")["said"]["source route, IPv4"] == "REACHED"


@pytest.mark.parametrize("role", ["engine", "window", "vault", "writer"])
def test_nothing_leaves_a_locked_process_by_any_way_that_was_known_to_leak(role: str, evil: Evil) -> None:
    found = attempts(role, evil)
    assert not [name for name, result in found["said"].items() if result == "REACHED"]
    assert evil.got == []
    locks = sandbox.Locks.of(found["locks"])
    assert (locks.holds, locks.seccomp, locks.open) == (True, "", ())
    assert role == "window" or locks.level == "kernel"
    assert locks.hidden == (role != "window")
    if landlock.version() >= 4:
        assert locks.landlock == ""


def test_a_thread_that_was_there_before_is_locked_too(evil: Evil) -> None:
    assert attempts("engine", evil, "--thread")["said"]["older thread"] != "REACHED"
    assert evil.got == []


def test_a_lock_that_is_missing_lowers_the_level_and_says_why(evil: Evil) -> None:
    script = ATTEMPTS.replace(
        "from app.system import sandbox\n",
        "from app.system import sandbox, seccomp\nimport errno\n"
        "def _gone(kind): raise OSError(errno.ENOSYS, 'Function not implemented')\nsandbox.seccomp.install = _gone\n",
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), "engine", str(evil.port)], capture_output=True, text=True, timeout=60, check=False
    )
    locks = sandbox.Locks.of(json.loads(done.stdout)["locks"])
    assert locks.level == "guarded"
    assert locks.seccomp == "Function not implemented"
    assert "UDP over IPv4" in locks.open


HOLES = {
    "prlimit64": "limits of another process", "sched_setscheduler": "priority of another process", "kill": "a signal to its group",
    "fcntl": "a signal by way of a descriptor", "mq_open": "a message queue", "shmget": "shared memory", "fchmodat": "the mode of a file",
    "truncate": "emptying a file", "clone": "starting a process",
}  # fmt: skip


@pytest.mark.parametrize("call", HOLES)
def test_a_filter_with_a_hole_lowers_the_level_and_names_it(call: str) -> None:
    """The call is as free as if it had been forgotten; every other attempt is still refused."""
    script = (
        "import dataclasses, json, sys; sys.path.insert(0, sys.argv[1])\nfrom app.system import sandbox, seccomp\n"
        "here = seccomp.MACHINES[sys.argv[3]]\nnumbers = {name: each for name, each in here.numbers.items() if name != sys.argv[2]}\n"
        "seccomp.MACHINES = {sys.argv[3]: dataclasses.replace(here, numbers=numbers)}\n"
        "print(json.dumps(sandbox.lock('engine').fields()))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT), call, platform.machine()], capture_output=True, text=True, check=True)
    locks = sandbox.Locks.of(json.loads(done.stdout))
    assert locks.level == "guarded"
    beside = {"a signal to another process"} if call == "kill" and landlock.version() < 6 else set()  # else Landlock refuses that one
    assert set(locks.open) == {HOLES[call]} | beside


def test_a_filter_that_claims_to_be_there_but_refuses_nothing_is_not_believed() -> None:
    """The level comes from trying, so a call that returned without an error proves nothing."""
    locks = sandbox.measure("engine", "", "", 7)
    assert locks.level == "guarded"


def test_a_window_on_a_remote_screen_stays_usable_and_says_that_it_is_not_locked() -> None:
    locks = in_a_process("window", {"DISPLAY": "localhost:10.0"})
    assert locks.level == "guarded"
    assert locks.seccomp == "the screen is reached over the network"
    assert in_a_process("window", {"DISPLAY": ":0"}).holds
    assert in_a_process("window", {"DISPLAY": "unix:0"}).holds
    assert in_a_process("vault", {"DBUS_SESSION_BUS_ADDRESS": "tcp:host=localhost"}).level == "guarded"


def in_a_process(role: str, environment: dict[str, str]) -> sandbox.Locks:
    script = (
        "import json,sys; sys.path.insert(0,sys.argv[1]); from app.system import sandbox; "
        "print(json.dumps(sandbox.lock(sys.argv[2]).fields()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), role],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]} | environment,
        check=True,
    )
    return sandbox.Locks.of(json.loads(done.stdout))


def test_no_core_is_written_and_memory_is_not_shown() -> None:
    script = (
        "import sys; sys.path.insert(0,sys.argv[1])\nimport resource\nfrom app.system import sandbox\nsandbox.lock('engine')\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/status').read())"
    )
    said = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, check=True).stdout
    assert said.startswith("(0, 0)")
    assert "Seccomp:\t2" in said
    assert "NoNewPrivs:\t1" in said
