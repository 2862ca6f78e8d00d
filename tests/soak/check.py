"""What must hold when a soak has ended: docs/guarantees.md, against the real thing."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from media.truth import show
from soak.orders import Order
from soak.stacks import Stack

from clipline.camera_service.catalog import Catalog
from clipline.contract.errors import NotFound

WIDTHS = (160, 320)
_MOST_BYTES = 1 << 28


def violations(stack: Stack, catalog: Catalog, orders: Sequence[Order], work: Path, marker: str) -> list[str]:
    """One line for each thing that is lost, doubled or left over."""
    told = stack.told()
    found = list(_left_over(stack, orders, work, marker))
    for order in orders:
        if order.due is not None:
            found += [
                f"{order.clip_id} ({order.kind}): {what}" for what in _clip(stack, catalog, order, told)
            ]
    return found


def _clip(stack: Stack, catalog: Catalog, order: Order, every: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    entry = stack.ledger.read(order.clip_id)
    if entry is None:
        yield "nothing was ever decided: it is lost"
        return
    metadata = entry[0].metadata
    if metadata["status"] != order.due:
        yield f"it ends as {metadata['status']}: {metadata.get('reason')}"
        return
    try:
        record = catalog.clip(order.clip_id).metadata
    except NotFound:
        record = None
    if record != metadata:
        yield f"the camera API says {record}, the ledger {metadata}"
    told = [one for one in every if one["clipId"] == order.clip_id]
    same = [one for one in told if one["status"] == order.due and one["eventId"] == metadata["eventId"]]
    if not same:
        yield "nobody was told"
    if any(one != metadata for one in same):
        yield "its notifications differ"
    others = {one["status"] for one in told if one not in same} - {"CLIP_PENDING"}
    refused = {"CLIP_INVALID_REQUEST"} if order.kind == "used twice" else set()
    if others != refused:
        yield f"told as well: {others}, due: {refused}"
    if order.due == "CLIP_AVAILABLE":
        yield from _objects(stack, order, metadata)


def _objects(stack: Stack, order: Order, metadata: Mapping[str, Any]) -> Iterator[str]:
    key = metadata["clip"]["key"].removeprefix("/")
    starts = [json.loads(body)["startTimestampInMs"] for body in order.bodies]
    frames = order.frames[starts.index(metadata["startTimestampInMs"])]
    try:
        data, _ = stack.clips.get(key, most_bytes=_MOST_BYTES)
    except NotFound:
        yield f"{key} is not there"
        return
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        shown = tuple(one.number for one in show(Path(file.name)))
    if shown != frames:
        yield f"it shows frames {shown[:3]}... ({len(shown)}), due are {frames[:3]}... ({len(frames)})"
    if len(data) != metadata["sizeInBytes"]:
        yield "the clip that is there is not the one that was told of"
    for width in WIDTHS:
        key = metadata["thumbnail"]["key"].removeprefix("/").replace("{size}", str(width))
        try:
            with av.open(io.BytesIO(stack.clips.get(key, most_bytes=_MOST_BYTES)[0])) as container:
                assert next(container.decode(video=0)).width == width
        except (NotFound, av.FFmpegError, AssertionError):
            yield f"{key} is no thumbnail"


def _left_over(stack: Stack, orders: Sequence[Order], work: Path, marker: str) -> Iterator[str]:
    if left := stack.left():
        yield f"{left} messages are left"
    letters = list(stack.dead.letters())
    if unexplained := [one for one in letters if one.reason is None]:
        yield f"{len(unexplained)} dead letters have no reason"
    due = {order.bodies[0] for order in orders if order.kind == "unreadable"}
    if due != {letter.message.body for letter in letters}:
        yield f"dead letters: {len(letters)}, of unreadable messages: {len(due)}"
    if left_files := list(work.iterdir()):
        yield f"the work directory holds {left_files}"
    if leftovers := stack.leftovers():
        yield f"not finished: {leftovers}"
    available = {order.clip_id for order in orders if order.due == "CLIP_AVAILABLE"}
    keys = [info.key for info in stack.clips.list("") if not info.key.startswith("_clipline/")]
    stray = [key for key in keys if re.split("[/._]", key)[1] not in available]
    if stray:
        yield f"objects that nobody asked for: {stray}"
    if alive := processes(marker):
        yield f"processes are left: {alive}"


def processes(marker: str) -> list[str]:
    """Command lines of the processes whose environment holds ``marker``."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has just ended
            continue
    return found
