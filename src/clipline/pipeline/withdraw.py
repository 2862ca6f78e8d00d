"""Taking a request back: cancelled before its clip is there, or forgotten after the clip was deleted.

Both are decided in the ledger as any decision is, as the last attempt of a chain that is as new as the
withdrawal: messages of the clip that were sent before are repeats from then on, whoever holds them, and one
that is sent later begins anew.
"""

from __future__ import annotations

from clipline.contract.errors import Conflict
from clipline.contract.request import MOST_RETRY_TIMESTAMPS
from clipline.contract.result import Status
from clipline.pipeline.job import Job, Outcome
from clipline.pipeline.ports import LedgerEntry, Message, Services
from clipline.pipeline.record import ClipRecord

CANCELLED = "cancelled before the clip was made"
DELETED = "the clip was deleted"

_AFTER_ALL_ATTEMPTS = 2 * MOST_RETRY_TIMESTAMPS
_MOST_TRIES = 20


def cancel(services: Services, body: str, now_ms: int) -> Outcome:
    """Decide that the clip which ``body`` asks for is not made: CLIP_NOT_AVAILABLE, told to all.

    Where it is available already, that is the outcome. Who is making it right now finds out when it wants
    to store it. Raises what the ports raise, and Conflict where others keep changing the entry.
    """
    job = _job(body, now_ms)
    _decide(services, job, CANCELLED, over_available=False)
    outcome = ClipRecord(services, job).known()
    assert outcome is not None, "what was decided for all attempts is known"
    return outcome


def forget(services: Services, body: str, now_ms: int) -> None:
    """Decide that the clip which ``body`` asked for is no more. Nobody is told; its objects are the caller's
    to remove.

    The one way out of CLIP_AVAILABLE. Without it a message that comes once more would bring back the record
    of a clip whose objects are gone. Raises as ``cancel`` does.
    """
    _decide(services, _job(body, now_ms), DELETED, over_available=True)


def _job(body: str, now_ms: int) -> Job:
    return Job.read(Message("withdrawal", body, now_ms, 1, ""))


def _decide(services: Services, job: Job, reason: str, *, over_available: bool) -> None:
    metadata = job.result(Status.NOT_AVAILABLE, reason).metadata()
    for _ in range(_MOST_TRIES):
        seen = services.ledger.read(job.clip_id)
        before = seen[0] if seen else None
        if before and before.metadata.get("status") == Status.AVAILABLE and not over_available:
            return
        # The queue's clock may be ahead of this one.
        asked_ms = max(job.first_asked_ms, before.first_asked_ms if before else 0)
        entry = LedgerEntry(job.clip_id, job.fingerprint, asked_ms, _AFTER_ALL_ATTEMPTS, metadata, owner="")
        try:
            services.ledger.write(entry, replaces=seen[1] if seen else None)
        except Conflict:
            continue
        return
    raise Conflict("withdraw", f"clip {job.clip_id}", "others keep changing it")
