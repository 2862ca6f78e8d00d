"""Each safeguard, how the source looks without it, and the tests that must notice.

``before`` stands exactly once in the file; a test makes sure of it, so that this list can't go stale.
"""

from __future__ import annotations

from dataclasses import dataclass

SIMULATION = "tests/simulation/test_simulation.py::test_the_invariant_holds_after_every_schedule"
CRASHES = "tests/simulation/test_crash_points.py"
PIPELINE = "tests/pipeline"
LEDGER = "tests/adapters/test_ledger.py"


@dataclass(frozen=True)
class Mutant:
    """One safeguard deleted."""

    safeguard: str
    file: str
    """Below src/clipline."""
    before: str
    after: str
    tests: tuple[str, ...]
    """Pytest arguments; the first that fails is enough."""


MUTANTS = (
    Mutant(
        "compare-and-set of the ledger, as objects",
        "adapters/ledger_store.py",
        '"application/json", replaces=replaces)',
        '"application/json")',
        (LEDGER, SIMULATION),
    ),
    Mutant(
        "compare-and-set of the ledger, in SQLite",
        "adapters/sqlite_ledger.py",
        'WHERE clip_id = ? AND version = ?",\n                    (*values, entry.clip_id, int(replaces)),',
        'WHERE clip_id = ?",\n                    (*values, entry.clip_id),',
        (LEDGER,),
    ),
    Mutant(
        "fingerprint check: a clipId belongs to its first request",
        "pipeline/record.py",
        "if entry.fingerprint != job.fingerprint:",
        "if False:",
        (PIPELINE, SIMULATION),
    ),
    Mutant(
        "CLIP_AVAILABLE is absorbing, on receipt",
        "pipeline/record.py",
        'decided = entry.metadata.get("status") == Status.AVAILABLE',
        "decided = False",
        (PIPELINE, SIMULATION),
    ),
    Mutant(
        "CLIP_AVAILABLE is absorbing, when the entry is written",
        "pipeline/record.py",
        'if self._seen is not None and self._seen[0].metadata.get("status") == Status.AVAILABLE:',
        "if False:",
        (PIPELINE,),
    ),
    Mutant(
        "one chain: a repeat of an attempt is dropped on receipt",
        "pipeline/record.py",
        "older = (job.first_asked_ms, job.attempt) < (entry.first_asked_ms, entry.attempts)",
        "older = False",
        (PIPELINE, SIMULATION),
    ),
    Mutant(
        "order of effects: stored before it is called available",
        "pipeline/generate.py",
        "            self._store(record, request, made)\n"
        '        stages.begin("notify")\n'
        "        return record.finish(self._available(job, made))",
        '            stages.begin("notify")\n'
        "            outcome = record.finish(self._available(job, made))\n"
        "            self._store(record, request, made)\n"
        "            return outcome",
        (CRASHES,),
    ),
    Mutant(
        "order of effects: remembered before anybody is told",
        "pipeline/record.py",
        '                self._write(self._job.attempt + 1, metadata, owner="")\n            except',
        "                self._services.notifier.publish(metadata)\n"
        '                self._write(self._job.attempt + 1, metadata, owner="")\n            except',
        (SIMULATION,),
    ),
    Mutant(
        "order of effects: a retry is sent before it is remembered",
        "pipeline/generate.py",
        "            self._services.queue.send(\n"
        "                job.request.retry_body(job.message.first_sent_ms),\n"
        "                delay_s=self._options.retry_delay_s,\n"
        "                attributes={TIMES_DEAD_LETTERED: str(died)} if died else None,\n"
        "            )\n",
        "            outcome = record.finish(job.result(decision.status, decision.reason))\n"
        "            self._services.queue.send(\n"
        "                job.request.retry_body(job.message.first_sent_ms),\n"
        "                delay_s=self._options.retry_delay_s,\n"
        "                attributes={TIMES_DEAD_LETTERED: str(died)} if died else None,\n"
        "            )\n"
        "            return outcome\n",
        (PIPELINE, CRASHES),
    ),
    Mutant(
        "order of effects: acknowledged last",
        "entrypoints/worker.py",
        "            outcome = self._app.generator.handle(message, self._observe)\n",
        "            queue.delete(message)\n"
        "            outcome = self._app.generator.handle(message, self._observe)\n",
        (SIMULATION,),
    ),
    Mutant(
        "fencing: stored on condition that nothing is there",
        "pipeline/generate.py",
        "store.put_file(key, path, content_type, replaces=None)",
        "store.put_file(key, path, content_type)",
        (SIMULATION,),
    ),
    Mutant(
        "fencing: what is there is replaced by the owner alone",
        "pipeline/generate.py",
        "            if not record.owned():\n                raise error\n",
        "",
        (SIMULATION,),
    ),
    Mutant(
        "fencing: what is there is replaced on condition",
        "pipeline/generate.py",
        "store.put_file(key, path, content_type, replaces=version)",
        "store.put_file(key, path, content_type)",
        (PIPELINE,),
    ),
    Mutant(
        "fencing: only the owner may call a clip available",
        "pipeline/record.py",
        "return bool(self._token) and self._seen is not None and self._seen[0].owner == self._token",
        "return True",
        (SIMULATION,),
    ),
    Mutant(
        "fencing: who was held up can't change what was decided without it",
        "pipeline/record.py",
        'self._write(self._job.attempt + 1, metadata, owner="")',
        'self._write(self._job.attempt + 1, metadata, self._seen[0].owner if self._seen else "")',
        (PIPELINE,),
    ),
    Mutant(
        "a PUT that came late is put right",
        "pipeline/record.py",
        "            if self._seen[1] == version:\n",
        "            if True:\n",
        (PIPELINE,),
    ),
    Mutant(
        "what has to wait is judged by the queue's clock",
        "pipeline/job.py",
        "        return self.message.sent_ms + (retry_delay_s * 1000 if retried else 0)",
        "        import time\n\n        return time.time_ns() // 1_000_000",
        ("tests/simulation/test_simulation.py::test_no_worker_asks_its_clock",),
    ),
    Mutant(
        "the last delivery ends in FATAL_ERROR and a dead letter",
        "pipeline/generate.py",
        "last = message.receive_count >= self._options.most_receives",
        "last = False",
        (PIPELINE, SIMULATION),
    ),
    Mutant(
        "who dies without a word is buried",
        "pipeline/generate.py",
        "seen = letters.unexplained()",
        "seen = letters.unexplained()[:0]",
        (SIMULATION,),
    ),
    Mutant(
        "a dead letter that is returned is a new attempt",
        "pipeline/job.py",
        "died = message.times_dead_lettered",
        "died = 0",
        (SIMULATION,),
    ),
    Mutant(
        "a dead letter that is returned is as old as it is",
        "pipeline/ports.py",
        "return self._number(FIRST_SENT) or self.sent_ms",
        "return self.sent_ms",
        (SIMULATION, "tests/adapters/test_queue.py"),
    ),
    Mutant(
        "two versions of a recording are never mixed",
        "pipeline/source.py",
        "self._store.read_range(self._key, offset, length, version=self.version)",
        "self._store.read_range(self._key, offset, length)",
        (PIPELINE,),
    ),
    Mutant(
        "two versions of a recording that is read in place are never mixed",
        "pipeline/generate.py",
        "                source.check_unchanged()\n",
        "                pass\n",
        (PIPELINE,),
    ),
    Mutant(
        "deadline: whatever a server sends, a call ends in time",
        "adapters/http.py",
        "        self._sock.settimeout(_left_s())\n        count",
        "        count",
        ("tests/adapters/test_http.py", "tests/adapters/test_hostile_network.py"),
    ),
    Mutant(
        "no more is kept of an answer than was asked for",
        "adapters/http.py",
        "            if left_bytes < 0:\n                raise TooLarge(most_bytes)\n",
        "",
        ("tests/adapters/test_http.py", "tests/adapters/test_hostile_network.py"),
    ),
    Mutant(
        "bytes of another range are never decoded",
        "adapters/store_s3.py",
        "if answer.status != 206 or not is_asked or len(answer.body) != length:",
        "if False:",
        ("tests/adapters/test_hostile_network.py",),
    ),
    Mutant(
        "bytes of another version are never decoded",
        "adapters/store_s3.py",
        "        if version and found != version:",
        "        if False:",
        ("tests/adapters/test_hostile_network.py",),
    ),
    Mutant(
        "deadline: a record is given up while there is time to report it",
        "entrypoints/records.py",
        "with time_limit(None if left_s is None else left_s - _STOP_S):",
        "with time_limit(None):",
        ("tests/entrypoints/test_records.py",),
    ),
    Mutant(
        "deadline: no record is begun that can't be ended",
        "entrypoints/records.py",
        "if left_s is not None and left_s < _BEGIN_S:",
        "if False:",
        ("tests/entrypoints/test_records.py",),
    ),
    Mutant(
        "a message that is worked on stays hidden",
        "entrypoints/worker.py",
        "while not ended.wait(self._visibility_s / 3):",
        "while not ended.wait(self._visibility_s * 1000):",
        ("tests/entrypoints/test_worker.py",),
    ),
    Mutant(
        "a clip is verified before it is stored",
        "media/cut.py",
        "        verify(output, plan)\n",
        "",
        ("tests/media/test_verify.py",),
    ),
)
