"""The kernel's own refusal, on Linux: a seccomp filter through ctypes, which needs no privilege and cannot be taken off again.

A filter is inherited by threads and children and outlives exec. Three of them:

- `engine`: lives on inherited and handed descriptors alone. No `socket`, no `connect`, no address in a send call, no program or process
  started, no descriptor taken from another process. An accepted descriptor can be re-aimed with `connect`, and `MSG_FASTOPEN` connects
  inside a send call, so refusing `socket` alone would leak. Of `socketpair` only the unix stream kind is left: a datagram one takes an
  address in `sendmsg`, where a filter cannot see it. Of `setsockopt` only the options of sockets and of TCP are left: a source route
  (`IP_OPTIONS`, `IPV6_RTHDR`) sends the packets of a connected descriptor to another host. `request_key` has root ask the resolver for
  any name. In a new namespace a process has every capability, so none is made; `clone3` hides its flags from a filter, and libc then
  takes `clone`. A process of its own would outlive the engine, with its connections. Of `ioctl` only what asks about a descriptor is
  left: others make packets (`TUNSETIFF`), type into a terminal (`TIOCSTI`) or change a file's attributes.
- `vault`: unix sockets (session bus) and netlink, nothing else.
- `window`: the same (screen, session bus; Qt lists interfaces), and of shared memory what Qt asks the X server about at its start: a new
  piece without a name. Without the answer Qt sends every picture through the socket, and painting a window takes four to eight times as
  long. Qt also gives the ordinary order of execution to its own threads, whose numbers nobody knows before.

All leave other programs alone, on every kernel, also where Landlock knows no signals yet (before version 6):

- No signal to anybody else: own process only, by whatever call. A descriptor's owner (`F_SETOWN` with `F_SETSIG`, `FIOSETOWN`) is
  signalled by the kernel, with any signal one likes, so nobody is made owner.
- No other process' limits, priority, processors, memory or descriptors; no queue, semaphore or shared memory that others find by name.
  (A window attaches a piece by its number, as every program on that screen can.)
- No mode, owner, attribute or time of a file: Landlock covers none of them. No `truncate`, and no opening that empties a file without
  writing (`O_RDONLY | O_TRUNC`): Landlock before version 3 sees neither. `openat2` hides its flags, and libc then takes `openat`.
- Nothing that only an administrator may (a gateway in a container often runs as root): mounts, modules, clocks, names, swap, reboot.
- No call that is newer than our table: programs take it for an old kernel. x32, x86_64's second set of numbers, lies beyond it, too.

Sources: seccomp(2), linux/filter.h, linux/seccomp.h, fcntl(2), asm-generic/ioctls.h, linux/fs.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable, Mapping
from typing import Final, Literal

from app.system.bpf import ANY_BIT, ARCH, EQUAL, NUMBER, Assembler, high, low, spans_of
from app.system.system_calls import MACHINES, UNKNOWN_FROM, Machine

Kind = Literal["engine", "vault", "window"]

MSG_FASTOPEN: Final = 0x20000000
_UNIX, _NETLINK, _STREAM = 1, 16, 1
_SOCK_TYPE_MASK: Final = 0xF
_SOL_SOCKET, _SOL_TCP = 1, 6
_OTHER_INTERFACE: Final = (25, 62)  # SO_BINDTODEVICE, SO_BINDTOIFINDEX
_TCP_ULP: Final = 31  # another protocol in TCP's place
_THREAD: Final = 0x00010000  # CLONE_THREAD
_NEW_NAMESPACES: Final = 0x7E020000  # CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET
_PROCESS, _IO_PROCESS = 0, 1  # PRIO_PROCESS, IOPRIO_WHO_PROCESS: "who" is one process, not a group or a user
_ORDINARY: Final = 0  # SCHED_OTHER
_NAMELESS, _REMOVE = 0, 0  # IPC_PRIVATE, IPC_RMID
_TRUNCATE, _ACCESS = 0x200, 3  # O_TRUNC, O_ACCMODE
_WRITES: Final = (1, 2)  # O_WRONLY, O_RDWR
_OWNER: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: whom the kernel signals, and how
_STALLS: Final = (1024, 1026)  # F_SETLEASE, which holds up who opens the file; F_NOTIFY, which tells of others' changes
# What asks about a descriptor: TCGETS, TIOCOUTQ, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2.
_ASKING: Final = (0x5401, 0x5411, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
# TUNSETIFF; TIOCSTI, TIOCLINUX; FIOSETOWN, SIOCSPGRP; FS_IOC_SETFLAGS (and of 32 bits), FS_IOC_FSSETXATTR.
_DEVICES: Final = (0x400454CA, 0x5412, 0x541C, 0x8901, 0x8902, 0x40086602, 0x40046602, 0x401C5820)

_VERDICTS: Final = {
    "allow": 0x7FFF0000,
    "refuse": 0x00050000 | errno.EACCES,
    "absent": 0x00050000 | errno.ENOSYS,  # programs take this for an old kernel and use the ordinary calls instead
}
_KILL_PROCESS: Final = 0x80000000
_ALL_THREADS, _SPECULATE = 1, 4  # SECCOMP_FILTER_FLAG_TSYNC; _SPEC_ALLOW: no slower processor mode for a filter that hides no secret
_SET_MODE_FILTER: Final = 1
_NO_NEW_PRIVS: Final = 38

_SHUT: Final[tuple[str, ...]] = (
    # other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "get_robust_list", "perf_event_open",
    "userfaultfd", "move_pages", "migrate_pages", "pidfd_open", "pidfd_send_signal", "process_mrelease", "unshare", "setns",
    # what others find by a name or a number
    "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr", "msgget", "msgsnd", "msgrcv", "msgctl",
    "semget", "semop", "semtimedop", "semctl", "add_key", "request_key", "keyctl",
    # what Landlock does not cover of a file
    "truncate", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
    "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr", "utime", "utimes", "futimesat",
    "utimensat", "fanotify_init", "fanotify_mark", "open_by_handle_at", "quotactl", "quotactl_fd", "lookup_dcookie",
    # an administrator's
    "mount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
    "pivot_root", "chroot", "mknod", "mknodat", "swapon", "swapoff", "bpf", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "acct", "syslog", "iopl", "ioperm", "modify_ldt", "personality", "vhangup", "uselib", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "lsm_set_self_attr",
)  # fmt: skip
_MEMORY: Final = ("shmget", "shmat", "shmdt", "shmctl")
_ENGINES: Final = (
    "socket", "connect", "bind", "execve", "execveat", "fork", "vfork", "setpgid", "setsid", "setpriority", "ioprio_set",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "inotify_init", "inotify_init1", "inotify_add_watch",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
)  # fmt: skip
_MORE: Final[Mapping[Kind, tuple[str, ...]]] = {"engine": (*_MEMORY, *_ENGINES), "vault": _MEMORY, "window": ()}
_ABSENT: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register", "openat2", "clone3")

# Calls that are judged by their arguments, by the name of the rule.
_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "own": ("prlimit64",),
    "own alone": ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    "open": ("open",), "openat": ("openat",), "fcntl": ("fcntl",),
}  # fmt: skip
_DESKTOPS: Final[Mapping[str, tuple[str, ...]]] = {
    "own": (*_RULES["own"], "sched_setaffinity", "sched_setattr", "sched_setparam"), "order": ("sched_setscheduler",),
    "priority": ("setpriority",), "io priority": ("ioprio_set",), "namespace": ("clone",), "devices": ("ioctl",), "family": ("socket",),
}  # fmt: skip
_RULES_OF: Final[Mapping[Kind, Mapping[str, tuple[str, ...]]]] = {
    "engine": {
        "sendto": ("sendto",), "sendmsg": ("sendmsg",), "sendmmsg": ("sendmmsg",), "socketpair": ("socketpair",),
        "setsockopt": ("setsockopt",), "thread": ("clone",), "asking": ("ioctl",),
    },
    "vault": _DESKTOPS,
    "window": {**_DESKTOPS, "nameless": ("shmget",), "removing": ("shmctl",)},
}  # fmt: skip


def build(kind: Kind, machine: Machine, pid: int) -> bytes:
    """The filter as the kernel reads it, for the process `pid`: 8 bytes an instruction."""
    rules = {**_RULES, **_RULES_OF[kind]}
    calls = dict.fromkeys((*_SHUT, *_MORE[kind]), "refuse") | dict.fromkeys(_ABSENT, "absent")
    calls |= {name: rule for rule, names in rules.items() for name in names}
    numbers = {machine.numbers[name]: what for name, what in calls.items() if name in machine.numbers}
    a = Assembler()
    a.load(ARCH)
    a.jump(EQUAL, machine.audit, "ours")
    a.end(_KILL_PROCESS)
    a.place("ours")
    a.load(NUMBER)
    a.choose([*spans_of(numbers, "allow"), (UNKNOWN_FROM, "absent")], _VERDICTS)
    for rule in rules:
        a.place(rule)
        _WRITE[rule](a, pid)
    for name, verdict in _VERDICTS.items():
        a.place(name)
        a.end(verdict)
    return a.bytes()


def install(kind: Kind) -> None:
    """Put the filter on every thread of this process, for good. OSError when the kernel or this machine does not take it.

    A child that is started later is not the process that the filter knows: it signals and limits nobody, not even itself by its number.
    """
    machine = MACHINES.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 2**32 else None
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter is known for {platform.machine()} on this system")
    code = build(kind, machine, os.getpid())
    room = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(room))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _failed()
    number = ctypes.c_long(machine.numbers["seccomp"])
    if libc.syscall(number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_ALL_THREADS | _SPECULATE), ctypes.byref(program)):
        raise _failed()


def _failed() -> OSError:
    number = ctypes.get_errno() or errno.EPERM
    return OSError(number, os.strerror(number))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _own(a: Assembler, pid: int) -> None:
    """The first argument is this process, by number or as 0."""
    a.load(low(0))
    a.jump(EQUAL, 0, "allow")
    a.jump(EQUAL, pid, "allow", "refuse")


def _order(a: Assembler, pid: int) -> None:
    """The ordinary order of execution for whatever thread, another one for this process."""
    a.load(low(1))
    a.jump(EQUAL, _ORDINARY, "allow")
    _own(a, pid)


def _own_alone(a: Assembler, pid: int) -> None:
    """Not 0 either, which is everybody in the same group."""
    a.load(low(0))
    a.jump(EQUAL, pid, "allow", "refuse")


def _own_of(kind: int) -> Callable[[Assembler, int], None]:
    """The first argument says what the second is: only "one process", and this one."""

    def write(a: Assembler, pid: int) -> None:
        who = f"who {kind}"
        a.load(low(0))
        a.jump(EQUAL, kind, who, "refuse")
        a.place(who)
        a.load(low(1))
        a.jump(EQUAL, 0, "allow")
        a.jump(EQUAL, pid, "allow", "refuse")

    return write


def _emptying(flags: int) -> Callable[[Assembler, int], None]:
    """Emptying a file is writing, and Landlock judges an opening by what it says it will do. flags: which argument they are."""

    def write(a: Assembler, pid: int) -> None:
        empties = f"empties {flags}"
        a.load(low(flags))
        a.jump(ANY_BIT, _TRUNCATE, empties, "allow")
        a.place(empties)
        a.keep(_ACCESS)
        for access in _WRITES:
            a.jump(EQUAL, access, "allow")
        a.go("refuse")

    return write


def _flags(argument: int, bits: int) -> Callable[[Assembler, int], None]:
    """None of these bits in the argument."""

    def write(a: Assembler, pid: int) -> None:
        a.load(low(argument))
        a.jump(ANY_BIT, bits, "refuse", "allow")

    return write


def _one_of(argument: int, values: tuple[int, ...], then: str, otherwise: str) -> Callable[[Assembler, int], None]:
    def write(a: Assembler, pid: int) -> None:
        a.load(low(argument))
        for value in values:
            a.jump(EQUAL, value, then)
        a.go(otherwise)

    return write


def _sendto(a: Assembler, pid: int) -> None:
    a.load(low(3))
    a.jump(ANY_BIT, MSG_FASTOPEN, "refuse")
    a.load(low(4))
    a.jump(EQUAL, 0, "upper half", "refuse")
    a.place("upper half")
    a.load(high(4))
    a.jump(EQUAL, 0, "allow", "refuse")


def _socketpair(a: Assembler, pid: int) -> None:
    a.load(low(0))
    a.jump(EQUAL, _UNIX, "kind", "refuse")
    a.place("kind")
    a.load(low(1))
    a.keep(_SOCK_TYPE_MASK)
    a.jump(EQUAL, _STREAM, "allow", "refuse")


def _setsockopt(a: Assembler, pid: int) -> None:
    a.load(low(1))
    a.jump(EQUAL, _SOL_SOCKET, "of sockets")
    a.jump(EQUAL, _SOL_TCP, "of TCP", "refuse")
    a.place("of sockets")
    a.load(low(2))
    a.jump(EQUAL, _OTHER_INTERFACE[0], "refuse")
    a.jump(EQUAL, _OTHER_INTERFACE[1], "refuse", "allow")
    a.place("of TCP")
    a.load(low(2))
    a.jump(EQUAL, _TCP_ULP, "refuse", "allow")


def _thread(a: Assembler, pid: int) -> None:
    """A thread, in no new namespace."""
    a.load(low(0))
    a.jump(ANY_BIT, _NEW_NAMESPACES, "refuse")
    a.jump(ANY_BIT, _THREAD, "allow", "refuse")


_WRITE: Final[Mapping[str, Callable[[Assembler, int], None]]] = {
    "own": _own,
    "own alone": _own_alone,
    "order": _order,
    "priority": _own_of(_PROCESS),
    "io priority": _own_of(_IO_PROCESS),
    "open": _emptying(1),
    "openat": _emptying(2),
    "fcntl": _one_of(1, (*_OWNER, *_STALLS), "refuse", "allow"),
    "asking": _one_of(1, _ASKING, "allow", "refuse"),
    "devices": _one_of(1, _DEVICES, "refuse", "allow"),
    "family": _one_of(0, (_UNIX, _NETLINK), "allow", "refuse"),
    "nameless": _one_of(0, (_NAMELESS,), "allow", "refuse"),
    "removing": _one_of(1, (_REMOVE,), "allow", "refuse"),
    "sendto": _sendto,
    "sendmsg": _flags(2, MSG_FASTOPEN),
    "sendmmsg": _flags(3, MSG_FASTOPEN),
    "socketpair": _socketpair,
    "setsockopt": _setsockopt,
    "thread": _thread,
    "namespace": _flags(0, _NEW_NAMESPACES),
}
