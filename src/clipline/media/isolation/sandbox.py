"""What a child gives up before it reads a byte of a recording."""

from __future__ import annotations

import errno
import os
import resource
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import av
import isal

import clipline
from clipline.media.isolation import kernel, landlock, seccomp
from clipline.media.limits import MediaLimits

_DESCRIPTORS = 64
_DESCRIPTORS_A_RECORDING = 2
_READ_ANY_FILE = 1 << 2
"""CAP_DAC_READ_SEARCH: recordings may belong to another user."""
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/sys/devices/system/cpu")


def enter(
    directory: Path | None, recordings: Sequence[Path], limits: MediaLimits, largest_bytes: int
) -> list[str]:
    """Restrict this process, which has one thread, for good; tells what the kernel would not do.

    Only in ``directory`` may files be written; None: nowhere. ``recordings`` are those on this disk,
    ``largest_bytes`` is the size of the largest recording wherever it is. What fails is told, and the work
    is done all the same: some sandbox around this one may have done it.
    """
    missing = []
    steps: list[tuple[str, Callable[[], None]]] = [
        ("privileges", partial(kernel.keep_capabilities, _READ_ANY_FILE)),
        ("limits", partial(_limit, limits, len(recordings), largest_bytes)),
        ("no new privileges", kernel.gain_nothing),
        ("files (Landlock)", partial(_restrict_files, directory, recordings)),
        ("system calls (seccomp)", _filter_calls),
    ]
    for what, step in steps:
        try:
            step()
        except OSError as error:
            missing.append(f"{what}: {error.strerror}")
    return missing


def _limit(limits: MediaLimits, recordings: int, largest_bytes: int) -> None:
    # Not RLIMIT_AS: it counts the clip that is mapped to be verified, libraries, and 64 MiB of addresses
    # that the C library puts by for each thread. A cut of 4K that uses 307 MiB has 1.3 GiB of addresses,
    # 530 MiB of which count here.
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    # The first is told by SIGXCPU, the second kills.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    _lower(resource.RLIMIT_FSIZE, max(limits.output_bytes, largest_bytes))
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS + _DESCRIPTORS_A_RECORDING * recordings)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _restrict_files(directory: Path | None, recordings: Iterable[Path]) -> None:
    if not landlock.version():
        raise OSError(errno.ENOSYS, "the kernel has none")
    landlock.restrict(directory, [*recordings, *installation()])


def _filter_calls() -> None:
    program = seccomp.filter_program()
    if program is None:
        raise OSError(errno.ENOSYS, f"no filter for {os.uname().machine}")
    kernel.install_filter(program)


@cache
def installation() -> tuple[Path, ...]:
    """Python and the libraries, which load some modules only when they need them."""
    paths = sysconfig.get_paths()
    places = {*_SYSTEM, *(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))}
    for package in (clipline, av, isal):
        places.update(package.__path__)
    return tuple(Path(place) for place in sorted(places))
