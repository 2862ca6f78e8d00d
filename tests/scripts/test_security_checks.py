"""What `make lint` says of secrets and of known vulnerabilities."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AWS_KEY = "AKIA" + "Q3EXAMPL5TESTKEY"  # in one piece it would be found here


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With the scan, its baseline, and one file that the baseline knows of."""
    for name in ("scripts/scan_secrets.sh", ".secrets.baseline", "tests/settings/test_settings.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def scan(repository: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", "scripts/scan_secrets.sh", str(Path(sys.executable).parent)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)


def test_what_was_looked_into_is_no_secret(repository: Path) -> None:
    result = scan(repository)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings.py", f'aws_access_key_id = "{AWS_KEY}"\n'),
        ("odd name.txt", f"{AWS_KEY}\n"),
        ("id_rsa", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n"),
    ],
)
def test_a_key_that_was_committed_fails(repository: Path, name: str, text: str) -> None:
    (repository / name).write_text(text)
    assert scan(repository).returncode == 0  # not tracked yet
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    result = scan(repository)
    assert result.returncode != 0
    assert name in result.stdout
    assert AWS_KEY not in result.stdout


def test_the_baseline_names_files_that_are_there() -> None:
    baseline = json.loads((ROOT / ".secrets.baseline").read_text())
    for name, entries in baseline["results"].items():
        assert (ROOT / name).is_file()
        assert [entry["is_secret"] for entry in entries] == [False] * len(entries)


@contextmanager
def service(answer: Any, status: int = 200) -> Iterator[str]:
    """What OSV would answer to each query."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answer(query)).encode() if callable(answer) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def audit(tree: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_AUDIT_OSV_URL": url}
    command = [sys.executable, str(tree / "scripts" / "audit.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The script with a few locked packages: each is one query."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "requirements").mkdir()
    for name in ("audit.py", "accepted_advisories.txt"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    for name, packages in (("runtime", 1), ("dev", 2)):
        lines = [f"package{one}==1.{one} --hash=sha256:{one:064x}" for one in range(packages)]
        (tmp_path / "requirements" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def vulnerable(query: dict[str, Any]) -> dict[str, Any]:
    package = query["package"]
    if package["name"] != "package1":
        return {}
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.9"}]}]
    entry = {"id": "PYSEC-2026-1", "summary": "bad", "affected": [{"package": package, "ranges": ranges}]}
    return {"vulns": [entry]}


def test_nothing_known(tree: Path) -> None:
    with service(lambda query: {}) as url:
        result = audit(tree, url)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(
        r"audited: \d+ packages, no known vulnerability that is not accepted\n", result.stdout
    )


def test_a_known_vulnerability_fails_unless_it_is_accepted_with_a_reason(tree: Path) -> None:
    with service(vulnerable) as url:
        result = audit(tree, url)
        assert result.returncode == 1
        assert result.stderr == "audit: package1 1.1: PYSEC-2026-1, fixed in 1.9\n"
        accepted = tree / "scripts" / "accepted_advisories.txt"
        accepted.write_text("PYSEC-2026-1  # not called\n")
        assert audit(tree, url).returncode == 0
        accepted.write_text("PYSEC-2026-1\n")
        result = audit(tree, url)
        assert result.returncode == 1
        assert "without a reason" in result.stderr


def test_a_service_that_can_not_be_reached_is_said_and_fails_nothing(tree: Path) -> None:
    with service(b"<html>blocked</html>") as blocked, service(b"", 503) as broken:
        for url in (blocked, broken, "http://127.0.0.1:9/v1/query"):
            result = audit(tree, url)
            assert result.returncode == 0, result.stderr
            assert result.stdout == f"not audited: {url} can't be reached\n"


def test_a_lock_that_can_not_be_read_fails(tree: Path) -> None:
    (tree / "requirements" / "dev.txt").write_text("package1>=1\n")
    with service(lambda query: {}) as url:
        result = audit(tree, url)
    assert result.returncode == 1
    assert "pip-audit failed" in result.stderr
