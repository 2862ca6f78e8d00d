"""What a cut reports beyond its files."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from clipline.contract.modes import CutMode
from clipline.media.plan import Plan, PlanOptions
from clipline.media.spans import EncodeSpan
from clipline.media.splice import ClipForm


def details(
    plan: Plan, form: ClipForm, options: PlanOptions, output: Path, bytes_read: int
) -> dict[str, Any]:
    """Keys of the result metadata beyond the contract's; ``output`` is the finished clip."""
    why = [span.why for span in plan.spans if isinstance(span, EncodeSpan)]
    return {
        "coverage": list(_coverage(plan, options)),
        "partial": bool(plan.gaps),
        "firstFrameTimestampInMs": round(plan.first_frame_ms),
        "lastFrameTimestampInMs": round(plan.last_frame_ms),
        "framesCopied": plan.frames_copied,
        "framesEncoded": plan.frames_encoded,
        "method": _method(plan),
        "why": list(dict.fromkeys(why)),
        "bytesRead": bytes_read,
        "sizeInBytes": output.stat().st_size,
        "durationInMs": round(Fraction(plan.end_pts * 1000, plan.timescale)),
        "width": form.sequence.width,
        "height": form.sequence.height,
    }


def _coverage(plan: Plan, options: PlanOptions) -> Iterator[dict[str, Any]]:
    for part in plan.parts:
        entry: dict[str, Any] = {
            "startTimestampInMs": part.span.start_ms,
            "endTimestampInMs": part.span.end_ms,
        }
        if part.recording is not None:
            entry["recording"] = part.recording
        else:
            entry |= {"gap": part.reason, "filledWith": str(options.gap_policy)}
        yield entry | {"clipOffsetInMs": part.clip_offset_ms}


def _method(plan: Plan) -> str:
    """``copy``, ``encode``, ``copy+encode``; with ``keyframe:`` or ``editlist:`` where that was asked for."""
    if not plan.frames_copied:
        return "encode"
    made = "copy+encode" if len(plan.span_pts) > plan.copies else "copy"
    forced = plan.mode in (CutMode.KEYFRAME, CutMode.EDITLIST)
    return f"{plan.mode}:{made}" if forced else made
