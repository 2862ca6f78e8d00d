"""What comes in over HTTP, checked: instants, intervals, ids and bodies."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from starlette.exceptions import HTTPException

from clipline.contract.interval import Interval, parse_instant
from clipline.contract.text import ID, shorten

MOST_BODY_BYTES = 256 * 1024
"""What SNS carries; result metadata that goes there too can't be larger."""

Instant = Annotated[
    int,
    BeforeValidator(parse_instant, json_schema_input_type=str),
    Field(description="Milliseconds since the epoch, or ISO 8601 in UTC", examples=["1537113617000"]),
]


_Model = TypeVar("_Model", bound=BaseModel)


async def capped_body(request: Request) -> bytes:
    """The body, read no further than MOST_BODY_BYTES."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY_BYTES:
            raise HTTPException(413, f"the body has more than {MOST_BODY_BYTES} bytes")
    return bytes(data)


def interval_of(start_ms: int, end_ms: int, names: tuple[str, str] = ("startDate", "endDate")) -> Interval:
    """Raises 422 for one that ends before it begins; ``names`` are what the request calls the two."""
    try:
        return Interval(start_ms, end_ms)
    except ValueError:
        raise HTTPException(422, f"{names[1]} {end_ms} does not come after {names[0]} {start_ms}") from None


def check_clip_id(clip_id: str) -> None:
    """Raises 422 for what can be none."""
    if not ID.fullmatch(clip_id):
        raise HTTPException(422, f"clipId {shorten(clip_id)}: expected 1 to 64 letters, digits, '_' or '-'")


def check_camera_id(camera_id: str) -> None:
    """Raises 404 for what can be none."""
    if not ID.fullmatch(camera_id):
        raise HTTPException(404, f"no camera has the id {shorten(camera_id)}")


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """How the description of the interface shows a body that ``read_body`` reads as ``model``."""
    schema = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": schema}}


def read_body(model: type[_Model], body: bytes) -> _Model:
    """Raises 422 that names the first wrong field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        one = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in one["loc"]) or "the body"
        raise HTTPException(422, f"{field}: {shorten(one['msg'], 200)}") from None
