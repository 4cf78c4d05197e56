"""What of the page's server can be reached from outside: the page, uploads, answers; no file but the page's own.

The library behind the page serves much else: other files, addresses that it fetches for the caller, development
routes. A list of what the page needs is shorter than one of what could go wrong.
"""

import re
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.responses import PlainTextResponse

App = Callable[[MutableMapping[str, Any], Callable, Callable], Any]
FILE = "/gradio_api/file="
OPEN = re.compile(
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


class Gate:
    """Lets through what `OPEN` names, and files of `folder`; the browser is told to fetch from nowhere else."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "http" and not self.allows(scope["path"]):
            return await PlainTextResponse("Not found", 404)(scope, receive, send)
        if scope["type"] == "websocket":
            return None
        return await self.app(scope, receive, guarded(send))

    def allows(self, path: str) -> bool:
        if not path.startswith(FILE):
            return bool(OPEN.fullmatch(path)) and ".." not in unquote(path)
        try:
            return Path(unquote(path.removeprefix(FILE))).resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # a name that no file can have
            return False


def guarded(send: Callable) -> Callable:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
            message["headers"] = [*message["headers"], *given]
        await send(message)

    return with_headers
