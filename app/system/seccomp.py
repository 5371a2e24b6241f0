"""The kernel's own refusal, on Linux: a seccomp filter through ctypes, which needs no privilege and cannot be taken off again.

A filter is inherited by threads and children and outlives exec. Two of them:

- `engine`: lives on inherited and handed descriptors alone. No `socket`, no `connect`, no address in a send call, no program started,
  no descriptor taken from another process. An accepted descriptor can be re-aimed with `connect`, and `MSG_FASTOPEN` connects inside a
  send call, so refusing `socket` alone would leak. Of `socketpair` only the unix stream kind is left: a datagram one takes an address in
  `sendmsg`, where a filter cannot see it. Of `setsockopt` only the options of sockets and of TCP are left: a source route (`IP_OPTIONS`,
  `IPV6_RTHDR`) sends the packets of a connected descriptor to another host. `request_key` has root ask the resolver for any name. In
  a new namespace a process has every capability, so none is made; `clone3` hides its flags from a filter, and libc then takes `clone`.
  A tunnel that an administrator gave to this user (`/dev/net/tun`) takes packets of one's own making, a terminal takes typed words.
- `window`: unix sockets (screen, session bus) and netlink (how Qt lists interfaces), nothing else.

Sources: seccomp(2), linux/filter.h, linux/seccomp.h, the kernel's syscall tables for x86_64 and for the generic set that arm64 uses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["engine", "window"]

MSG_FASTOPEN: Final = 0x20000000
_UNIX, _NETLINK, _STREAM = 1, 16, 1
_SOCK_TYPE_MASK: Final = 0xF
_SOL_SOCKET, _SOL_TCP = 1, 6
_OTHER_INTERFACE: Final = (25, 62)  # SO_BINDTODEVICE, SO_BINDTOIFINDEX
_TCP_ULP: Final = 31  # another protocol in TCP's place
_DEVICES: Final = (0x400454CA, 0x5412, 0x541C)  # TUNSETIFF: packets of one's own making; TIOCSTI, TIOCLINUX: keys typed into a terminal
_NEW_NAMESPACES: Final = 0x7E020000  # CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET


@dataclass(frozen=True, slots=True)
class Machine:
    """One processor architecture: how the kernel names it (linux/audit.h) and its numbers of the calls that we look at."""

    audit: int
    numbers: Mapping[str, int]
    second_abi: bool  # x86_64 has a second set of numbers (x32) under the same name


MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(
        0xC000003E,
        {
            "socket": 41, "connect": 42, "sendto": 44, "sendmsg": 46, "bind": 49, "socketpair": 53, "execve": 59, "ptrace": 101,
            "sendmmsg": 307, "process_vm_readv": 310, "process_vm_writev": 311, "seccomp": 317, "bpf": 321, "execveat": 322,
            "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_getfd": 438, "setsockopt": 54, "clone": 56,
            "ioctl": 16,
            "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "setns": 308, "userfaultfd": 323, "clone3": 435,
        },
        second_abi=True,
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "socket": 198, "socketpair": 199, "bind": 200, "connect": 203, "sendto": 206, "sendmsg": 211, "execve": 221, "ptrace": 117,
            "sendmmsg": 269, "process_vm_readv": 270, "process_vm_writev": 271, "seccomp": 277, "bpf": 280, "execveat": 281,
            "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_getfd": 438, "setsockopt": 208, "clone": 220,
            "ioctl": 29,
            "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268, "userfaultfd": 282, "clone3": 435,
        },
        second_abi=False,
    ),
}  # fmt: skip

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_REFUSE: Final = 0x00050000 | errno.EACCES
_NOT_THERE: Final = 0x00050000 | errno.ENOSYS  # programs take this for an old kernel and use the ordinary calls instead

_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
_ALL_THREADS, _SPECULATE = 1, 4  # SECCOMP_FILTER_FLAG_TSYNC; _SPEC_ALLOW: no slower processor mode for a filter that hides no secret
_SET_MODE_FILTER: Final = 1
_NO_NEW_PRIVS: Final = 38

_SHUT: Final[Mapping[Kind, tuple[str, ...]]] = {
    "engine": (
        "connect", "bind", "execve", "execveat", "ptrace", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "bpf", "add_key",
        "request_key", "keyctl", "unshare", "setns", "userfaultfd",
    ),
    "window": ("ptrace", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "bpf", "add_key", "request_key", "keyctl"),
}  # fmt: skip


def build(kind: Kind, machine: Machine) -> bytes:
    """The filter as the kernel reads it: 8 bytes an instruction."""
    return _engine(machine) if kind == "engine" else _window(machine)


def install(kind: Kind) -> None:
    """Put the filter on every thread of this process, for good. OSError when the kernel or this machine does not take it."""
    machine = MACHINES.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 2**32 else None
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter is known for {platform.machine()} on this system")
    code = build(kind, machine)
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


@dataclass(slots=True)
class _Assembler:
    """Jumps by name: filter jumps are relative, forward, and easily off by one."""

    code: list[tuple[int, int, str, str]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def place(self, name: str) -> None:
        self.places[name] = len(self.code)

    def load(self, offset: int) -> None:
        self.code.append((_LOAD, offset, "", ""))

    def keep(self, mask: int) -> None:
        self.code.append((_AND, mask, "", ""))

    def jump(self, test: int, value: int, then: str, otherwise: str = "") -> None:
        self.code.append((test, value, then, otherwise))

    def end(self, verdict: int) -> None:
        self.code.append((_RETURN, verdict, "", ""))

    def bytes(self) -> bytes:
        made = b""
        for here, (code, value, then, otherwise) in enumerate(self.code):
            made += struct.pack("<HBBI", code, *(self.places[name] - here - 1 if name else 0 for name in (then, otherwise)), value)
        return made


def _low(argument: int) -> int:
    return 16 + 8 * argument  # both machines are little-endian


def _high(argument: int) -> int:
    return 20 + 8 * argument


def _begin(machine: Machine, kind: Kind) -> _Assembler:
    a = _Assembler()
    a.load(_ARCH)
    a.jump(_JUMP_EQUAL, machine.audit, "ours")
    a.end(_KILL_PROCESS)
    a.place("ours")
    a.load(_NUMBER)
    if machine.second_abi:
        a.jump(_JUMP_AT_LEAST, 0x40000000, "absent")
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        a.jump(_JUMP_EQUAL, machine.numbers[name], "absent")
    for name in _SHUT[kind]:
        a.jump(_JUMP_EQUAL, machine.numbers[name], "refuse")
    return a


def _finish(a: _Assembler) -> bytes:
    a.place("allow")
    a.end(_ALLOW)
    a.place("refuse")
    a.end(_REFUSE)
    a.place("absent")
    a.end(_NOT_THERE)
    return a.bytes()


def _engine(machine: Machine) -> bytes:
    a = _begin(machine, "engine")
    a.jump(_JUMP_EQUAL, machine.numbers["socket"], "refuse")
    a.jump(_JUMP_EQUAL, machine.numbers["clone3"], "absent")
    for name in ("sendto", "sendmsg", "sendmmsg", "socketpair", "setsockopt", "clone", "ioctl"):
        a.jump(_JUMP_EQUAL, machine.numbers[name], name)
    a.end(_ALLOW)
    a.place("sendto")
    a.load(_low(3))
    a.jump(_JUMP_SET, MSG_FASTOPEN, "refuse")
    a.load(_low(4))
    a.jump(_JUMP_EQUAL, 0, "upper", "refuse")
    a.place("upper")
    a.load(_high(4))
    a.jump(_JUMP_EQUAL, 0, "allow", "refuse")
    a.place("sendmsg")
    a.load(_low(2))
    a.jump(_JUMP_SET, MSG_FASTOPEN, "refuse", "allow")
    a.place("sendmmsg")
    a.load(_low(3))
    a.jump(_JUMP_SET, MSG_FASTOPEN, "refuse", "allow")
    a.place("socketpair")
    a.load(_low(0))
    a.jump(_JUMP_EQUAL, _UNIX, "kind", "refuse")
    a.place("kind")
    a.load(_low(1))
    a.keep(_SOCK_TYPE_MASK)
    a.jump(_JUMP_EQUAL, _STREAM, "allow", "refuse")
    a.place("setsockopt")
    a.load(_low(1))
    a.jump(_JUMP_EQUAL, _SOL_SOCKET, "of sockets")
    a.jump(_JUMP_EQUAL, _SOL_TCP, "of TCP", "refuse")
    a.place("of sockets")
    a.load(_low(2))
    a.jump(_JUMP_EQUAL, _OTHER_INTERFACE[0], "refuse")
    a.jump(_JUMP_EQUAL, _OTHER_INTERFACE[1], "refuse", "allow")
    a.place("of TCP")
    a.load(_low(2))
    a.jump(_JUMP_EQUAL, _TCP_ULP, "refuse", "allow")
    a.place("clone")
    a.load(_low(0))
    a.jump(_JUMP_SET, _NEW_NAMESPACES, "refuse", "allow")
    a.place("ioctl")
    a.load(_low(1))
    for request in _DEVICES:
        a.jump(_JUMP_EQUAL, request, "refuse")
    return _finish(a)  # begins with "allow"


def _window(machine: Machine) -> bytes:
    a = _begin(machine, "window")
    a.jump(_JUMP_EQUAL, machine.numbers["socket"], "family", "allow")
    a.place("family")
    a.load(_low(0))
    a.jump(_JUMP_EQUAL, _UNIX, "allow")
    a.jump(_JUMP_EQUAL, _NETLINK, "allow", "refuse")
    return _finish(a)
