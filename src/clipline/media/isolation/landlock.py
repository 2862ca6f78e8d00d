"""Which files a child may open: Landlock (landlock(7)), on kernels from 5.13 on that have it switched on."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from clipline.media.isolation.kernel import LIBC, syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on every architecture."""
_VERSION = 1 << 0
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG = 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_FIRST_VERSION = (1 << 13) - 1
_SINCE = {2: 1 << 13, 3: _TRUNCATE, 5: 1 << 15}
"""Rights on files that came with later versions: refer, truncate, ioctl on devices."""
_TCP, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6
"""Abstract UNIX sockets and signals of processes outside."""


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    found = LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    return max(int(found), 0)


def restrict(writable: Path | None, readable: Iterable[Path]) -> None:
    """From here on only ``writable``, a folder, can be written in (None: nothing), and only it and
    ``readable`` be read.

    What does not exist is left out. For a thread and those that it starts, for good. Raises OSError.
    """
    has = version()
    handled = _FIRST_VERSION
    for since, rights in _SINCE.items():
        if has >= since:
            handled |= rights
    attributes = struct.pack(
        "=QQQ", handled, _TCP if has >= _TCP_SINCE else 0, _SCOPES if has >= _SCOPES_SINCE else 0
    )
    size = 24 if has >= _SCOPES_SINCE else 16 if has >= _TCP_SINCE else 8
    ruleset = syscall(_CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        read = _READ_FILE | _READ_DIR
        if writable is not None:
            _allow(ruleset, writable, handled & (read | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE))
        for path in readable:
            _allow(ruleset, path, read)
        syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _READ_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)
