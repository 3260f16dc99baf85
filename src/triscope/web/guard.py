"""Checks of every request, before any route sees it.

host        one of those that the page is served under; any other is refused (against DNS rebinding)
token       in the address that is opened, then in a cookie: other users of the machine have neither
origin      requests that change something must come from the page itself
body        no larger than allowed, counted while it is read
headers     the page loads nothing from other hosts, and no other site can show it in a frame
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The largest body of a request.
MAX_BODY = 20 * 2**20
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_LOCAL = ("127.0.0.1", "localhost", "::1")


class BodyTooLargeError(Exception):
    """A request's body is too large."""


class Guard:
    """The application, behind its checks. `hosts` are further names that it is served under; `any_address` allows
    every numerical one.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Iterable[str] = (), any_address: bool = False
    ) -> None:
        self.app, self.token, self.any_address = app, token, any_address
        self.hosts = {*_LOCAL, *(host.lower() for host in hosts)}
        self.cookie = f"triscope-{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._refusal(scope)
        if answer is not None:
            for name, value in _HEADERS.items():
                answer.headers.setdefault(name, value)
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive), _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return PlainTextResponse("This page is not served under that name.", 403)
        if self.token is not None and not self._has_cookie(headers):
            return self._let_in(scope, self.token)
        if scope["method"] not in ("GET", "HEAD") and not _same_origin(headers, host):
            return PlainTextResponse("Only the page itself may send this request.", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return PlainTextResponse(f"At most {MAX_BODY // 2**20} MB are accepted.", 413)
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.hosts:
            return True
        if not self.any_address:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_cookie(self, headers: Headers) -> bool:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            return False
        found = jar.get(self.cookie)
        return found is not None and hmac.compare_digest(found.value.encode(), (self.token or "").encode())

    def _let_in(self, scope: Scope, token: str) -> Response:
        """The first request: the token moves from the address to a cookie."""
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = query.pop("token", [""])[0]
        if scope["method"] != "GET" or not hmac.compare_digest(given.encode(), token.encode()):
            return PlainTextResponse("Open the address that triscope printed: it has the key to this page.", 401)
        rest = urlencode(query, doseq=True)
        answer = RedirectResponse(f"./?{rest}" if rest else "./", 303)
        answer.set_cookie(self.cookie, token, httponly=True, samesite="strict")
        return answer


def _same_origin(headers: Headers, host: str) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() == host.lower() != ""


def _counted(receive: Receive) -> Receive:
    """The body as it arrives; raises where it becomes too large."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > MAX_BODY:
                raise BodyTooLargeError
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
