"""Who may call, without a token: whoever is on this machine, by this machine's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import urllib3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from clipline.camera_service.access import Access
from clipline.entrypoints.server import serve_in_thread

Call = Callable[..., urllib3.BaseHTTPResponse]


def _answer(_: Request) -> JSONResponse:
    return JSONResponse({})


@pytest.fixture
def call() -> Iterator[Call]:
    app = Starlette(routes=[Route("/{path:path}", _answer, methods=["GET", "POST", "PUT"])])
    hosts = {"127.0.0.1", "localhost", "::1"}
    with serve_in_thread(Access(app, hosts=hosts)) as url:

        def call(method: str, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
            return urllib3.request(method, url + path, headers=headers, retries=False)

        yield call


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8640", "LOCALHOST", "[::1]:8640", "[::1]"])
def test_this_machines_names(call: Call, host: str) -> None:
    assert call("GET", "/", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8640", "localhost.evil.example", ""]
)
def test_a_name_that_another_site_points_here(call: Call, host: str) -> None:
    refused = call("GET", "/", Host=host)
    assert (refused.status, refused.headers["Content-Type"]) == (421, "application/problem+json")


def test_so_many_changes_a_minute_and_no_more(call: Call) -> None:
    statuses = [call("POST", "/cameras/clips").status for _ in range(301)]
    assert statuses[:300] == [200] * 300
    assert statuses[300] == 429
    assert call("PUT", "/cameras/clips/c").status == 200  # the pipeline goes on


def test_tokens_can_not_be_tried_out(call: Call) -> None:
    statuses = [call("POST", "/login").status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
