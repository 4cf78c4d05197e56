"""Access control of the demo app: an allow-list of routes and of files in the app's folder.

Gradio serves much more than the app needs: other files, URLs that it fetches for the caller, development routes.
"""

import json
import re
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.responses import PlainTextResponse

App = Callable[[MutableMapping[str, Any], Callable, Callable], Any]
FILE, QUEUE = "/gradio_api/file=", "/gradio_api/queue/join"
UPLOAD = "/gradio_api/upload"
MAX_UPLOAD = 20  # megabytes per upload
LARGEST_UPLOAD = MAX_UPLOAD * 2**20 + 2**16  # bytes, including the form around it
ALL_UPLOADS = 2**30  # bytes of all pending uploads
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_BODY = 1_000_000  # bytes of a request that names an upload without containing it
OPEN_ROUTES = re.compile(
    r"/|/config/?|/(theme\.css|robots\.txt|favicon\.ico|manifest\.json)|/(assets|static|svelte)/.*"
    r"|/gradio_api/(startup-events|app_id/?|info/?|upload|upload_progress|queue/join|queue/data|cancel|heartbeat/\w+)"
)
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class AccessControl:
    """ASGI middleware: allows only the routes in `OPEN_ROUTES` and files in `folder`, and sets a strict CSP.

    Without it Gradio would copy any server file named in a request into its public cache.

    Requests from pages of other sites are refused by their `Origin` header and, if the app listens on this machine only
    (`host`), by their `Host` header (DNS rebinding).
    """

    def __init__(self, app: App, folder: Path, host: str = "127.0.0.1") -> None:
        self.app, self.folder, self.local = app, folder.resolve(), host in LOOPBACK

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "websocket":
            return None
        if scope["type"] == "http" and (refusal := self.refusal(scope)):
            return await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)
        if scope["type"] == "http" and scope["path"].startswith(QUEUE):
            body = await read_body(receive)
            if body is None or not self.names_only_uploads(body):
                return await PlainTextResponse("Only uploaded files are allowed", 403)(scope, receive, send)
            receive = replay_body(body, receive)
        if scope["type"] == "http" and scope["path"] == UPLOAD:
            return await self.upload(scope, receive, with_security_headers(send))
        return await self.app(scope, receive, with_security_headers(send))

    async def upload(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        """Pass on an upload while it is small enough: of one sent in chunks, the headers do not say the size."""
        size = 0

        async def receive_bounded() -> MutableMapping[str, Any]:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_UPLOAD:
                raise ValueError("upload too large")
            return message

        async def send_unless_refused(message: MutableMapping[str, Any]) -> None:
            if size <= LARGEST_UPLOAD:
                await send(message)

        try:
            await self.app(scope, receive_bounded, send_unless_refused)
        except Exception:
            if size <= LARGEST_UPLOAD:
                raise
        if size > LARGEST_UPLOAD:
            await PlainTextResponse("Too large", 413)(scope, receive, send)

    def refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return (status, reason) if the headers of a request are refused, None if it may pass."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get("host", "")
        if self.local and hostname(host) not in LOOPBACK:
            return 421, "This app is available on this machine only"
        if headers.get("origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            return 403, "Requests from other sites are not allowed"
        if not self.allows(scope["path"]):
            return 404, "Not found"
        if scope["path"] == UPLOAD:
            size = headers.get("content-length", "")
            if size.isdigit() and int(size) > LARGEST_UPLOAD:
                return 413, "Too large"
            if sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) > ALL_UPLOADS:
                return 503, "Too many uploads; they are deleted after ten minutes"
        return None

    def allows(self, path: str) -> bool:
        if not path.startswith(FILE):
            return bool(OPEN_ROUTES.fullmatch(path)) and ".." not in unquote(path)
        return self.is_in_folder(unquote(path.removeprefix(FILE)))

    def is_in_folder(self, path: object) -> bool:
        try:
            return Path(str(path)).resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # not a valid file name
            return False

    def names_only_uploads(self, body: bytes) -> bool:
        try:
            return all(map(self.is_in_folder, find_paths(json.loads(body))))
        except ValueError:
            return False


def hostname(host: str) -> str | None:
    """Name in a Host header, without the port; None for one that is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def find_paths(value: object) -> Iterator[object]:
    """Yield every "path" in nested JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "path" and inner is not None:
                yield inner
            else:
                yield from find_paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from find_paths(inner)


async def read_body(receive: Callable) -> bytes | None:
    """Read the body of a request; None if it is too long or was interrupted."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if message["type"] != "http.request" or len(body) > MAX_BODY:
            return None
    return body


def replay_body(body: bytes, receive: Callable) -> Callable:
    """Make a `receive` that returns the body already read, then later messages."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return replay


def with_security_headers(send: Callable) -> Callable:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
            message["headers"] = [*message["headers"], *given]
        await send(message)

    return with_headers
