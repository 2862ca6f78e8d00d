"""One contract for every ledger: SQLite, and objects in memory and in S3."""

import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from clipline.adapters import aws, sqlite_ledger
from clipline.adapters.ledger_store import StoreLedger
from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.storage import open_store
from clipline.contract.errors import Conflict, Refused
from clipline.pipeline.ports import LedgerEntry

ENTRY = LedgerEntry("clip", "f" * 64, 1_537_119_363_000, 1, {"status": "CLIP_PENDING", "note": "Nazaré ☀"})


@pytest.fixture(params=["sqlite", "memory", "s3"])
def open_ledger(request, tmp_path, monkeypatch):
    """Opens the same ledger, each time anew."""
    if request.param == "sqlite":
        opened = []

        def open_sqlite():
            opened.append(SqliteLedger(tmp_path / "ledger.sqlite"))
            return opened[-1]

        yield open_sqlite
        for ledger in opened:
            ledger.close()
        return
    url = f"memory://{uuid.uuid4()}"
    if request.param == "s3":
        request.getfixturevalue("no_settings")
        for name, value in request.getfixturevalue("s3_server").environment.items():
            monkeypatch.setenv(name, value)
        aws.session.cache_clear()
        url = f"ledger-{uuid.uuid4()}"
        boto3.client("s3").create_bucket(Bucket=url)
    yield lambda: StoreLedger(open_store(url, s3_options=aws.s3_options))
    aws.session.cache_clear()


def test_an_entry_is_read_as_it_was_written(open_ledger):
    ledger = open_ledger()
    assert ledger.read("clip") is None
    version = ledger.write(ENTRY, replaces=None)
    assert ledger.read("clip") == (ENTRY, version)
    assert open_ledger().read("clip") == (ENTRY, version)
    assert ledger.read("other") is None


def test_compare_and_set(open_ledger):
    first, second = open_ledger(), open_ledger()
    version = first.write(ENTRY, replaces=None)
    with pytest.raises(Conflict):
        second.write(ENTRY, replaces=None)
    later = replace(ENTRY, attempts=2)
    newer = second.write(later, replaces=version)
    assert newer != version
    with pytest.raises(Conflict):
        first.write(replace(ENTRY, attempts=3), replaces=version)
    assert first.read("clip") == (later, newer)


def test_what_is_not_there_cannot_be_replaced(open_ledger):
    ledger = open_ledger()
    version = ledger.write(ENTRY, replaces=None)
    with pytest.raises(Conflict):
        ledger.write(replace(ENTRY, clip_id="other"), replaces=version)
    assert ledger.read("other") is None


@pytest.mark.parametrize("is_new", [True, False])
def test_of_concurrent_writers_one_wins(open_ledger, is_new):
    ledgers = [open_ledger() for _ in range(6)]
    version = None if is_new else ledgers[0].write(ENTRY, replaces=None)

    def write(number):
        try:
            ledgers[number].write(replace(ENTRY, attempts=number + 2), replaces=version)
        except Conflict:
            return None
        return number + 2

    with ThreadPoolExecutor(6) as pool:
        (won,) = [attempts for attempts in pool.map(write, range(6)) if attempts is not None]
    assert ledgers[0].read("clip")[0].attempts == won


def test_an_object_that_is_no_entry_is_refused():
    store = open_store(f"memory://{uuid.uuid4()}")
    for data in (b"not json", b"\xff", b'{"clip_id": "clip"}', b"[]", b"null", b"[" * 100_000):
        store.put("_clipline/clip.json", data, "application/json")
        with pytest.raises(Refused, match=r"_clipline/clip\.json: the object is no entry"):
            StoreLedger(store).read("clip")


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(Refused, match=r"the ledger .*ledger\.sqlite: file is not a database \(name a sound"):
        SqliteLedger(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(Refused, match="it is another program's database"):
        SqliteLedger(path)
    with pytest.raises(Refused, match="unable to open"):
        SqliteLedger(tmp_path / "missing" / "ledger.sqlite")


def test_metadata_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with SqliteLedger(path) as ledger:
        ledger.write(ENTRY, replaces=None)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE ledger SET metadata = '{'")
        with pytest.raises(Refused, match="entry of clip: its metadata is no JSON"):
            ledger.read("clip")


WRITER = """
import sys
from pathlib import Path
from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.pipeline.ports import LedgerEntry
ledger = SqliteLedger(Path(sys.argv[1]))
number, version = 0, None
while True:
    version = ledger.write(LedgerEntry("clip", "f", number, number, {"n": number}), replaces=version)
    print(number, flush=True)
    number += 1
"""


def test_what_was_written_survives_a_kill(tmp_path):
    path = tmp_path / "ledger.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(Path(sqlite_ledger.__file__).parents[2])}
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as writer:
        seen = [int(writer.stdout.readline()) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        seen += [int(line) for line in writer.stdout.read().split()]
    with SqliteLedger(path) as ledger:
        entry, version = ledger.read("clip")
        assert entry.attempts >= seen[-1]
        assert (entry.first_asked_ms, entry.metadata) == (entry.attempts, {"n": entry.attempts})
        ledger.write(entry, replaces=version)
