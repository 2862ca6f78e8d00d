"""Errors as people and programs get them over HTTP: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from clipline.camera_service.observed import HEADERS
from clipline.contract.errors import (
    CliplineError,
    Conflict,
    EngineFailed,
    MediaError,
    NotFound,
    Refused,
    Unavailable,
)
from clipline.contract.text import shorten

_STATUS_CODES: dict[type[CliplineError], int] = {
    NotFound: 404,
    Conflict: 409,
    Refused: 422,
    EngineFailed: 500,
    MediaError: 422,
    Unavailable: 503,
}
_RETRY_AFTER_S = 1


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
}
"""Of every route, for the description of the interface."""


def answer_with_problems(app: FastAPI) -> None:
    """Have ``app`` answer with a problem whatever its routes raise."""
    for handled in (Exception, HTTPException, RequestValidationError, CliplineError):
        app.add_exception_handler(handled, _on_error)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says so."""
    document = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    # An error that nobody expected is answered outside of ``Observed``.
    headers = {**HEADERS, **(headers or {})}
    return Response(document.model_dump_json(), status, headers, media_type="application/problem+json")


def _on_error(_: Request, error: Exception) -> Response:
    headers: Mapping[str, str] | None = None
    match error:
        case RequestValidationError():
            status, detail = 422, "; ".join(_describe(one) for one in error.errors())
        case HTTPException():
            status, detail, headers = error.status_code, str(error.detail), error.headers
        case CliplineError():
            kinds = type(error).__mro__
            status = next((_STATUS_CODES[kind] for kind in kinds if kind in _STATUS_CODES), 500)
            detail = str(error)
        case _:
            status, detail = 500, "an error that nobody expected; the log has more"
    if status == 503:
        headers = {"Retry-After": str(_RETRY_AFTER_S)} | dict(headers or {})
    return problem(status, detail, headers)


def _describe(one: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in one["loc"][1:])
    return f"{field}: {shorten(one['msg'].removeprefix('Value error, '), 300)}"
