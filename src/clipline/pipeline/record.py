"""The ledger's entry of one clipId, as one delivery of a message sees and changes it.

What makes processing effectively once:

- What is decided is decided in the ledger, by compare-and-set, before anybody is told. A repeat finds it
  there and only tells it again.
- CLIP_AVAILABLE is absorbing. Anything else may be followed by what a later message of the clip decides,
  and by nothing else.
- One chain: of each attempt the first message that is decided counts, all others are repeats.
- Fencing instead of leases: who is about to store under a clipId writes a token of its own into the entry
  first (``claim``). Objects are stored on condition that they are what the owner saw while its token stood
  there, and only whose token still stands may call the clip available; whatever is decided takes the token
  away. A worker that was held up for however long can't store over what a later one has stored, nor change
  what was decided without it, when nobody may be left to tell of the change; no clocks are compared.
- After each PUT the entry is read again: a PUT that came late is followed by one that is right.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from clipline.contract.errors import Conflict
from clipline.contract.result import Result, Status
from clipline.pipeline.job import Job, Outcome
from clipline.pipeline.ports import LedgerEntry, Services

_MOST_TRIES = 20
"""Lost compare-and-sets after which a delivery gives way; each means that another one got on."""


class ClipRecord:
    """For one delivery, in one thread."""

    def __init__(self, services: Services, job: Job, *, notify_pending: bool = False) -> None:
        self._services = services
        self._job = job
        self._notify_pending = notify_pending
        self._seen: tuple[LedgerEntry, str] | None = None
        self._token = ""

    def known(self) -> Outcome | None:
        """What is already decided about the message, told again; None: nothing, it is to be handled."""
        self._seen = self._services.ledger.read(self._job.clip_id)
        return self._judge()

    def claim(self) -> Outcome | None:
        """Own the clipId, to store under it; an outcome where another delivery has decided meanwhile.

        The claim counts the message as not handled yet, so that its next delivery is no repeat.
        """
        self._token = uuid.uuid4().hex
        metadata = self._job.result(Status.PENDING, "the clip is being made").metadata()
        for _ in range(_MOST_TRIES):
            try:
                self._write(self._job.attempt, metadata, self._token)
                return None
            except Conflict:
                known = self.known()
                if known is not None:
                    return known
        raise self._taken_over("claim")

    def owned(self) -> bool:
        """Whether nobody has claimed the clipId after this delivery."""
        self._seen = self._services.ledger.read(self._job.clip_id)
        return self._stands()

    def finish(self, result: Result) -> Outcome:
        """Decide: remember, tell the camera API, tell the subscribers.

        Raises Conflict where a clip was stored that another delivery has taken over meanwhile, without
        having decided yet.
        """
        metadata = result.metadata()
        for _ in range(_MOST_TRIES):
            if result.status is Status.AVAILABLE and not self._stands():
                raise self._taken_over("finish")
            try:
                self._write(self._job.attempt + 1, metadata, owner="")
            except Conflict:  # another delivery was faster: what it decided counts
                known = self.known()
                if known is not None:
                    return known
            else:
                self._tell()
                return Outcome(result.status, metadata, result.reason)
        raise self._taken_over("finish")

    def _judge(self) -> Outcome | None:
        if self._seen is None:
            return None
        job, entry = self._job, self._seen[0]
        if entry.fingerprint != job.fingerprint:
            return self._refuse()
        decided = entry.metadata.get("status") == Status.AVAILABLE
        older = (job.first_asked_ms, job.attempt) < (entry.first_asked_ms, entry.attempts)
        if not decided and not older:
            return None
        metadata = self._tell()
        return Outcome(Status(metadata["status"]), metadata, metadata.get("reason"), repeated=True)

    def _stands(self) -> bool:
        """Whether the token of this delivery is the one in the entry."""
        return bool(self._token) and self._seen is not None and self._seen[0].owner == self._token

    def _write(self, attempts: int, metadata: Mapping[str, Any], owner: str) -> None:
        """Replace what was seen. Raises Conflict where something else is there, or a clip is available."""
        job = self._job
        if self._seen is not None and self._seen[0].metadata.get("status") == Status.AVAILABLE:
            raise self._taken_over("write the entry of")
        new = LedgerEntry(job.clip_id, job.fingerprint, job.first_asked_ms, attempts, metadata, owner)
        replaced = self._seen[1] if self._seen else None
        self._seen = new, self._services.ledger.write(new, replaces=replaced)

    def _tell(self) -> Mapping[str, Any]:
        """PUT and publish what is decided; returns it. What is decided while it is PUT is PUT after it."""
        for _ in range(_MOST_TRIES):
            assert self._seen is not None
            (entry, version), clip_id = self._seen, self._job.clip_id
            self._services.camera_api.put_clip(clip_id, entry.metadata)
            self._seen = self._services.ledger.read(clip_id) or self._seen
            if self._seen[1] == version:
                if Status(entry.metadata["status"]).final or self._notify_pending:
                    self._services.notifier.publish(entry.metadata)
                return entry.metadata
        raise self._taken_over("tell of")

    def _refuse(self) -> Outcome:
        """A clipId used twice: subscribers are told, the first request's record stays as it is."""
        job = self._job
        reason = job.problem or f"clipId {job.clip_id} was already used for another request"
        metadata = job.result(Status.INVALID_REQUEST, reason).metadata()
        self._services.notifier.publish(metadata)
        return Outcome(Status.INVALID_REQUEST, metadata, reason)

    def _taken_over(self, operation: str) -> Conflict:
        return Conflict(operation, f"clip {self._job.clip_id}", "another worker has taken it over")
