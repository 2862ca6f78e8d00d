"""In a child: frames, one after the other, decoded from bytes that are handed in. It reads no file."""

from __future__ import annotations

from typing import Any

from clipline.contract.errors import MediaError
from clipline.media.boxes import Box
from clipline.media.frame import MOST_CODED_BYTES, CodedFrame, draw
from clipline.media.index import Track
from clipline.media.isolation import sandbox
from clipline.media.isolation.failures import pack_failure
from clipline.media.isolation.wire import Channel, Message
from clipline.media.limits import MediaLimits


def run(channel: Channel, limits: MediaLimits) -> None:
    """Until the other end hangs up."""
    channel.send({"ready": sandbox.enter(None, [], limits, 0)})
    while True:
        try:
            message, body = channel.receive(most_body_bytes=MOST_CODED_BYTES)
        except EOFError:
            return
        try:
            jpeg = draw(unpack_frame(message["frame"], body), message["width"])
        except MediaError as error:
            channel.send({"failed": pack_failure(error, limits)})
        else:
            channel.send({"drawn": len(jpeg)}, jpeg)


def pack_frame(coded: CodedFrame) -> tuple[Message, bytes]:
    """(the description, the samples one after the other)"""
    track = coded.track
    return {
        "kind": track.entry.kind,
        "entry": bytes(track.entry.body).hex(),
        "timescale": track.timescale,
        "sizes": [len(sample) for sample in coded.samples],
        "decode_times": list(track.decode_times),
        "pts": list(track.pts),
        "end_pts": track.end_pts,
        "header": track.header.hex(),
        "most_pixels": track.most_pixels,
        "wanted": coded.wanted,
    }, b"".join(coded.samples)


def unpack_frame(packed: dict[str, Any], body: bytes) -> CodedFrame:
    """The other way round."""
    sizes, at, samples = packed["sizes"], 0, []
    for size in sizes:
        samples.append(body[at : at + size])
        at += size
    track = Track(
        Box(packed["kind"], memoryview(bytes.fromhex(packed["entry"]))),
        packed["timescale"],
        sizes,
        packed["decode_times"],
        packed["pts"],
        packed["end_pts"],
        (0,),
        (0, len(sizes)),
        (0,),
        bytes.fromhex(packed["header"]),
        most_pixels=packed["most_pixels"],
    )
    return CodedFrame(track, packed["wanted"], samples)
