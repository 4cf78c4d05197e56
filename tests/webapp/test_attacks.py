"""HTTP requests of an attacker: other hosts and origins, paths, large and many uploads, bombs, links."""

import asyncio
import io
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor

from alexnet_pl.data.images import decode
from alexnet_pl.errors import UserError
from alexnet_pl.webapp import app
from alexnet_pl.webapp.answer import Answer, Label


class GreyService:
    """Classifies every image as gray; counts the images that it reads and answers, in total and at the same time."""

    title, description, has_examples = "gray", "one class", False

    def __init__(self) -> None:
        self.read_files, self.answered, self.running, self.most_running = 0, 0, 0, 0

    def read(self, data: bytes) -> Tensor:
        self.read_files += 1
        return decode(data)[0]

    def answer(self, image: Tensor) -> Answer:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.answered += 1
        time.sleep(0.005)  # long enough for another thread to enter
        self.running -= 1
        return Answer(image.numpy(), "a note", [Label("gray", 1.0, 0)])

    def example(self) -> None:
        return None


def client(service: GreyService | None = None, host: str = "127.0.0.1") -> TestClient:
    return TestClient(app.make_application(service or GreyService(), host), base_url="http://127.0.0.1:7860")


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (128, 128, 128)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::", "127.0.0.2"]
)
def test_dns_rebinding_is_refused(host: str) -> None:
    """The browser would treat a page of evil.example as being of the same site."""
    service = GreyService()
    asking = client(service)
    assert asking.get("/", headers={"host": host}).status_code == 421
    assert asking.post("/api/answer", headers={"host": host}, content=picture()).status_code == 421
    assert service.read_files == 0


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860"])
def test_local_host_names_are_accepted(host: str) -> None:
    assert "<title>alexnet_pl</title>" in client().get("/", headers={"host": host}).text


def test_public_app_accepts_other_host_names() -> None:
    assert client(host="0.0.0.0").get("/", headers={"host": "lab.example:7860"}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example:7860", "http://[", ""],
)
@pytest.mark.parametrize("path", ["/", "/api/about", "/api/answer", "/api/example"])
def test_cross_origin_request_is_refused(origin: str, path: str) -> None:
    service = GreyService()
    for host in ("127.0.0.1", "0.0.0.0"):
        for method in ("GET", "POST", "OPTIONS"):
            answer = client(service, host).request(method, path, headers={"origin": origin}, content=picture())
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    assert service.read_files == 0


def test_same_origin_request_is_accepted() -> None:
    answer = client().post("/api/answer", headers={"origin": "http://127.0.0.1:7860"}, content=picture())
    assert answer.status_code == 200
    assert answer.json()["labels"] == [{"name": "gray", "probability": 1.0, "number": 0}]


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../../app.py", "/static/page.js",
     "/app.py", "/docs", "/openapi.json", "/file=/etc/passwd", "/api/answer/../../app.py", "//etc/passwd"],
)  # fmt: skip
def test_only_the_app_is_served(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code in (404, 405)
    assert "root:" not in answer.text


def test_page_loads_nothing_from_other_hosts() -> None:
    asking = client()
    for path in app.FILES:
        answer = asking.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "https://" not in answer.text
        assert set(find_addresses(answer.text)) <= {"http://www.w3.org/2000/svg"}


def find_addresses(text: str) -> list[str]:
    return [word.split('"')[0] for word in text.split('"') if word.startswith("http:")]


def test_upload_of_100_mb_is_refused_before_reading() -> None:
    service = GreyService()
    answer = client(service).post("/api/answer", content=bytes(100 * 2**20))
    assert (answer.status_code, answer.json()) == (413, {"error": "The file is too large: at most 20 MB."})
    assert service.read_files == 0


def test_chunked_upload_without_a_size_is_cut_off() -> None:
    sent = 0

    def chunks() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(2**20)

    service = GreyService()
    assert client(service).post("/api/answer", content=chunks()).status_code == 413
    assert service.read_files == 0


def test_upload_that_never_ends_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "UPLOAD_SECONDS", 0.05)

    class Request:
        headers: Mapping[str, str] = MappingProxyType({})

        async def stream(self) -> Any:
            yield b"x"
            await asyncio.sleep(30)

    with pytest.raises(app.RequestRefused, match="did not arrive within") as refused:
        asyncio.run(app.read_body(Request()))
    assert refused.value.status == 408


def test_concurrent_requests_are_answered_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_WAITING", 100)
    found: list[int] = []
    service = GreyService()
    with client(service) as asking:

        def ask(number: int) -> None:
            path, data = (("/api/answer", picture()), ("/etc/passwd", b""), ("/api/answer", b"no image"))[number % 3]
            found.append(asking.post(path, content=data).status_code)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found) == [200] * 20 + [404] * 20 + [422] * 20
    assert (service.answered, service.most_running) == (20, 1)


def test_too_many_waiting_requests_get_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_WAITING", 0)
    answer = client().post("/api/answer", content=picture())
    assert (answer.status_code, answer.json()) == (503, {"error": "Too many images at once; try again."})


def test_run_folder_with_an_outside_link_is_refused(tmp_path: Path) -> None:
    from alexnet_pl.webapp.service import DemoService

    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra/config.yaml").write_text("command: fit\nmodel: {num_classes: 10}\n")
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").write_bytes(b"x")
    (run / "features").symlink_to("/etc")
    with pytest.raises(UserError, match="outside of the run folder"):
        DemoService(run)


@pytest.mark.parametrize("path", ["/api/answer", "/api/example"])
def test_image_that_the_page_no_longer_waits_for_is_not_computed(path: str) -> None:
    service, sent = GreyService(), list[Any]()
    messages = [{"type": "http.request", "body": picture(), "more_body": False}, {"type": "http.disconnect"}]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [(b"host", b"127.0.0.1")]}

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app.make_application(service)(scope, receive, send))
    assert (sent[0]["status"], service.read_files) == (499, 0)


def test_file_of_another_format_is_refused_with_the_known_ones() -> None:
    answer = client().post("/api/answer", content=b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The file is not an image of a known format (JPEG, PNG, WEBP, ")


def test_image_above_pillows_limit_is_refused_in_plain_words() -> None:
    answer = client().post("/api/answer", content=png_of(50_000, 50_000))
    assert answer.json() == {"error": "The file cannot be read: more than 89 megapixels (a decompression bomb?)."}


class OneLabelService(GreyService):
    """Gives every image one label."""

    def __init__(self, name: str, probability: float) -> None:
        super().__init__()
        self.label = Label(name, probability, 0)

    def answer(self, image: Tensor) -> Answer:
        return Answer(image.numpy(), "a note", [self.label])


def test_scores_that_are_not_finite_are_refused() -> None:
    answer = client(OneLabelService("one", float("nan"))).post("/api/answer", content=picture())
    assert answer.status_code == 409
    assert answer.json() == {"error": "The network's scores are not finite; open another checkpoint."}


def test_name_that_utf8_has_no_code_for_is_answered() -> None:
    answer = client(OneLabelService("\ud800 ä", 1.0)).post("/api/answer", content=picture())
    assert (answer.status_code, answer.json()["labels"][0]["name"]) == (200, "\ud800 ä")
    assert answer.headers["content-type"] == "application/json"


def png_of(width: int, height: int) -> bytes:
    """PNG of 20 kB that declares any size."""
    file = io.BytesIO()
    Image.new("1", (1, 1)).save(file, "png")
    content = bytearray(file.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("data", [png_of(50_000, 50_000), zlib.compress(bytes(10)) and b"", b"GIF89a" + b"\xff" * 20])
def test_bombs_and_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each library has its own message
        decode(data)
