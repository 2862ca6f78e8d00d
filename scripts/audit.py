"""Look up the locked dependencies among known vulnerabilities, at OSV; `make lint` runs it.

Fails for a vulnerability that scripts/accepted_advisories.txt does not accept. Where the service can't be
asked it says so and does not fail: a machine without the internet has to be able to check the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKED = ("requirements/runtime.txt", "requirements/dev.txt")
ACCEPTED = ROOT / "scripts" / "accepted_advisories.txt"
LIMIT_S = 60
"""For all that is asked of the service."""

_URL = os.environ.get("PIP_AUDIT_OSV_URL", "https://api.osv.dev/v1/query")


def accepted() -> list[str]:
    """Ids of advisories that someone has looked into. Each has its reason after a ``#``."""
    ids = []
    for line in ACCEPTED.read_text().splitlines():
        advisory, mark, reason = line.partition("#")
        if not advisory.strip():
            continue
        if not mark or not reason.strip():
            raise SystemExit(f"audit: {ACCEPTED.name} accepts {advisory.strip()} without a reason after a #")
        ids.append(advisory.strip())
    return ids


def answers() -> bool:
    """Whether the service can be asked at all."""
    query = json.dumps({"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(_URL, query), timeout=10) as response:
            json.load(response)
    except (OSError, ValueError):
        return False
    return True


def main() -> int:
    """Returns the exit code."""
    ignored = [argument for advisory in accepted() for argument in ("--ignore-vuln", advisory)]
    files = [argument for name in LOCKED for argument in ("--requirement", str(ROOT / name))]
    not_audited = f"not audited: {_URL} can't be reached"
    with tempfile.TemporaryDirectory() as cache:
        command = [
            sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip",
            "--vulnerability-service", "osv", "--osv-url", _URL, "--timeout", "10", "--cache-dir", cache,
            "--progress-spinner", "off", "--format", "json", "--desc", "off", *files, *ignored,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"{not_audited} in {LIMIT_S} s")
            return 0
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if answers():
            print(f"audit: pip-audit failed:\n{done.stderr}", file=sys.stderr)
            return 1
        print(not_audited)
        return 0
    found = {
        f"{one['name']} {one['version']}: {vulnerability['id']}, {fixed(vulnerability['fix_versions'])}"
        for one in packages
        for vulnerability in one.get("vulns", ())
    }
    skipped = {f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one}
    for line in sorted(found | skipped):
        print(f"audit: {line}", file=sys.stderr)
    if not found and not skipped:
        print(f"audited: {len(packages)} packages, no known vulnerability that is not accepted")
    return 1 if found or skipped else 0


def fixed(versions: list[str]) -> str:
    """``fixed in 1.2``."""
    return f"fixed in {', '.join(versions)}" if versions else "not fixed yet"


if __name__ == "__main__":
    sys.exit(main())
