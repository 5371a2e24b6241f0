"""Ways to change a file or a folder, by the standard library and by the kernel's calls themselves. Each raises OSError where it is refused.

A way on prey gets a file that is there; a way to a new name gets a path at which nothing is. `own` is a folder that may be written.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

TEXT = b"planted\n"
# Numbers of the calls: x86_64, and the generic set that arm64 uses.
_X86 = os.uname().machine == "x86_64"
NUMBERS = {
    "openat": (257, 56), "openat2": (437, 437), "truncate": (76, 45), "renameat2": (316, 276), "linkat": (265, 37), "mknodat": (259, 33),
    "copy_file_range": (326, 285), "symlinkat": (266, 36), "mkdirat": (258, 34), "unlinkat": (263, 35), "setxattr": (188, 5),
    "fchmodat2": (452, 452), "utimensat": (280, 88), "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "mq_open": (240, 180), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "fanotify_init": (300, 262), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "kcmp": (312, 272),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "fsopen": (430, 430), "open_tree": (428, 428), "chroot": (161, 51), "pivot_root": (155, 41),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "execveat": (322, 281), "memfd_create": (319, 279), "swapon": (167, 224), "acct": (163, 89), "syslog": (103, 116),
    "process_mrelease": (448, 448), "lookup_dcookie": (212, 18), "quotactl": (179, 60), "mbind": (237, 235), "remap_file_pages": (216, 234),
    "fsetxattr": (190, 7), "landlock_restrict_self": (446, 446), "inotify_add_watch": (254, 27), "inotify_init1": (294, 26),
}  # fmt: skip
AT_FDCWD, O_TMPFILE = -100, 0o20200000
_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """One call of the kernel; bytes, integers and ctypes objects. OSError as it answers."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(NUMBERS[name][0 if _X86 else 1]), *given))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _write(descriptor: int) -> None:
    try:
        os.write(descriptor, TEXT)
    finally:
        os.close(descriptor)


def _fresh(own: Path) -> Path:
    made = own / f"own-{os.urandom(4).hex()}"
    made.write_bytes(TEXT)
    return made


def _map(prey: Path) -> None:
    descriptor = os.open(prey, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as view:
            view[:4] = b"plan"
    finally:
        os.close(descriptor)


def _truncate_a_reader(prey: Path) -> None:
    descriptor = os.open(prey, os.O_RDONLY)
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _at(prey: Path, flags: int) -> None:
    folder = os.open(prey.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        _write(os.open(prey.name, flags, 0o600, dir_fd=folder))
    finally:
        os.close(folder)


def _by_number(prey: Path, own: Path) -> None:
    del own
    descriptor = os.open(prey, os.O_RDONLY)
    try:
        _write(os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_TRUNC))
    finally:
        os.close(descriptor)


def _by_handle(prey: Path) -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mounted = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, bytes(prey), ctypes.byref(handle), ctypes.byref(mounted), 0)
    folder = os.open(prey.parent, os.O_RDONLY)
    try:
        _write(call("open_by_handle_at", folder, ctypes.byref(handle), os.O_WRONLY | os.O_TRUNC))
    finally:
        os.close(folder)


def _link_out(prey: Path, own: Path) -> None:
    link = own / f"own-{os.urandom(4).hex()}"
    os.link(prey, link)
    link.write_bytes(TEXT)


def _symlink_out(prey: Path, own: Path) -> None:
    link = own / f"own-{os.urandom(4).hex()}"
    link.symlink_to(prey)
    link.write_bytes(TEXT)


def _copy_range(prey: Path, own: Path) -> None:
    with _fresh(own).open("rb") as source, prey.open("r+b") as target:
        call("copy_file_range", source.fileno(), None, target.fileno(), None, len(TEXT), 0)


def _temporary(new: Path) -> None:
    _name_it(os.open(new.parent, O_TMPFILE | os.O_WRONLY, 0o600), new)


def _own_temporary(new: Path, own: Path) -> None:
    _name_it(os.open(own, O_TMPFILE | os.O_WRONLY, 0o600), new)


def _name_it(descriptor: int, new: Path) -> None:
    try:
        os.write(descriptor, TEXT)
        call("linkat", AT_FDCWD, f"/proc/self/fd/{descriptor}".encode(), AT_FDCWD, bytes(new), 0x400)
    finally:
        os.close(descriptor)


_HOW = struct.pack("QQQ", os.O_WRONLY | os.O_TRUNC, 0, 0)
_HOW_NEW = struct.pack("QQQ", os.O_WRONLY | os.O_CREAT, 0o600, 0)
_NEW = os.O_WRONLY | os.O_CREAT

PREY: dict[str, Callable[[Path, Path], object]] = {
    "open to write": lambda prey, own: prey.write_bytes(TEXT),
    "append": lambda prey, own: _write(os.open(prey, os.O_WRONLY | os.O_APPEND)),
    "read and write": lambda prey, own: _write(os.open(prey, os.O_RDWR)),
    "truncate": lambda prey, own: os.truncate(prey, 0),
    "unlink": lambda prey, own: prey.unlink(),
    "rename away": lambda prey, own: prey.rename(own / f"own-{os.urandom(4).hex()}"),
    "rename beside": lambda prey, own: prey.rename(prey.with_name(prey.name + "-moved")),
    "rename over": lambda prey, own: _fresh(own).replace(prey),
}
PREY_CALLS: dict[str, Callable[[Path, Path], object]] = {
    "openat": lambda prey, own: _write(call("openat", AT_FDCWD, bytes(prey), os.O_WRONLY | os.O_TRUNC, 0)),
    "openat2": lambda prey, own: _write(call("openat2", AT_FDCWD, bytes(prey), _HOW, 24)),
    "truncate call": lambda prey, own: call("truncate", bytes(prey), 0),
    "exchange": lambda prey, own: call("renameat2", AT_FDCWD, bytes(_fresh(own)), AT_FDCWD, bytes(prey), 2),
    "renameat2 over": lambda prey, own: call("renameat2", AT_FDCWD, bytes(_fresh(own)), AT_FDCWD, bytes(prey), 0),
    "unlinkat": lambda prey, own: call("unlinkat", AT_FDCWD, bytes(prey), 0),
    "copy_file_range": _copy_range,
    "map and write": lambda prey, own: _map(prey),
    "ftruncate of a reader": lambda prey, own: _truncate_a_reader(prey),
    "file handle": lambda prey, own: _by_handle(prey),
}
PREY_DETOURS: dict[str, Callable[[Path, Path], object]] = {
    "own descriptor, opened again": _by_number,
    "hard link in the own folder": _link_out,
    "symbolic link in the own folder": _symlink_out,
    "the own folder and ..": lambda prey, own: Path(f"{own}/{'../' * (len(own.parts) - 1)}{str(prey)[1:]}").write_bytes(TEXT),
    "/proc/self/root": lambda prey, own: Path(f"/proc/self/root{prey}").write_bytes(TEXT),
    "/proc/thread-self/cwd": lambda prey, own: Path(f"/proc/thread-self/cwd/{'../' * 12}{str(prey)[1:]}").write_bytes(TEXT),
    "a folder's descriptor": lambda prey, own: _at(prey, os.O_WRONLY | os.O_TRUNC),
    "the keeper's root": lambda prey, own: Path(f"/proc/{os.getppid()}/root{prey}").write_bytes(TEXT),
}
NEW: dict[str, Callable[[Path, Path], object]] = {
    "create": lambda new, own: new.write_bytes(TEXT),
    "make a folder": lambda new, own: new.mkdir(),
    "symbolic link": lambda new, own: new.symlink_to("/dev/null"),
    "hard link of an own file": lambda new, own: os.link(_fresh(own), new),
    "rename in": lambda new, own: _fresh(own).rename(new),
    "make a FIFO": lambda new, own: os.mkfifo(new),
}
NEW_CALLS: dict[str, Callable[[Path, Path], object]] = {
    "openat2, new": lambda new, own: _write(call("openat2", AT_FDCWD, bytes(new), _HOW_NEW, 24)),
    "mknodat, file": lambda new, own: call("mknodat", AT_FDCWD, bytes(new), 0o100600, 0),
    "mknodat, socket": lambda new, own: call("mknodat", AT_FDCWD, bytes(new), 0o140600, 0),
    "mkdirat": lambda new, own: call("mkdirat", AT_FDCWD, bytes(new), 0o700),
    "symlinkat": lambda new, own: call("symlinkat", b"/dev/null", AT_FDCWD, bytes(new)),
    "linkat": lambda new, own: call("linkat", AT_FDCWD, bytes(_fresh(own)), AT_FDCWD, bytes(new), 0),
    "nameless file, then a name": lambda new, own: _temporary(new),
    "own nameless file, then a name": _own_temporary,
}


def try_all(folders: list[str], own: Path, prey: dict[str, Callable[[Path, Path], object]], new: dict[str, Callable[[Path, Path], object]],
          say: Callable[[str, Callable[[], object]], object]) -> None:  # fmt: skip
    """Every way on every folder; the prey of a way is called `prey-WAY`, a new name `new-WAY`."""
    for folder in map(Path, folders):
        for way, work in prey.items():
            say(f"{folder}: {way}", partial(work, folder / slug("prey", way), own))
        for way, work in new.items():
            say(f"{folder}: {way}", partial(work, folder / slug("new", way), own))


def slug(begins: str, way: str) -> str:
    return f"{begins}-" + "".join(letter if letter.isalnum() else "-" for letter in way)
