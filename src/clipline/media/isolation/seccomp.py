"""Which system calls a child may make: a filter in the kernel's classic BPF (seccomp(2), bpf(4)).

What a cut never needs is refused with EPERM: anything to do with other processes, networks, programs, mounts,
the kernel itself, or memory that RLIMIT_DATA does not count. What is refused is listed, rather than what is
allowed: C libraries differ in what they call, by version and by architecture, and a cut must not fail on the
next one. Calls that are newer than this list answer that they do not exist.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Sequence

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7
"""AUDIT_ARCH_* (linux/audit.h)."""
_ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}
_X32_BIT = 0x40000000
"""Of the numbers of x86-64's other interface."""
_LAST_KNOWN = 463

_REFUSED = {
    # name: (number on x86-64, on AArch64)
    "accept": (43, 202), "accept4": (288, 242), "acct": (163, 89), "add_key": (248, 217),
    "adjtimex": (159, 171), "bind": (49, 200), "bpf": (321, 280), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clock_settime": (227, 112), "connect": (42, 203),
    "delete_module": (176, 106), "execve": (59, 221), "execveat": (322, 281), "fanotify_init": (300, 262),
    "finit_module": (313, 273), "fork": (57, None), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "init_module": (175, 105), "io_setup": (206, 0),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425),
    "ioperm": (173, None), "iopl": (172, None), "ioprio_set": (251, 30), "kcmp": (312, 272),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219), "listen": (50, 201),
    "lookup_dcookie": (212, 18), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "migrate_pages": (256, 238), "mknod": (133, None), "mknodat": (259, 33), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180),
    "msgget": (68, 186), "name_to_handle_at": (303, 264), "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142), "recvmsg": (47, 212),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "semget": (64, 190), "sendmmsg": (307, 269), "sendmsg": (46, 211),
    "sendto": (44, 206), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "setpriority": (141, 140), "settimeofday": (164, 170), "shmget": (29, 194), "socket": (41, 198),
    "socketpair": (53, 199), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116),
    "tkill": (200, 130), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "vfork": (58, None), "vhangup": (153, 58),
}  # fmt: skip

_CLONE, _CLONE3 = (56, 220), 435
_KILL, _TGKILL = (62, 129), (234, 131)
_MMAP, _PRLIMIT64 = (9, 222), (302, 261)
_CLONE_THREAD = 0x00010000
_SHARED_ANONYMOUS = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS

# struct seccomp_data (linux/seccomp.h); both architectures store the low half of an argument first.
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

Instruction = tuple[int, int, int, int]
"""Code, jump where true, jump where false, operand."""


def filter_program(machine: str | None = None) -> bytes | None:
    """The program for this process, which it may signal, or None for an architecture that has none here."""
    architecture = _ARCHITECTURES.get(machine or os.uname().machine)
    if architecture is None:
        return None
    column = 0 if architecture == _X86_64 else 1
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    unknown = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    allow = (_RETURN, 0, 0, _ALLOW)

    program: list[Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_JUMP_GREATER_EQUAL, 0, 1, _LAST_KNOWN),
        unknown,
        # Its arguments lie in memory, out of sight; C libraries fall back to clone.
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        unknown,
    ]

    def by_argument(number: int, argument: int, test: Sequence[Instruction]) -> None:
        """``test`` decides on the low half of that argument."""
        block = [(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument), *test]
        program.extend([(_JUMP_EQUAL, 0, len(block), number), *block])

    # A thread, but no process.
    by_argument(_CLONE[column], 0, [(_JUMP_ANY_BIT, 1, 0, _CLONE_THREAD), refuse, allow])
    # Signals to itself alone: abort() sends one.
    for call in (_KILL, _TGKILL):
        by_argument(call[column], 0, [(_JUMP_EQUAL, 1, 0, os.getpid()), refuse, allow])
    # Another process's limits could be lowered.
    by_argument(_PRLIMIT64[column], 0, [(_JUMP_EQUAL, 1, 0, 0), refuse, allow])
    # RLIMIT_DATA does not count memory that is shared.
    by_argument(
        _MMAP[column],
        3,
        [(_AND, 0, 0, _SHARED_ANONYMOUS), (_JUMP_EQUAL, 0, 1, _SHARED_ANONYMOUS), refuse, allow],
    )
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            program += [(_JUMP_EQUAL, 0, 1, number), refuse]
    program.append(allow)
    return b"".join(struct.pack("=HBBI", *one) for one in program)
