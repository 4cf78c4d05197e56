"""Demo app: answers, reachable files, and behaviour in a browser."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch.nn import functional as F

from alexnet_pl.commands import registry
from alexnet_pl.config.recipes import SHIPPED
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.webapp import app
from alexnet_pl.webapp.service import DemoService

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def do(words: list[str], recipe: str, folder: Path) -> None:
    with initialize_config_dir(str(SHIPPED), version_base="1.3"):
        cfg = compose(recipe, words)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    from omegaconf import OmegaConf

    if cfg.command == "fit":
        OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    registry.run(cfg, folder)


@pytest.fixture(scope="module")
def place(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run after `fit` and `features`, in `run`, and codes of those features, in `runs/codes/one`."""
    folder = tmp_path_factory.mktemp("page")
    tiny = ["data.name=tiny", f"data.root={tiny_store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    tiny += ["performance.compile=false", "trainer.max_epochs=1", "trainer.log_every_n_steps=2"]
    tiny += ["logger=csv", "trainer.precision=32-true"]
    do(tiny, "imagenette", folder / "run")
    last = f"ckpt_path={folder / 'run/checkpoints/last.ckpt'}"
    do([*tiny, "command=features", last], "imagenette", folder / "run")
    words = [f"codes.features={folder / 'run'}", "codes.bits=32", "codes.hidden=[16]", "logger=csv"]
    words += ["data.batch_size=32", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer.precision=32-true"]
    do(words, "codes", folder / "runs/codes/one")
    return folder


@pytest.fixture
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def drawn(number: int, side: int = 90) -> torch.Tensor:
    return torch.from_numpy(synthetic.draw_image(number, side)[0])


def png(path: Path, image: torch.Tensor) -> Path:
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return path


@pytest.mark.usefixtures("_here")
def test_answer_matches_the_network_and_brute_force_neighbours(place: Path, tmp_path: Path) -> None:
    lookup = DemoService(place / "run")
    image = lookup.read(png(tmp_path / "one.png", drawn(7)).read_bytes())
    answer = lookup.answer(image)
    with torch.inference_mode():
        views = torch.cat(list(lookup.module.augment.views(image, "ten")))
        said = F.softmax(lookup.module.net(views), 1).mean(0)
    names = [name for _, name in synthetic.CLASSES]
    best = sorted(range(len(said)), key=lambda i: -float(said[i]))[:5]
    assert [label.name for label in answer.labels] == [sorted(synthetic.CLASSES)[i][1] for i in best]
    assert [label.probability for label in answer.labels] == pytest.approx([float(said[i]) for i in best], rel=1e-4)
    assert {label.name for label in answer.labels} <= set(names)

    features = np.load(place / "run/features/train-fc7/features.npy").astype(np.float64)
    with torch.inference_mode():
        (centre,) = lookup.module.augment.views(image, "center")
        own = lookup.module.net.features(centre).half().double().numpy()  # type: ignore[operator]
    distances = np.sqrt(((features - own) ** 2).sum(1))
    floats, codes = answer.searches
    assert [near.distance for near in floats.near] == [f"{d:.1f}" for d in np.sort(distances)[:6]]
    store = Store(lookup.store().root).split("train")
    for near, number in zip(floats.near, np.argsort(distances, kind="stable"), strict=False):
        pixels = np.empty((1, 3, 72, 72), np.uint8)
        store.read(np.array([number]), pixels)
        assert np.array_equal(near.image, pixels[0])
    bits = np.unpackbits(np.load(place / "runs/codes/one/codes/train.npy"), axis=1)
    assert lookup.codes is not None
    mine = lookup.codes.net.encode(own.astype(np.float16))
    differing = np.sort((bits != mine).sum(1))[:6]
    assert [near.distance for near in codes.near] == [f"{d} bits differ" for d in differing]
    assert "96 × 32 bits" in codes.note


@pytest.mark.usefixtures("_here")
def test_missing_features_or_codes_name_the_command(place: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(place / "run", bare, ignore=shutil.ignore_patterns("features"))
    floats, codes = DemoService(bare).answer(drawn(3, 72)[None]).searches
    assert (floats.near, codes.near) == ([], [])
    assert f"python -m alexnet_pl features -c {bare}" in floats.note
    assert f"python -m alexnet_pl reproduce -c codes codes.features={bare}" in codes.note


def damaged(place: Path, tmp_path: Path, how: str) -> Path:
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    if how == "no checkpoint":
        shutil.rmtree(run / "checkpoints")
    if how == "store away":
        path = run / ".hydra/config.yaml"
        path.write_text(re.sub(r"root: .*tiny", "root: /gone/tiny", path.read_text()))
    if how == "other features":
        path = run / "checkpoints/last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["state_dict"]["net.fc8.bias"] += 1
        torch.save(checkpoint, path)
    return run


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no checkpoint", "no run under .* has a last.ckpt; fit first"),
        ("store away", "data.root: /gone/tiny does not exist"),
        ("other features", "features"),
    ],
)
def test_unsuitable_run_folder_is_one_line(place: Path, tmp_path: Path, how: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        DemoService(damaged(place, tmp_path, how))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "page: which run folder?"),
        (["a", "b"], "page: give one run folder"),
        (["a", "speed=3"], "speed: unknown key; did you mean "),
        (["a", "--share"], "--share: page has no flags"),
        (["a", "port=0"], "port=0: a number from 1 to 65535"),
        (["a", "port=http"], "port: Value 'http'"),
        (["a", "ckpt_path=new"], "ckpt_path=new: last or best"),
        (["nowhere"], "nowhere: no run folder"),
        (["a", "host=no.such.host.invalid"], "host=no.such.host.invalid: "),
    ],
)
def test_wrong_argument_is_one_line(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(says)}"):
        registry.run_on_folders(registry.find("page"), words)


def test_occupied_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"^cannot listen on 127.0.0.1:{port} .*choose another port=NUMBER"):
            registry.run_on_folders(registry.find("page"), ["run", f"port={port}"])


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """The command as a person gives it, in a process of its own, ended by Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "alexnet_pl", "page", "run", f"port={port}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(words, cwd=place, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    lines = [started.stdout.readline(), started.stdout.readline()]
    try:
        assert lines[1].startswith(f"→ http://127.0.0.1:{port}"), started.stderr
        yield f"http://127.0.0.1:{port}"
    finally:
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
    assert "Traceback" not in errors
    assert started.returncode == 130


def fetch(address: str, path: str, **asked: Any) -> tuple[int, str, Any]:
    """(status, text, headers) of a path as it is written, `..` included, which most clients would resolve."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("POST" if asked else "GET", path, **asked)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(errors="replace"), answer.headers
    connection.close()
    return found


def upload(address: str, size: int) -> tuple[int, str]:
    kind = {"Content-Type": "multipart/form-data; boundary=cut", "Connection": "close"}
    head = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return fetch(address, "/gradio_api/upload", body=head + b"x" * size + b"\r\n--cut--\r\n", headers=kind)[:2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=etc/passwd",
        "/gradio_api/file={uploads}/../../../../../../etc/passwd",
        "/gradio_api/file={uploads}/%2e%2e/%2e%2e/secret",
        "/gradio_api/file={run}/.hydra/config.yaml",
        "/gradio_api/file={run}/checkpoints/last.ckpt",
        "/gradio_api/file=run/metrics.csv",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/assets/../../../../../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/vibe-code/",
        "/gradio_api/runs",
        "/monitoring",
        "/docs",
        "/openapi.json",
    ],
)
def test_only_the_app_is_served(address: str, place: Path, path: str) -> None:
    assert (place / "run/metrics.csv").is_file()
    status, text, _ = fetch(address, path.format(run=place / "run", uploads=uploads(address)))
    assert status in (403, 404)
    assert "root:" not in text


def uploads(address: str) -> Path:
    status, text = upload(address, 1000)
    assert status == 200
    return Path(json.loads(text)[0]).parent


@pytest.mark.slow
def test_only_uploaded_files_are_served(address: str) -> None:
    status, text, _ = fetch(address, f"/gradio_api/file={uploads(address)}/a.png")
    assert (status, text) == (200, "x" * 1000)


@pytest.mark.slow
def test_page_loads_nothing_from_other_hosts(address: str) -> None:
    status, text, headers = fetch(address, "/")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?://[^\"'>]+", text)


def question(path: str) -> str:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return json.dumps({"data": [file], "fn_index": 0, "session_hash": "me"})


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "run/metrics.csv", "http://127.0.0.1:1/", "{uploads}/../../x/passwd"])
def test_server_path_instead_of_an_upload_is_refused(address: str, path: str) -> None:
    """As somebody would ask who does not use the page; what was uploaded can be asked about."""
    kind = {"Content-Type": "application/json"}
    mine = uploads(address)
    for asked, code in ((str(mine / "a.png"), 200), (path.format(uploads=mine), 403)):
        assert fetch(address, "/gradio_api/queue/join", body=question(asked), headers=kind)[0] == code


def test_gradio_also_refuses_files_that_were_not_uploaded(place: Path, tmp_path: Path) -> None:
    """Behind the gate, where one would get past it."""
    words = [sys.executable, "-c", BEHIND, str(place), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert "InvalidPathError" in done.stdout, done.stderr
    assert not list(tmp_path.rglob("passwd"))


BEHIND = """
import asyncio, sys
from pathlib import Path
from alexnet_pl.webapp import app
from alexnet_pl.webapp.service import DemoService
place, folder = map(Path, sys.argv[1:])
gate = app.make_application(DemoService(place / "run"), folder)
from gradio.context import LocalContext
from gradio.processing_utils import async_move_files_to_cache
(mounted,) = [route.app for route in gate.app.routes if hasattr(route, "app")]
blocks = mounted.get_blocks()
LocalContext.blocks.set(blocks)
stolen = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
try:
    asyncio.run(async_move_files_to_cache(stolen, blocks.fns[0].inputs[0], check_in_upload_folder=True))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.slow
def test_upload_size_is_limited(address: str) -> None:
    assert upload(address, 1000)[0] == 200
    assert upload(address, app.MAX_UPLOAD * 1024 * 1024 + 1)[0] == 413


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def boxes(view: Any, selector: str) -> list[dict[str, float]]:
    return [one.bounding_box() for one in view.locator(selector).all()]


def apart(one: dict[str, float], other: dict[str, float]) -> bool:
    beside = one["x"] + one["width"] <= other["x"] + 0.5 or other["x"] + other["width"] <= one["x"] + 0.5
    above = one["y"] + one["height"] <= other["y"] + 0.5 or other["y"] + other["height"] <= one["y"] + 0.5
    return beside or above


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_browser_shows_bars_and_neighbours_for_a_dropped_image(
    browser: Any, address: str, tmp_path: Path, width: int, scheme: str
) -> None:
    view = browser.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)
    asked: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.goto(address)
    view.wait_for_selector("text=Drop an image")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    for name, selector in (("broken.jpg", ".wrong"), ("one.png", ".near img")):
        png(tmp_path / "one.png", drawn(7))
        view.locator("input[type=file]").first.set_input_files(tmp_path / name)
        view.wait_for_selector(selector, timeout=60_000)
        if name == "broken.jpg":
            assert view.locator(".wrong").inner_text() == "broken.jpg cannot be read: not an image."
            assert view.locator(".near").count() == 0
    shares = [float(text.split()[0]) for text in view.locator(".bars .share").all_inner_texts()]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    full = boxes(view, ".bars .bar")[0]["width"]
    drawn_widths = [box["width"] / full * 100 for box in boxes(view, ".bars .bar > div")]
    assert drawn_widths == pytest.approx(shares, abs=1)
    images = view.locator(".near img")
    assert images.count() == 12
    assert all(image.get_attribute("src").startswith("data:image/png;base64,") for image in images.all())
    assert all(image.evaluate("image => image.complete && image.naturalWidth == 72") for image in images.all())
    things = boxes(view, ".near figure") + boxes(view, ".bars > *") + boxes(view, ".ours h3")
    assert all(apart(one, other) for number, one in enumerate(things) for other in things[:number])
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in things)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    view.close()


@pytest.mark.slow
def test_browser_shows_and_clears_an_example(browser: Any, address: str, tmp_path: Path) -> None:
    view = browser.new_page()
    view.goto(address)
    view.get_by_text("Random validation image").click()
    view.get_by_text("Correct label: ").wait_for(timeout=60_000)
    assert view.locator(".bars .true").count() <= 1
    view.get_by_label("Remove Image").click()
    view.get_by_text("Drop an image").wait_for(timeout=60_000)
    assert view.locator(".near").count() == 0
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    view.locator("input[type=file]").first.set_input_files(tmp_path / "broken.jpg")
    view.wait_for_selector(".wrong", timeout=60_000)
    view.close()


@pytest.mark.slow
def test_browser_shows_a_message_for_an_oversized_file(browser: Any, address: str, tmp_path: Path) -> None:
    view = browser.new_page()
    view.goto(address)
    view.wait_for_selector("text=Drop an image")
    (tmp_path / "large.png").write_bytes(b"x" * (app.MAX_UPLOAD * 1024 * 1024 + 1))
    view.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
    view.get_by_text(re.compile(f"maximum.*{app.MAX_UPLOAD}", re.IGNORECASE)).first.wait_for(timeout=30_000)
    view.close()
