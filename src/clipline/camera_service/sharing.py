"""Links to one clip that anybody may open until they expire: signed, not stored."""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeSerializer

from clipline.contract.text import ID

LONGEST_HOURS = 24 * 366


@dataclass(frozen=True)
class Shared:
    """What a link stands for."""

    clip_id: str
    expires_ms: int
    """Milliseconds since the epoch, UTC."""


class Sharing:
    """Makes and reads the tokens in such links. Whoever changes ``key`` makes all of them worthless."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeSerializer(key, salt="clipline.share.1")

    def token(self, shared: Shared) -> str:
        """What goes into the address."""
        return str(self._serializer.dumps([shared.clip_id, shared.expires_ms]))

    def read(self, token: str, now_ms: int) -> Shared | None:
        """None for a token that was not made here, or has expired."""
        try:
            clip_id, expires_ms = self._serializer.loads(token)
        except (BadSignature, ValueError, TypeError):
            return None
        if not isinstance(clip_id, str) or not ID.fullmatch(clip_id) or not isinstance(expires_ms, int):
            return None
        return Shared(clip_id, expires_ms) if now_ms < expires_ms else None
