"""Ids of cameras that have none yet: their alias where it can be one, else something derived from it."""

from __future__ import annotations

import hashlib
import re

from clipline.contract.text import ID

RESERVED = frozenset({"clips", "recording"})
"""What comes after ``/cameras/`` and is no camera."""

_LONGEST_ALIAS = 55


def camera_id(alias: str) -> str:
    """The id of the camera with this alias."""
    return alias if ID.fullmatch(alias) and alias not in RESERVED else derived_id(alias)


def derived_id(alias: str) -> str:
    """One that no other alias gives."""
    digest = hashlib.sha256(alias.encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', alias)[:_LONGEST_ALIAS]}-{digest}"
