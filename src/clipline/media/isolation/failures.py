"""Errors on their way from a child to the worker: by class name and text, never as objects."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from typing import Any

from clipline.contract.errors import (
    EngineFailed,
    MediaError,
    NoFrames,
    UnreadableRecording,
    UnsupportedMedia,
    VerificationFailed,
)
from clipline.media.limits import MIB, MediaLimits, too_large

_KINDS: dict[str, type[MediaError]] = {
    kind.__name__: kind
    for kind in (
        EngineFailed,
        MediaError,
        NoFrames,
        UnreadableRecording,
        UnsupportedMedia,
        VerificationFailed,
    )
}
_LONGEST_TEXT = 1024 * 1024
_LONGEST_TRACE = 8000


class SourceFailed(Exception):
    """Reading a recording raised something in the worker that is no MediaError."""


class EngineDefect(RuntimeError):
    """Something in a child that was not foreseen; its notes hold the end of the traceback."""


def pack_media_error(error: MediaError) -> dict[str, Any]:
    """As the nearest class that is known to both sides."""
    kind = next(kind for kind in type(error).__mro__ if _KINDS.get(kind.__name__) is kind)
    return {
        "kind": kind.__name__,
        "text": str(error.args[0])[:_LONGEST_TEXT],
        "hint": error.hint,
        "covered": getattr(error, "covered", False),
    }


def unpack_media_error(packed: dict[str, Any]) -> MediaError:
    """Raises LookupError and TypeError for what is none."""
    kind, text, hint, covered = (packed[key] for key in ("kind", "text", "hint", "covered"))
    if not (isinstance(text, str) and isinstance(hint, str | None) and isinstance(covered, bool)):
        raise TypeError
    if _KINDS[kind] is NoFrames:
        error: MediaError = NoFrames(text, covered=covered)
        error.hint = hint
        return error
    return _KINDS[kind](text, hint=hint)


def pack_failure(error: BaseException, limits: MediaLimits) -> dict[str, Any]:
    """What the child tells of ``error``, its last word.

    A limit that was reached shows as a failed allocation or write, wherever the engine was and whatever it
    made of it.
    """
    number = getattr(error, "raised_as", None)
    if number is not None:
        return {"raised": number}
    for cause in _causes(error):
        if isinstance(cause, MemoryError) or _is(cause, errno.ENOMEM):
            return pack_media_error(needs_more_memory(limits))
        if _is(cause, errno.EFBIG):
            return pack_media_error(too_large("a file of this clip", limits.output_bytes))
    if isinstance(error, MediaError):
        return pack_media_error(error)
    if isinstance(error, OSError) and error.errno is not None:
        return {"errno": error.errno}
    last_lines = "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]
    return {"defect": f"{type(error).__name__}: {error}"[:_LONGEST_TRACE], "trace": last_lines}


def unpack_failure(packed: dict[str, Any], raised: list[Exception]) -> Exception:
    """The error to raise for it; ``raised`` is what sources raised. As ``unpack_media_error`` otherwise."""
    if "raised" in packed:
        number = packed["raised"]
        if type(number) is not int or number < 0:
            raise TypeError
        return raised[number]
    if "errno" in packed:
        if type(packed["errno"]) is not int:
            raise TypeError
        return OSError(packed["errno"], os.strerror(packed["errno"]))
    if "defect" in packed:
        error = EngineDefect(str(packed["defect"])[:_LONGEST_TRACE])
        error.add_note(str(packed["trace"])[:_LONGEST_TRACE])
        return error
    return unpack_media_error(packed)


def needs_more_memory(limits: MediaLimits) -> EngineFailed:
    return EngineFailed(
        f"making the clip needs more than {limits.memory_bytes // MIB} MiB of memory",
        hint="MEDIA_MEMORY_LIMIT_MIB",
    )


def _is(error: BaseException, number: int) -> bool:
    return isinstance(error, OSError) and error.errno == number


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
