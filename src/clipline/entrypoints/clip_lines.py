"""What a clip holds, line by line. Imports next to nothing, so that ``clipline cut`` is quick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clipline.contract.interval import iso
from clipline.contract.text import printable

SOUND = {
    "copy": "copied",
    "copy+encode": "copied in part, the rest encoded",
    "encode": "encoded",
    "none": "none",
}


def media_lines(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the clip holds."""
    if "framesCopied" not in metadata:
        return
    yield "frames from", iso(metadata["firstFrameTimestampInMs"])
    yield "frames to", iso(metadata["lastFrameTimestampInMs"])
    copied, encoded = metadata["framesCopied"], metadata["framesEncoded"]
    why = f" ({'; '.join(metadata['why'])})" if metadata.get("why") else ""
    yield "frames", f"{copied} copied byte for byte, {encoded} encoded{why}"
    size = f"{metadata['width']}x{metadata['height']}, {metadata['durationInMs'] / 1000:.3f} s"
    yield "size", f"{size}, {_megabytes(metadata['sizeInBytes'])}, read {_megabytes(metadata['bytesRead'])}"
    sound = metadata.get("audio", {})
    if sound:
        yield "sound", "; ".join([SOUND.get(sound["method"], sound["method"]), *sound["why"]])
    for note in metadata.get("notes", ()):
        yield "note", note
    for part in metadata["coverage"]:
        span = f"{iso(part['startTimestampInMs'])} to {iso(part['endTimestampInMs'])}"
        what = part.get("recording") or f"GAP: {part['gap']}, filled with {part['filledWith']}"
        yield "coverage", f"{span}  {what}"


def timings_line(timings_ms: Mapping[str, int]) -> str:
    parts = [f"{stage} {spent} ms" for stage, spent in timings_ms.items()]
    return f"{sum(timings_ms.values())} ms: {', '.join(parts)}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def print_cut(document: Mapping[str, Any]) -> None:
    """The clip that ``clipline cut`` made."""
    print(printable(document["clip"]["key"]))
    for name, value in media_lines(document):
        print(f"  {name:12}{printable(value)}")
    for size in document["thumbnail"]["sizes"]:
        print(f"  {'thumbnail':12}{printable(document['thumbnail']['key'].replace('{size}', str(size)))}")
    print(f"  {'timings':12}{timings_line(document['timingsInMs'])}")
