"""Access control of the demo app: refuses requests by their headers, and restricts what the browser may load."""

from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

App = Callable[[MutableMapping[str, Any], Callable, Callable], Any]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class AccessControl:
    """ASGI middleware: refuses requests from pages of other sites and sets a strict Content-Security-Policy.

    Pages of other sites are recognized by the `Origin` header and, if the app listens on this machine only (`host`), by
    the `Host` header (DNS rebinding).
    """

    def __init__(self, app: App, host: str = "127.0.0.1") -> None:
        self.app, self.local = app, host in LOOPBACK

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "websocket":
            return None
        if scope["type"] == "http" and (refusal := self.refusal(scope)):
            status, reason = refusal
            return await PlainTextResponse(reason, status)(scope, receive, with_security_headers(send))
        return await self.app(scope, receive, with_security_headers(send))

    def refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return (status, reason) if the headers of a request are refused, None if it may pass."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get("host", "")
        if self.local and hostname(host) not in LOOPBACK:
            return 421, "This app is available on this machine only"
        if headers.get("origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            return 403, "Requests from other sites are not allowed"
        return None


def hostname(host: str) -> str | None:
    """Name in a Host header, without the port; None if the header is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def with_security_headers(send: Callable) -> Callable:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
            message["headers"] = [*message["headers"], *given]
        await send(message)

    return with_headers
