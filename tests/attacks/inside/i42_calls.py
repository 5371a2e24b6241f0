"""I42: calls of the kernel that no gateway needs."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage


def calls(here) -> None:  # type: ignore[no-untyped-def]
    import ctypes
    import os

    from planted_code import ways

    room = ctypes.create_string_buffer(4096)
    keeper, by = here.given["keeper"], here.given["bystander"]
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(room), 64)
    far = (ctypes.c_size_t * 2)(here.given["address"], 64)
    try:
        child = os.fork()  # what succeeds must not spoil the process for the other attempts
    except PermissionError:
        child = None  # they are tried here then
    if child:
        os.waitpid(child, 0)
        return
    tried = {
        "fanotify_init": lambda: os.close(ways.call("fanotify_init", 0x200, 0)),
        "perf_event_open": lambda: os.close(ways.call("perf_event_open", ctypes.byref(room), by, -1, -1, 0)),
        "userfaultfd": lambda: os.close(ways.call("userfaultfd", 1)),
        "bpf": lambda: ways.call("bpf", 0, ctypes.byref(room), 128),
        "io_uring_setup": lambda: os.close(ways.call("io_uring_setup", 8, ctypes.byref(room))),
        "keyctl": lambda: ways.call("keyctl", 0, -3, 1),
        "add_key": lambda: ways.call("add_key", b"user", b"planted", b"x", 1, -3),
        "request_key": lambda: ways.call("request_key", b"dns_resolver", b"planted.example", None, -3),
        "kcmp": lambda: ways.call("kcmp", os.getpid(), by, 0, 0, 0),
        "attach to the keeper": lambda: ways.call("ptrace", 16, keeper, 0, 0),
        "seize a bystander": lambda: ways.call("ptrace", 0x4206, by, 0, 0),
        "read a bystander": lambda: ways.call("process_vm_readv", by, ctypes.byref(vector), 1, ctypes.byref(far), 1, 0),
        "write the keeper": lambda: ways.call("process_vm_writev", keeper, ctypes.byref(vector), 1, ctypes.byref(far), 1, 0),
        "take a bystander's descriptor": lambda: os.close(ways.call("pidfd_getfd", os.pidfd_open(by), 1, 0)),
        "take the keeper's descriptor": lambda: os.close(ways.call("pidfd_getfd", os.pidfd_open(keeper), 1, 0)),
        "unshare": lambda: ways.call("unshare", 0x10000000),
        "unshare, network": lambda: ways.call("unshare", 0x40000000),
        "setns": lambda: ways.call("setns", os.pidfd_open(by), 0x00020000),
    }
    # Only where they must fail anyway, and aimed at the own folder: the machine of whoever runs the kit must stay as it is.
    administrators = {
        "mount": lambda: ways.call("mount", b"none", bytes(here.own), b"tmpfs", 0, None),
        "fsopen": lambda: os.close(ways.call("fsopen", b"tmpfs", 0)),
        "open_tree": lambda: os.close(ways.call("open_tree", -100, b"/", 1)),
        "chroot": lambda: ways.call("chroot", bytes(here.own)),
        "file handles": lambda: ways.call("open_by_handle_at", -100, ctypes.byref(room), 0),
        "the kernel's log": lambda: ways.call("syslog", 3, ctypes.byref(room), 4096),
        "accounting": lambda: ways.call("acct", bytes(here.own / "acct")),
        "quotas": lambda: ways.call("quotactl", 0x80000200, b"/dev/null", 0, ctypes.byref(room)),
    }
    for name, work in (tried if os.getuid() == 0 else tried | administrators).items():
        here.attempt(name, work)
    if child == 0:
        os._exit(0)


@attack("I42", "fanotify, ptrace, bpf, io_uring, keyctl, namespaces, mounts and 20 others", promise=ALONE, expected="refused")
def kernel(stage: Stage) -> Seen:
    """Each has been a way out of a lock, or a look into other programs."""
    one = taken(stage)
    return refused(one.run(calls, keeper=one.gateway.pid, bystander=one.bystander.pid, address=0x400000))
