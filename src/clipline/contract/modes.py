"""How a clip may be made from recordings."""

from __future__ import annotations

from enum import StrEnum


class CutMode(StrEnum):
    """What may be copied, and what must be encoded anew."""

    EXACT = "exact"
    """Exactly the frames asked: copied where players can begin there, encoded anew elsewhere."""
    ENCODE = "encode"
    """Exactly the frames asked, all of them encoded anew."""
    KEYFRAME = "keyframe"
    """Copied from the keyframe before the interval on: more frames than asked, none of them encoded."""
    EDITLIST = "editlist"
    """As KEYFRAME, the frames before the interval hidden by an edit list, which not every player obeys."""


class HevcMode(StrEnum):
    """What becomes of HEVC recordings."""

    H264 = "h264"
    """Exactly the frames asked, encoded anew in H.264, which every player takes."""
    SPLICE = "splice"
    """Copied as H.264 recordings are: an HEVC clip whose head is encoded anew."""
    HEVC = "hevc"
    """Exactly the frames asked, encoded anew in HEVC."""
