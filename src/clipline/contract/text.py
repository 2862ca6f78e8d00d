"""Text from outside: what an id may be, and how a value is shown in a message."""

from __future__ import annotations

import re

ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What a clipId or cameraId may look like. Ids become parts of object keys and URLs."""


def shorten(text: str, most: int = 80) -> str:
    """``text`` with control characters escaped, cut to ``most`` characters."""
    escaped = text[: most + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= most else escaped[: most - 1] + "…"


def printable(text: str) -> str:
    """``text`` as a terminal may be given it: one line, without anything that steers it.

    Escaped are control characters (ESC, the C1 range), line and paragraph separators, characters that
    change the direction of writing or take no room, and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
