"""The filter itself: what it decides for both processors, and what the kernel then does with every call of a really locked process."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.system import bpf, neighbours, seccomp
from app.system.system_calls import MACHINES, UNKNOWN_FROM

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="the kernel's locks are known for Linux on two processors"
)
PID = 4133


class Simulator:
    """What the kernel does with a filter: enough of classic BPF to ask it about another processor than this one."""

    def __init__(self, code: bytes) -> None:
        self.code = list(struct.iter_unpack("<HBBI", code))
        self.steps = 0

    def judge(self, arch: int, number: int, *arguments: int) -> str:
        data = number.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8)
        data += b"".join(each.to_bytes(8, "little") for each in (*arguments, 0, 0, 0, 0, 0, 0)[:6])
        at, accumulator, self.steps = 0, 0, 0
        while True:
            code, then, otherwise, value = self.code[at]
            at += 1
            self.steps += 1
            if code == 0x20:
                accumulator = int.from_bytes(data[value : value + 4], "little")
            elif code == 0x54:
                accumulator &= value
            elif code == 0x05:
                at += value
            elif code == 0x06:
                return {0x7FFF0000: "allow", 0x80000000: "kill", 0x0005000D: "refuse", 0x00050026: "absent"}[value]
            else:
                holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
                at += then if holds else otherwise


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides_the_same_on_both_processors(machine: str) -> None:
    made = MACHINES[machine]
    engine, window = (Simulator(seccomp.build(kind, made, PID)) for kind in ("engine", "window"))  # type: ignore[arg-type]
    n = made.numbers

    def of_engine(name: str, *arguments: int) -> str:
        return engine.judge(made.audit, n[name], *arguments)

    for name in (
        "socket", "connect", "bind", "execve", "execveat", "ptrace", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "bpf",
        "add_key", "request_key", "keyctl", "unshare", "setns", "userfaultfd",
    ):  # fmt: skip
        assert of_engine(name, 1, 1) == "refuse", name
    for name in ("request_key", "ptrace", "pidfd_getfd", "process_vm_writev", "bpf"):
        assert window.judge(made.audit, n[name]) == "refuse", name
    assert of_engine("clone3") == "absent"
    assert of_engine("clone", 0x003D0F00) == "allow"  # a thread, as libc makes it
    assert of_engine("clone", 0x01200011) == "refuse"  # a process, as libc makes it
    assert window.judge(made.audit, n["clone"], 0x01200011) == "allow"
    for space in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert of_engine("clone", space | 0x003D0F00) == "refuse"
        assert window.judge(made.audit, n["clone"], space | 17) == "refuse"
    assert of_engine("setsockopt", 5, 1, 9) == "allow"  # SO_KEEPALIVE
    assert of_engine("setsockopt", 5, 6, 1) == "allow"  # TCP_NODELAY
    for level, option in ((0, 4), (41, 57), (41, 6), (1, 25), (1, 62), (6, 31), (17, 1), (58, 1), (263, 1), (284, 1)):
        assert of_engine("setsockopt", 5, level, option) == "refuse", (level, option)
    for request, verdict in (
        (0x400454CA, "refuse"),
        (0x5412, "refuse"),
        (0x541C, "refuse"),
        (0x8901, "refuse"),
        (0x40086602, "refuse"),
        (0x5421, "allow"),
        (0x5401, "allow"),
    ):
        assert of_engine("ioctl", 5, request) == window.judge(made.audit, n["ioctl"], 5, request) == verdict
    assert of_engine("ioctl", 5, 0xAE01) == "refuse"  # KVM_CREATE_VM, for one that nobody listed
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        assert of_engine(name) == "absent"
        assert window.judge(made.audit, n[name]) == "absent"
    assert of_engine("sendto", 5, 0, 10, 0, 0) == "allow"
    assert of_engine("sendto", 5, 0, 10, 0, 0x7FFF12345678) == "refuse"
    assert of_engine("sendto", 5, 0, 10, 0, 0x7F0000000000) == "refuse"  # only the upper half is set
    assert of_engine("sendto", 5, 0, 10, 0x20000000, 0) == "refuse"
    assert of_engine("sendto", 5, 0, 10, 0x4000, 0) == "allow"  # MSG_NOSIGNAL
    assert of_engine("sendmsg", 5, 1, 0x4040) == "allow"
    assert of_engine("sendmsg", 5, 1, 0x20004000) == "refuse"
    assert of_engine("sendmmsg", 5, 1, 1, 0x20000000) == "refuse"
    assert of_engine("socketpair", 1, 1 | 0x80800) == "allow"  # with SOCK_CLOEXEC and SOCK_NONBLOCK
    assert of_engine("socketpair", 1, 2) == "refuse"
    assert of_engine("socketpair", 30, 1) == "refuse"  # TIPC
    assert engine.judge(made.audit, 0) == "allow"
    for family, verdict in ((1, "allow"), (16, "allow"), (2, "refuse"), (10, "refuse"), (17, "refuse"), (40, "refuse"), (0, "refuse")):
        assert window.judge(made.audit, n["socket"], family) == verdict
    assert window.judge(made.audit, n["connect"]) == "allow"
    assert window.judge(made.audit, n["execve"]) == "allow"
    other = MACHINES["aarch64" if machine == "x86_64" else "x86_64"]
    assert engine.judge(other.audit, 0) == window.judge(0x40000003, 0) == "kill"  # i386 on x86_64
    assert engine.judge(made.audit, 0x40000000 | n["connect"]) == "absent"  # x32, on x86_64


@pytest.mark.parametrize(
    ("machine", "headers"),
    [
        ("x86_64", ("/usr/include/asm/unistd_64.h", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h")),
        ("aarch64", ("/usr/include/asm-generic/unistd.h",)),  # arm64 uses the generic set
    ],
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, headers: tuple[str, ...]) -> None:
    """Where the headers are installed: the table is checked, not believed."""
    found = [path for path in headers if Path(path).exists()]
    if not found:
        pytest.skip("no header that tells")
    raw = {
        words[1]: words[2]
        for line in Path(found[0]).read_text().splitlines()
        if len(words := line.split()) >= 3 and words[0] == "#define" and words[1].startswith("__NR")
    }
    told = {name.removeprefix("__NR_"): number(raw, name) for name in raw if name.startswith("__NR_")}
    numbers = MACHINES[machine].numbers
    ours = {name: each for name, each in numbers.items() if name in told}
    assert ours == {name: told[name] for name in ours}
    newest = max(each for name, each in told.items() if name != "syscalls")
    assert [name for name, each in numbers.items() if name not in told and each <= newest] == []
    known = {name for each in MACHINES.values() for name in each.numbers}
    assert {name for name in known & set(told) if name not in numbers} == set(), "a call that this processor has, too"


def number(raw: dict[str, str], name: str) -> int:
    """Some are defined by way of another name."""
    value = raw[name]
    return int(value) if value.isdecimal() else number(raw, value) if value in raw else -1


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_the_numbers_are_those_of_another_library(machine: str, audit: int) -> None:
    """libseccomp has tables of its own; it does not know the newest calls."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("no libseccomp")
    found = {name: library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(audit), name.encode()) for name in MACHINES[machine].numbers}
    told = {name: each for name, each in found.items() if each >= 0}
    assert len(told) > 100
    assert told == {name: MACHINES[machine].numbers[name] for name in told}


def test_what_is_newer_than_the_headers_has_its_number_by_what_it_does(tmp_path: Path) -> None:
    """Where this kernel has it: the mode, the attribute."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    try:
        neighbours.call("fchmodat2", -100, str(file).encode(), 0o640, 0)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            pytest.skip("an older kernel")
        raise
    assert file.stat().st_mode & 0o777 == 0o640
    said = {"setxattrat": errno.EINVAL, "removexattrat": errno.EINVAL, "open_tree_attr": errno.EINVAL, "file_setattr": errno.EINVAL}
    for name, answer in (said | {"lsm_set_self_attr": errno.E2BIG}).items():
        with pytest.raises(OSError, match=r".") as caught:
            neighbours.call(name, -1, None, -1, None, 0, 0)
        assert caught.value.errno in (answer, errno.ENOSYS, errno.EOPNOTSUPP), name


OTHERS = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "get_robust_list", "perf_event_open",
    "userfaultfd", "move_pages", "migrate_pages", "pidfd_open", "pidfd_send_signal", "process_mrelease", "unshare", "setns",
)  # fmt: skip
NAMED = (
    "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr", "msgget", "msgsnd", "msgrcv", "msgctl",
    "semget", "semop", "semtimedop", "semctl", "add_key", "request_key", "keyctl",
)  # fmt: skip
FILES = (
    "truncate", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
    "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr", "utime", "utimes", "futimesat",
    "utimensat", "fanotify_init", "fanotify_mark", "open_by_handle_at", "quotactl", "quotactl_fd", "lookup_dcookie",
)  # fmt: skip
ROOTS = (
    "mount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
    "pivot_root", "chroot", "mknod", "mknodat", "swapon", "swapoff", "bpf", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "acct", "syslog", "iopl", "ioperm", "modify_ldt", "personality", "vhangup", "uselib", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "lsm_set_self_attr",
)  # fmt: skip
ENGINES = (
    "socket", "connect", "bind", "execve", "execveat", "fork", "vfork", "setpgid", "setsid", "setpriority", "ioprio_set",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "inotify_init", "inotify_init1", "inotify_add_watch",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
)  # fmt: skip
MEMORY = ("shmget", "shmat", "shmdt", "shmctl")
MORE = {"engine": (*ENGINES, *MEMORY), "vault": MEMORY, "window": ()}
GONE = ("io_uring_setup", "io_uring_enter", "io_uring_register", "openat2", "clone3")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("kind", ["engine", "vault", "window"])
def test_every_call_that_nobody_needs_is_refused_whatever_it_is_given(kind: seccomp.Kind, machine: str) -> None:
    made = MACHINES[machine]
    filter_ = Simulator(seccomp.build(kind, made, PID))
    for name in (*OTHERS, *NAMED, *FILES, *ROOTS, *MORE[kind]):
        if name in made.numbers:
            for argument in (0, PID, 2**64 - 1):
                assert filter_.judge(made.audit, made.numbers[name], *[argument] * 6) == "refuse", name
    for name in GONE:
        assert filter_.judge(made.audit, made.numbers[name]) == "absent", name
    for later in (UNKNOWN_FROM, UNKNOWN_FROM + 1, 512, 1_000_000, 0x40000000, 0xFFFFFFFF):
        assert filter_.judge(made.audit, later) == "absent", later


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_only_this_process_is_signalled_limited_or_hurried(machine: str) -> None:
    made = MACHINES[machine]
    engine, window = (Simulator(seccomp.build(kind, made, PID)) for kind in ("engine", "window"))  # type: ignore[arg-type]
    others = (1, PID + 1, PID - 1, 2**32 - 1, 2**32 - PID, 2**64 - PID)  # also a group, everybody, and what is cut off to either
    for filter_ in (engine, window):
        for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            assert filter_.judge(made.audit, made.numbers[name], PID, 9) == "allow"
            for pid in (0, *others):
                assert filter_.judge(made.audit, made.numbers[name], pid, 9) == "refuse", (name, pid)
        assert filter_.judge(made.audit, made.numbers["prlimit64"], 0) == "allow"
        assert filter_.judge(made.audit, made.numbers["prlimit64"], PID) == "allow"
        for pid in others:
            assert filter_.judge(made.audit, made.numbers["prlimit64"], pid) == "refuse"
        for command in (8, 10, 15, 1024, 1026):  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY
            assert filter_.judge(made.audit, made.numbers["fcntl"], 5, command, PID) == "refuse"
        for command in (0, 1, 2, 3, 4, 5, 6, 7, 37, 38, 1030, 1033):
            assert filter_.judge(made.audit, made.numbers["fcntl"], 5, command) == "allow"
    n = made.numbers
    for name in ("sched_setaffinity", "sched_setattr", "sched_setparam"):
        assert [window.judge(made.audit, made.numbers[name], pid) for pid in (0, PID, 1)] == ["allow", "allow", "refuse"]
    # Qt starts threads in the ordinary order (SCHED_OTHER), by their own numbers.
    for policy, verdict in ((0, "allow"), (1, "refuse"), (2, "refuse"), (3, "refuse"), (5, "refuse"), (2**32 - 1, "refuse")):
        assert window.judge(made.audit, n["sched_setscheduler"], 1, policy) == verdict
        assert window.judge(made.audit, n["sched_setscheduler"], PID, policy) == "allow"
    for key, verdict in ((0, "allow"), (1, "refuse"), (2**32 - 1, "refuse")):
        assert window.judge(made.audit, n["shmget"], key, 1, 0o1600) == verdict
    for command, verdict in ((0, "allow"), (1, "refuse"), (2, "refuse"), (13, "refuse")):
        assert window.judge(made.audit, n["shmctl"], 7, command) == verdict
    for name, one in (("setpriority", 0), ("ioprio_set", 1)):
        assert [window.judge(made.audit, made.numbers[name], one, who) for who in (0, PID, 1)] == ["allow", "allow", "refuse"]
        assert [window.judge(made.audit, made.numbers[name], one + 1, who) for who in (0, PID)] == ["refuse", "refuse"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_file_is_emptied_by_who_may_write_it(machine: str) -> None:
    """O_TRUNC empties on O_RDONLY and on the nameless fourth kind too, and Landlock before version 3 sees a reader."""
    made = MACHINES[machine]
    engine = Simulator(seccomp.build("engine", made, PID))
    for flags, verdict in ((0o1000, "refuse"), (0o1003, "refuse"), (0o1001, "allow"), (0o1002, "allow"), (0, "allow"), (0o102, "allow")):
        assert engine.judge(made.audit, made.numbers["openat"], 2**32 - 100, 1, flags | 0o2000000) == verdict
        if "open" in made.numbers:
            assert engine.judge(made.audit, made.numbers["open"], 1, flags) == verdict


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("kind", ["engine", "vault", "window"])
def test_no_call_walks_far_and_what_is_always_allowed_depends_on_its_number_alone(kind: seccomp.Kind, machine: str) -> None:
    """A call is compared by halves. One whose verdict needs no argument is remembered by the kernel (5.11) and walks nothing."""
    made = MACHINES[machine]
    code = seccomp.build(kind, made, PID)
    assert len(code) // 8 <= bpf.LONGEST // 8
    filter_ = Simulator(code)
    walked = []
    for call in range(UNKNOWN_FROM):
        verdict = filter_.judge(made.audit, call)
        walked.append(filter_.steps)
        assert verdict == "allow" or call in made.numbers.values(), f"nobody meant to refuse {call}"
    assert max(walked) <= 25
    frequent = {"x86_64": (0, 1, 7, 17, 18, 20, 45, 47, 202, 228, 232, 281), "aarch64": (22, 63, 64, 66, 67, 68, 98, 113, 207, 212)}
    for call in frequent[machine]:
        assert filter_.judge(made.audit, call, *[2**64 - 1] * 6) == filter_.judge(made.audit, call) == "allow"


def test_a_jump_that_cannot_be_written_is_an_error_and_not_another_jump() -> None:
    far = bpf.Assembler()
    far.jump(bpf.EQUAL, 1, "end")
    for _ in range(300):
        far.end(0)
    far.place("end")
    far.end(1)
    with pytest.raises(ValueError, match="instruction 0 jumps"):
        far.bytes()
    back = bpf.Assembler()
    back.place("start")
    back.go("start")
    with pytest.raises(ValueError, match="jumps"):
        back.bytes()
    long = bpf.Assembler()
    for _ in range(bpf.LONGEST + 1):
        long.end(0)
    with pytest.raises(ValueError, match="4097 instructions"):
        long.bytes()


# -- in a locked process

LOCKED = r"""
import ctypes, errno, json, os, sys
sys.path.insert(0, sys.argv[1])
from app.system import landlock, sandbox, seccomp
if "--old" in sys.argv:
    def absent(*_, **__): raise OSError(errno.ENOSYS, "an older kernel")
    landlock.restrict = absent
if "--bare" not in sys.argv:
    from pathlib import Path
    locks = sandbox.lock(sys.argv[2], folder=next((Path(word) for word in sys.argv[3:] if os.path.isdir(word)), None))
    assert locks.seccomp == "", locks
    assert "Seccomp:	2" in open("/proc/self/status").read()
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    from app.system import neighbours
    try:
        return neighbours.call(name, *arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def locked(role: str, script: str, *more: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", LOCKED + script, str(ROOT), role, *more], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("role", ["engine", "window", "vault"])
def test_the_kernel_really_refuses_each_of_them(role: str) -> None:
    """Every call with arguments that would change nothing where it is not refused."""
    here = MACHINES[platform.machine()].numbers
    names = [name for name in (*OTHERS, *NAMED, *FILES, *ROOTS, *MORE[role], *GONE) if name in here]
    said = locked(role, f"print(json.dumps({{name: call(name, -1, -1, -1, -1, -1, -1) for name in {names!r}}}))")
    assert said == {name: "ENOSYS" if name in GONE else "EACCES" for name in names}


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A program of the same user that does nothing, and ends by any signal."""
    with subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        one.stdout.readline()
        yield one
        one.kill()


HARM = r"""
import fcntl, resource, signal, socket, struct, threading
victim = int(sys.argv[3])
limits = ctypes.create_string_buffer(struct.pack("=QQ", 50, 50))
def owner(command, number):
    ours, theirs = socket.socketpair()
    try:
        fcntl.fcntl(ours, 10, int(signal.SIGKILL))
        if command == 15: fcntl.fcntl(ours, 15, struct.pack("=ii", 1, victim))
        elif command == 8: fcntl.fcntl(ours, 8, victim)
        else: fcntl.ioctl(ours, command, struct.pack("=i", victim))
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
        theirs.send(b"x")
        return "sent"
    except OSError as error:
        return errno.errorcode[error.errno]
said = {
    "limits": call("prlimit64", victim, 7, limits, None), "read limits": call("prlimit64", victim, 7, None, limits),
    "affinity": call("sched_setaffinity", victim, 8, ctypes.create_string_buffer(struct.pack("=Q", 1))),
    "priority": call("setpriority", 0, victim, 19), "priority of all": call("setpriority", 2, os.getuid(), 19),
    "io": call("ioprio_set", 1, victim, (3 << 13)), "scheduler": call("sched_setscheduler", victim, 3, ctypes.create_string_buffer(4)),
    "kill": call("kill", victim, 9), "a group": call("kill", -os.getpgid(victim), 0), "own group": call("kill", 0, 0),
    "everybody": call("kill", -1, 0), "thread": call("tgkill", victim, victim, 9), "old thread": call("tkill", victim, 9),
    "queued": call("rt_sigqueueinfo", victim, 9, ctypes.create_string_buffer(128)),
    "owner": owner(8, victim), "owner, newer": owner(15, victim), "owner by ioctl": owner(0x8901, victim),
    "pidfd": call("pidfd_open", victim, 0),
}
print(json.dumps(said))
"""


@pytest.mark.parametrize("role", ["engine", "window"])
@pytest.mark.parametrize("kernel", ["--new", "--old"])
def test_a_bystander_is_left_alone_also_where_landlock_knows_no_signals(role: str, kernel: str, bystander: subprocess.Popen[bytes]) -> None:
    before = facts_of(bystander.pid)
    said = locked(role, HARM, str(bystander.pid), kernel)
    assert {name: what for name, what in said.items() if what != "EACCES"} == {}
    assert bystander.poll() is None
    assert facts_of(bystander.pid) == before


def test_without_the_lock_the_same_hurts_so_the_attempts_are_real(bystander: subprocess.Popen[bytes]) -> None:
    gentle = HARM.replace('call("kill", victim, 9)', 'call("kill", victim, 0)')
    for ends in ('"thread": call("tgkill", victim, victim, 9), ', '"old thread": call("tkill", victim, 9),', '"owner": owner(8, victim), '):
        assert ends in gentle
        gentle = gentle.replace(ends, "")
    before = facts_of(bystander.pid)
    said = locked("engine", gentle, str(bystander.pid), "--bare")
    refused = {name for name, what in said.items() if what == "EACCES"}
    assert refused == set()
    assert facts_of(bystander.pid) != before
    assert bystander.wait(10) == -signal.SIGKILL  # by the owner of a descriptor


def facts_of(pid: int) -> tuple[object, ...]:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE), os.sched_getaffinity(pid), os.getpriority(os.PRIO_PROCESS, pid)


def test_no_file_is_changed_by_a_call_that_an_older_landlock_does_not_see(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    file.chmod(0o600)
    before = file.stat()
    said = locked(
        "engine",
        r"""
import stat
from pathlib import Path
file = Path(sys.argv[3])
def attempt(work):
    try:
        return str(work())
    except OSError as error:
        return errno.errorcode[error.errno]
reader = os.open(file, os.O_RDONLY)
print(json.dumps([attempt(work) for work in (
    lambda: os.open(file, os.O_RDONLY | os.O_TRUNC), lambda: os.open(file, 3 | os.O_TRUNC), lambda: os.truncate(file, 0),
    lambda: os.truncate(reader, 0), lambda: os.chmod(file, 0o777), lambda: os.fchmod(reader, 0o777), lambda: os.utime(file, (1, 1)),
    lambda: os.chown(file, os.getuid(), os.getgid()), lambda: os.setxattr(file, "user.x", b"1"),
    lambda: os.removexattr(file, "user.x"),
)]))
""",
        str(file),
        "--old",
    )
    assert said == ["EACCES", "EACCES", "EACCES", "EINVAL", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES"]
    after = file.stat()
    assert file.read_bytes() == b"content"
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (before.st_mode, before.st_mtime_ns, before.st_ctime_ns)


WORKS = r"""
import asyncio, faulthandler, fcntl, resource, signal, socket, sqlite3, tempfile, threading, time
from pathlib import Path
said = []
signal.signal(signal.SIGUSR1, lambda number, frame: said.append("signal"))
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)
signal.pthread_kill(threading.get_ident(), signal.SIGUSR1); signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
libc.raise_ = libc["raise"]; libc.raise_(int(signal.SIGUSR1)); time.sleep(0.01)
assert said == ["signal"] * 5, said
waiting = threading.Event()
def wait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); waiting.set(); said.append(signal.sigwait([signal.SIGUSR2]))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
thread = threading.Thread(target=wait); thread.start(); waiting.wait(); signal.pthread_kill(thread.ident, signal.SIGUSR2); thread.join()
assert said[-1] == signal.SIGUSR2
with open(os.devnull, "w") as nowhere:
    faulthandler.enable(nowhere); faulthandler.dump_traceback(nowhere); faulthandler.dump_traceback_later(100, file=nowhere)
    faulthandler.cancel_dump_traceback_later(); faulthandler.disable()
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE); os.sched_getaffinity(0); os.getpriority(os.PRIO_PROCESS, 0)
folder = Path(sys.argv[3])
file = folder / "file"; file.write_bytes(b"one"); file.write_bytes(b"two")
with file.open("r+b") as opened:
    opened.truncate(1); os.fsync(opened); fcntl.flock(opened, fcntl.LOCK_EX); fcntl.lockf(opened, fcntl.LOCK_UN)
    os.set_inheritable(opened.fileno(), True); os.set_inheritable(opened.fileno(), False); opened.isatty()
    os.posix_fallocate(opened.fileno(), 0, 10); os.close(os.dup(opened.fileno()))
file.rename(folder / "other"); os.link(folder / "other", folder / "link")
os.umask(0o077); list(os.scandir(folder)); os.statvfs(folder); tempfile.mkstemp(dir=folder); os.memfd_create("x")
for mode in ("WAL", "DELETE"):
    database = sqlite3.connect(folder / f"{mode}.db"); assert database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0] == mode.lower()
    for number in range(3):
        with database: database.execute("CREATE TABLE IF NOT EXISTS t(a)"); database.execute("INSERT INTO t VALUES (?)", (number,))
    with database: database.execute("DELETE FROM t")
    database.execute("VACUUM"); database.execute("PRAGMA wal_checkpoint(TRUNCATE)"); database.close()
ours, theirs = socket.socketpair(); ours.setblocking(False); theirs.sendall(b"x")
left, right = os.pipe(); os.set_blocking(left, False)
async def looped():
    loop = asyncio.get_running_loop(); done = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, done.set_result, None); os.kill(os.getpid(), signal.SIGTERM); await asyncio.wait_for(done, 10)
    assert await asyncio.to_thread(lambda: 7) == 7
asyncio.run(looped())
import uvloop; uvloop.run(looped())
signal.signal(signal.SIGALRM, lambda *_: said.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.sigtimedwait([], 1)
assert said[-1] == "alarm"
print(json.dumps("all"))
"""


@pytest.mark.parametrize("role", ["engine", "window"])
@pytest.mark.parametrize("kernel", ["--new", "--old"])
def test_what_our_programs_do_goes_on_working(role: str, kernel: str, tmp_path: Path) -> None:
    assert locked(role, WORKS, str(tmp_path), kernel) == "all"


@pytest.mark.parametrize("role", ["engine", "window", "vault"])
@pytest.mark.parametrize(
    ("end", "number"),
    [("os.abort()", signal.SIGABRT), ("os.kill(os.getpid(), 9)", signal.SIGKILL), ("ctypes.string_at(0)", signal.SIGSEGV)],
)
def test_a_locked_process_still_dies_as_it_should(role: str, end: str, number: int) -> None:
    script = f"{LOCKED}\nimport threading\nprint('alive', flush=True)\nthread = threading.Thread(target=lambda: {end})\nthread.start()\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}thread.join()", str(ROOT), role], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("alive\n", -number)
