"""Text from outside: what an id may be, and how a value is shown in a message."""

from __future__ import annotations

import re

ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What a clipId or cameraId may look like. Ids become parts of object keys and URLs."""


def shorten(text: str, most: int = 80) -> str:
    """``text`` with control characters escaped, cut to ``most`` characters."""
    escaped = text[: most + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= most else escaped[: most - 1] + "…"
