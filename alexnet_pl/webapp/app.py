"""HTTP application of the demo app: a page with its style and script, and endpoints that answer with JSON (Figure 4).

    GET  /              the page
    GET  /api/about     title, description, whether there are example images, maximum size of an image file
    POST /api/answer    image file as the body → labels, heat map, similar images; for a box network, boxes
    POST /api/example   the same for a random validation image

Nothing is written to disk, and no path or address is taken from a request.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from alexnet_pl.data.images import FORMATS, UnknownFormat
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.json_records import JsonObject
from alexnet_pl.webapp.answer import Answer, Truth, to_json

MAX_UPLOAD = 20  # megabytes of an image file
MAX_WAITING = 16  # requests received or answered at the same time; each holds an image in memory
UPLOAD_SECONDS = 60  # time limit for receiving an image file
STATIC = Path(__file__).parent / "static"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
NO_EXAMPLES = "The store of the images no longer exists."


class ImageService(Protocol):
    """Model behind the page: a classifier's `DemoService` or a box network's `BoxService`."""

    @property
    def title(self) -> str: ...

    @property
    def description(self) -> str: ...

    def read(self, data: bytes) -> Tensor:
        """Decode an image file. Raises ValueError, with the reason, if it is not an image."""
        ...

    def answer(self, image: Tensor) -> Answer: ...

    @property
    def has_examples(self) -> bool:
        """Whether the store with the validation images is available."""
        ...

    def example(self) -> tuple[Tensor, Truth | None] | None:
        """Random validation image and its class; None if there are none."""
        ...


class RequestRefused(Exception):
    """Refusal of a request, with HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def import_starlette() -> Any:
    """Import starlette. Raises UserError, naming the extra, if it or its server is not installed."""
    try:
        import starlette.applications
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise not_installed(error.name, "app", "page") from error
    return starlette


def make_application(service: ImageService, host: str = "127.0.0.1") -> Any:
    """Make the ASGI application, wrapped in `AccessControl`."""
    import_starlette()
    from starlette.applications import Starlette
    from starlette.responses import FileResponse
    from starlette.routing import Route

    from alexnet_pl.webapp.access import AccessControl

    def file_route(path: str, name: str) -> Route:
        async def serve(_request: Any) -> FileResponse:
            return FileResponse(STATIC / name)

        return Route(path, serve)

    endpoints = Endpoints(service)
    routes = [file_route(path, name) for path, name in FILES.items()]
    routes += [
        Route("/api/about", endpoints.about),
        Route("/api/answer", endpoints.answer, methods=["POST"]),
        Route("/api/example", endpoints.example, methods=["POST"]),
    ]
    return AccessControl(Starlette(routes=routes), host)


class Endpoints:
    """Endpoints that answer with JSON. One image is answered at a time, in a thread; others wait."""

    def __init__(self, service: ImageService) -> None:
        self.service, self.waiting, self.one_at_a_time = service, 0, asyncio.Lock()

    async def about(self, _request: Any) -> Any:
        service = self.service
        return json_response(
            {
                "title": service.title,
                "description": service.description,
                "has_examples": await asyncio.to_thread(lambda: service.has_examples),
                "max_megabytes": MAX_UPLOAD,
            }
        )

    async def answer(self, request: Any) -> Any:
        async def read_and_answer() -> JsonObject:
            data = await read_body(request)
            return await self.in_thread(request, lambda: answer_file(self.service, data))

        return await self.respond(read_and_answer)

    async def example(self, request: Any) -> Any:
        async def choose_and_answer() -> JsonObject:
            await read_body(request)  # empty; only after it, a request can be seen to be cancelled
            return await self.in_thread(request, lambda: answer_example(self.service))

        return await self.respond(choose_and_answer)

    async def in_thread(self, request: Any, work: Callable[[], JsonObject]) -> JsonObject:
        """Wait for the images before, then work, unless the page no longer waits for the answer."""
        async with self.one_at_a_time:
            if await request.is_disconnected():
                raise RequestRefused(499, "The request was cancelled.")
            return await asyncio.to_thread(work)

    async def respond(self, work: Callable[[], Awaitable[JsonObject]]) -> Any:
        """Respond with the result of `work`, or with the error of a refused request, as JSON."""
        if self.waiting >= MAX_WAITING:
            return error_response(503, "Too many images at once; try again.")
        self.waiting += 1
        try:
            return json_response(await work())
        except RequestRefused as error:
            return error_response(error.status, str(error))
        finally:
            self.waiting -= 1


async def read_body(request: Any) -> bytes:
    """Body of a request. Raises RequestRefused if it is larger than `MAX_UPLOAD` or does not arrive in time."""
    limit, parts, size = MAX_UPLOAD * 2**20, [], 0
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large()
                parts.append(part)
    except TimeoutError as error:
        raise RequestRefused(408, f"The image did not arrive within {UPLOAD_SECONDS} seconds.") from error
    return b"".join(parts)


def too_large() -> RequestRefused:
    return RequestRefused(413, f"The file is too large: at most {MAX_UPLOAD} MB.")


def answer_file(service: ImageService, data: bytes) -> JsonObject:
    try:
        image = service.read(data)
    except UnknownFormat as error:
        raise RequestRefused(422, f"The file is not an image of a known format ({', '.join(FORMATS)}).") from error
    except (ValueError, OSError) as error:
        raise RequestRefused(422, f"The file cannot be read: {reason(error)}.") from error
    return answer_image(service, image, None)


def answer_example(service: ImageService) -> JsonObject:
    try:
        example = service.example()
    except UserError as error:  # such as for a store that was moved since it was opened
        raise RequestRefused(409, str(error)) from error
    if example is None:
        raise RequestRefused(404, NO_EXAMPLES)
    return answer_image(service, *example)


def answer_image(service: ImageService, image: Tensor, truth: Truth | None) -> JsonObject:
    try:
        answer = service.answer(image)
    except UserError as error:
        raise RequestRefused(409, str(error)) from error
    scores = [*(label.probability for label in answer.labels), *(box.confidence for box in answer.boxes or [])]
    if not all(map(math.isfinite, scores)):
        raise RequestRefused(409, "The network's scores are not finite; open another checkpoint.")
    return to_json(answer, truth)


def json_response(content: JsonObject, status: int = 200) -> Any:
    from starlette.responses import Response

    text = json.dumps(content, allow_nan=False)  # in ASCII, since names may hold characters that UTF-8 has not
    return Response(text, status, media_type="application/json")


def error_response(status: int, message: str) -> Any:
    return json_response({"error": message}, status)
