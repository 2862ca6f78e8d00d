"""Who may call, and what every answer tells a browser.

On loopback without a token whoever is on this machine may call: then the Host header has to name this
machine, or a page elsewhere could call under a name that it points here (DNS rebinding). With a token every
request carries it, as ``Authorization: Bearer`` or in the cookie that ``/login`` or the printed link set.
What changes something is refused where a browser says that another site asks (Sec-Fetch-Site, Origin).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clipline.camera_service.problems import problem

COOKIE = "clipline_token"
_COOKIE_AGE_S = 365 * 86_400

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = ("/health", "/login", "/page/", "/share/", "/favicon.ico")
"""What needs no token: what the login page is made of, and what is signed itself."""

_CHANGES_A_MINUTE = 300
_LOGINS_A_MINUTE = 10

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}


class Access:
    """Around an application. ``hosts`` are the names that requests may be for; None: any."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        hosts: Collection[str] | None = None,
        service: Collection[str] = (),
    ) -> None:
        """``service`` are further tokens, which are sent as Bearer alone."""
        self._app = app
        self._token = token
        self._hosts = hosts
        self._bearers = [*([token] if token else []), *service]
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def allows(self, token: str) -> bool:
        """Whether that is the token."""
        return self._token is not None and _same(token, self._token)

    def _bears(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and any(_same(token.strip(), one) for one in self._bearers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return problem(
                421, f"this is no address of {host[:100]!r}: open the one that clipline printed, "
                "or start it with --allow-host",
            )  # fmt: skip
        if method not in _SAFE:
            refusal = self._of_a_change(scope, headers, host)
            if refusal is not None:
                return refusal
        if self._token is None or path.startswith(_OPEN):
            return None
        page = method in _SAFE and "text/html" in headers.get("accept", "")
        query = parse_qs(scope["query_string"].decode("latin-1")) if page else {}
        if "token" in query:
            return self._entered(path, query)
        if self._bears(headers) or self.allows(_cookie(headers)):
            return None
        if page:
            return RedirectResponse("/login", 303)
        return problem(
            401, "this needs the token that clipline printed", {"WWW-Authenticate": 'Bearer realm="clipline"'}
        )

    def _of_a_change(self, scope: Scope, headers: Headers, host: str) -> Response | None:
        origin = headers.get("origin")
        own = origin is None or origin.partition("://")[2] == host
        if not own or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return problem(403, "another site's page asked for this change")
        client = scope["client"][0] if scope.get("client") else ""
        logging_in = scope["path"] == "/login"
        limit = RateLimitItemPerMinute(_LOGINS_A_MINUTE if logging_in else _CHANGES_A_MINUTE)
        if scope["method"] == "PUT" or self._bears(headers):
            return None  # the pipeline's, which no cap may slow down
        if not self._limiter.hit(limit, client, "login" if logging_in else "change"):
            return problem(429, f"more than {limit.amount} of these a minute", {"Retry-After": "10"})
        return None

    def _entered(self, path: str, query: dict[str, list[str]]) -> Response:
        """The printed link was opened: its token goes into a cookie, out of the address."""
        token = query.pop("token")[0]
        if not self.allows(token):
            return RedirectResponse("/login", 303)
        rest = urlencode(query, doseq=True)
        return with_cookie(RedirectResponse(f"{path}?{rest}" if rest else path, 303), token)


def with_cookie(response: Response, token: str) -> Response:
    """``response``, which makes the browser come with ``token`` from now on."""
    response.set_cookie(COOKIE, token, max_age=_COOKIE_AGE_S, httponly=True, samesite="lax", path="/")
    return response


def _cookie(headers: Headers) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _name(host: str) -> str:
    """Without the port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    return name.strip("[]").lower()
