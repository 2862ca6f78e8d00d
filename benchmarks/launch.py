"""Runs commands one after the other and tells what they cost: wall time, CPU time, peak memory, bytes read.

    python -S launch.py < commands.json

A process of its own, and a small one: Linux counts the memory of whoever starts a process as that
process's peak. Bytes read are ``rchar`` of ``/proc/PID/io``: what read calls and copies within the kernel
brought, from the disk or its cache, libraries' headers included; not what was mapped into memory.
"""

import json
import os
import sys
import time
from pathlib import Path


def bytes_read(process: int) -> int:
    """By a process that has ended and was not waited for, and by those that it waited for."""
    for line in Path(f"/proc/{process}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            return int(value)
    raise LookupError(f"/proc/{process}/io has no rchar")


def main() -> int:
    commands = json.load(sys.stdin)
    cpu_s = peak_mib = 0.0
    read = 0
    said = os.memfd_create("said")  # progress bars and the like; shown where a command fails
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, said, 2)]
    began = time.monotonic()
    for command in commands:
        process = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        read += bytes_read(process)
        _, status, usage = os.wait4(process, 0)
        if status:
            os.sendfile(2, said, 0, os.fstat(said).st_size)
            print(f"{command} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 1
        cpu_s += usage.ru_utime + usage.ru_stime
        peak_mib = max(peak_mib, usage.ru_maxrss / 1024)
    cost = {"wall_s": time.monotonic() - began, "cpu_s": cpu_s, "peak_mib": peak_mib, "bytes_read": read}
    json.dump(cost, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
