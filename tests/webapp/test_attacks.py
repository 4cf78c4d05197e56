"""Attacks on the demo app by HTTP: hosts, origins, paths, large and many uploads, bombs, links."""

import io
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from alexnet_pl.data.images import decode
from alexnet_pl.errors import UserError
from alexnet_pl.webapp import access
from alexnet_pl.webapp.access import AccessControl

reached: list[str] = []


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the access control: notes the path, reads the body and answers."""
    reached.append(scope["path"])
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"behind"})


def client(folder: Path, host: str = "127.0.0.1") -> TestClient:
    reached.clear()
    return TestClient(AccessControl(behind, folder, host), base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::", "127.0.0.2"]
)
def test_dns_rebinding_is_refused(tmp_path: Path, host: str) -> None:
    """DNS rebinding: the browser takes a page of evil.example for one of the same site."""
    for path in ("/", "/gradio_api/upload"):
        assert client(tmp_path).get(path, headers={"host": host}).status_code == 421
        assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860"])
def test_local_host_names_are_accepted(tmp_path: Path, host: str) -> None:
    assert client(tmp_path).get("/", headers={"host": host}).text == "behind"


def test_public_app_accepts_other_host_names(tmp_path: Path) -> None:
    assert client(tmp_path, "0.0.0.0").get("/", headers={"host": "lab.example:7860"}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example:7860", "http://[", ""],
)
@pytest.mark.parametrize("path", ["/", "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/queue/data"])
def test_cross_origin_request_is_refused(tmp_path: Path, origin: str, path: str) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        for method in ("GET", "POST", "OPTIONS"):
            assert client(tmp_path, host).request(method, path, headers={"origin": origin}).status_code == 403
            assert reached == []


def test_same_origin_request_is_accepted(tmp_path: Path) -> None:
    own = {"origin": "http://127.0.0.1:7860"}
    assert client(tmp_path).post("/gradio_api/upload", headers=own, content=b"x").status_code == 200


def test_upload_of_100_mb_is_refused_before_reading(tmp_path: Path) -> None:
    assert client(tmp_path).post("/gradio_api/upload", content=bytes(100 * 2**20)).status_code == 413
    assert reached == []
    assert list(tmp_path.iterdir()) == []


def test_chunked_upload_without_a_size_is_cut_off(tmp_path: Path) -> None:
    """As of many files in one request, each below the limit."""

    def chunks(number: int) -> Iterator[bytes]:
        yield from (bytes(2**20) for _ in range(number))

    asking = client(tmp_path)
    assert asking.post("/gradio_api/upload", content=chunks(access.MAX_UPLOAD)).text == "behind"
    refused = asking.post("/gradio_api/upload", content=chunks(access.MAX_UPLOAD + 1))
    assert (refused.status_code, refused.text) == (413, "Too large")


def test_uploads_cannot_fill_the_disk(tmp_path: Path) -> None:
    with (tmp_path / "earlier").open("wb") as file:
        file.truncate(access.ALL_UPLOADS + 1)
    assert client(tmp_path).post("/gradio_api/upload", content=b"x").status_code == 503
    assert client(tmp_path).get("/").status_code == 200
    (tmp_path / "earlier").unlink()
    assert client(tmp_path).post("/gradio_api/upload", content=b"x").status_code == 200


def test_concurrent_requests_are_all_answered(tmp_path: Path) -> None:
    found: list[int] = []
    asking = client(tmp_path)

    def ask(number: int) -> None:
        path = ("/", "/etc/passwd", "/gradio_api/upload")[number % 3]
        found.append(asking.post(path, content=b"x" * 1000).status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [200] * 40 + [404] * 20


def test_link_among_uploads_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "uploads/a.png").symlink_to(tmp_path / "secret")
    (tmp_path / "uploads/b.png").write_text("mine")
    asking = client(tmp_path / "uploads")
    assert asking.get(f"/gradio_api/file={tmp_path}/uploads/a.png").status_code == 404
    assert asking.get(f"/gradio_api/file={tmp_path}/uploads/b.png").status_code == 200


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


def png_of(width: int, height: int) -> bytes:
    """A PNG of 20 kB that says it is of any size."""
    file = io.BytesIO()
    Image.new("1", (1, 1)).save(file, "png")
    content = bytearray(file.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("data", [png_of(50_000, 50_000), zlib.compress(bytes(10)) and b"", b"GIF89a" + b"\xff" * 20])
def test_bombs_and_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each library has its own words
        decode(data)
