"""Runs commands one after the other and tells what they cost: wall time, CPU time, peak memory.

    python -S launch.py < commands.json

A process of its own, and a small one: Linux counts the memory of whoever starts a process as that
process's peak.
"""

import json
import os
import sys
import time


def main() -> int:
    commands = json.load(sys.stdin)
    cpu_s = peak_mib = 0.0
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.monotonic()
    for command in commands:
        process = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
        _, status, usage = os.wait4(process, 0)
        if status:
            print(f"{command} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 1
        cpu_s += usage.ru_utime + usage.ru_stime
        peak_mib = max(peak_mib, usage.ru_maxrss / 1024)
    json.dump({"wall_s": time.monotonic() - began, "cpu_s": cpu_s, "peak_mib": peak_mib}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
