"""The kernel's numbers of the calls that a filter looks at, for the two processors we know.

Sources: the syscall tables of Linux 6.18: arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl (arm64 uses the generic numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Machine:
    """One processor architecture: how the kernel names it (linux/audit.h) and its numbers of the calls; a call it has not is missing."""

    audit: int
    numbers: Mapping[str, int]


# The first number that was not given to a call when this table was made: what comes later was not judged.
UNKNOWN_FROM: Final = 470

# By name: the number on x86_64, on aarch64.
_CALLS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # sockets
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "socketpair": (53, 199), "setsockopt": (54, 208),
    # processes and programs
    "execve": (59, 221), "execveat": (322, 281), "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None),
    "unshare": (272, 97), "setns": (308, 268),
    # looking into another process
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "get_robust_list": (274, 100), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "move_pages": (279, 239), "migrate_pages": (256, 238),
    # signals
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "process_mrelease": (448, 448),
    # limits, order of execution, groups of processes
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "setpgid": (109, 154),
    "setsid": (112, 157),
    # queues, shared memory and semaphores by name or number
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183), "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190),
    "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191), "shmget": (29, 194), "shmat": (30, 196), "shmdt": (67, 197),
    "shmctl": (31, 195),
    # files
    "open": (2, None), "openat": (257, 56), "openat2": (437, 437), "truncate": (76, 45), "fcntl": (72, 25), "ioctl": (16, 29),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55),
    "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27), "open_by_handle_at": (304, 265), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "lookup_dcookie": (212, 18),
    # what is mounted where
    "mount": (165, 40), "umount2": (166, 39), "mount_setattr": (442, 442), "move_mount": (429, 429), "open_tree": (428, 428),
    "open_tree_attr": (467, 467), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "pivot_root": (155, 41), "chroot": (161, 51), "mknod": (133, None), "mknodat": (259, 33), "swapon": (167, 224), "swapoff": (168, 225),
    # the kernel itself
    "seccomp": (317, 277), "bpf": (321, 280), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "acct": (163, 89), "syslog": (103, 116),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "personality": (135, 92), "vhangup": (153, 58),
    "uselib": (134, None), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "lsm_set_self_attr": (460, 460),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # who a process is
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147),
    "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151), "setfsgid": (123, 152), "capset": (126, 91),
}  # fmt: skip

MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(0xC000003E, {name: first for name, (first, _) in _CALLS.items() if first is not None}),
    "aarch64": Machine(0xC00000B7, {name: second for name, (_, second) in _CALLS.items() if second is not None}),
}
