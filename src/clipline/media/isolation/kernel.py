"""System calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITIES_V3 = 0x20080522


def syscall(number: int, *arguments: Any) -> int:
    """Its result. Raises OSError."""
    result = int(LIBC.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _error()
    return result


def die_with_parent(signal_number: int) -> None:
    """Get that signal when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def gain_nothing() -> None:
    """No program that is run from here on has more rights than this process, whatever its file says."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def install_filter(program: bytes) -> None:
    """Filter the system calls of this thread, and of those it starts, for good."""
    buffer = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described))


def keep_capabilities(kept: int) -> None:
    """Give up all of root's privileges but those in the bit set ``kept``."""
    header = struct.pack("=Ii", _CAPABILITIES_V3, 0)
    before = ctypes.create_string_buffer(24)
    if LIBC.capget(header, before) < 0:
        raise _error()
    words = [
        word & (kept >> (0 if place < 3 else 32)) for place, word in enumerate(struct.unpack("=6I", before))
    ]
    words[2] = words[5] = 0  # what a program that is run would inherit
    if LIBC.capset(header, struct.pack("=6I", *words)) < 0:
        raise _error()


def _prctl(option: int, first: int, second: int = 0) -> None:
    arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
    if LIBC.prctl(ctypes.c_int(option), *arguments) < 0:
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
