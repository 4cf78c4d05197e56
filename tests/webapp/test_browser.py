"""The page as a user sees it: the command, its errors, and the app in a browser."""

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
from urllib.parse import urlsplit

import pytest
from photographs import drawn, save_png

from alexnet_pl.commands import dispatch, registry
from alexnet_pl.errors import UserError
from alexnet_pl.webapp import app

UNKNOWN_FORMAT = "The file is not an image of a known format (JPEG, PNG, WEBP, BMP, GIF, PPM, TIFF)."
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "page: which run folder?"),
        (["a", "b"], "page: give one run folder"),
        (["a", "speed=3"], "speed: unknown key; one of port, host, "),
        (["a", "--share"], "--share: page has no flags"),
        (["a", "port=0"], "port=0: a number from 1 to 65535"),
        (["a", "port=http"], "port=http: expected a whole number"),
        (["a", "ckpt_path=new"], "ckpt_path=new: last or best"),
        (["nowhere"], "nowhere: no run folder"),
        (["a", "host=no.such.host.invalid"], "host=no.such.host.invalid: "),
    ],
)
def test_wrong_argument_is_reported_in_one_line(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(says)}"):
        dispatch.run_on_folders(registry.find("page"), words)


@pytest.mark.parametrize("word", ["ckpt_path=best", "codes=runs/codes/one"])
def test_options_that_a_box_run_lacks_are_refused(word: str, tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/config.yaml").write_text("command: fit\nboxes: {task: detect}\n")
    with pytest.raises(UserError, match=r"^page: a run of boxes is opened with its last checkpoint and has no codes"):
        dispatch.run_on_folders(registry.find("page"), [str(tmp_path), "port=7861", word])


def test_occupied_port_is_reported_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"^cannot listen on 127.0.0.1:{port} .*choose another port=NUMBER"):
            dispatch.run_on_folders(registry.find("page"), ["run", f"port={port}"])


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Run the command as a user does, in its own process that is ended by Ctrl-C."""
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
    """(status, text, headers) of a path sent unchanged, including `..`, which most clients would resolve."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("POST" if asked else "GET", path, **asked)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(errors="replace"), answer.headers
    connection.close()
    return found


@pytest.mark.slow
def test_script_gets_the_answer_as_json(address: str, tmp_path: Path) -> None:
    data = save_png(tmp_path / "one.png", drawn(7)).read_bytes()
    status, text, headers = fetch(address, "/api/answer", body=data)
    assert (status, headers["content-type"]) == (200, "application/json")
    answer = json.loads(text)
    assert len(answer["labels"]) == 5
    assert [len(search["near"]) for search in answer["searches"]] == [6, 6]
    status, text, _ = fetch(address, "/api/answer", body=b"no image")
    assert (status, json.loads(text)) == (422, {"error": UNKNOWN_FORMAT})


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
def test_browser_shows_bars_and_neighbors_for_a_dropped_image(
    browser: Any, address: str, tmp_path: Path, width: int, scheme: str
) -> None:
    view = browser.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)
    asked: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.goto(address)
    view.wait_for_selector("text=Drop an image")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    for name, selector in (("broken.jpg", ".wrong"), ("one.png", ".near img")):
        save_png(tmp_path / "one.png", drawn(7))
        view.locator("input[type=file]").first.set_input_files(tmp_path / name)
        view.wait_for_selector(selector, timeout=60_000)
        if name == "broken.jpg":
            assert view.locator(".wrong").inner_text() == f"broken.jpg\n{UNKNOWN_FORMAT}"
            assert view.locator(".near").count() == 0
    caption = view.get_by_text("Grad-CAM of the center view for")
    assert not view.locator("#heat").is_visible()
    assert not caption.is_visible()
    view.get_by_text("Show Grad-CAM").click()
    assert view.locator("#heat").is_visible()
    assert caption.is_visible()
    assert boxes(view, "#heat") == boxes(view, "#picture")
    assert view.locator("#picture").evaluate("image => image.naturalWidth") == 67
    shares = [float(text.split()[0]) for text in view.locator(".bars .share").all_inner_texts()]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    full = boxes(view, ".bars .bar")[0]["width"]
    drawn_widths = [box["width"] / full * 100 for box in boxes(view, ".bars .bar rect")]
    assert drawn_widths == pytest.approx(shares, abs=1)
    images = view.locator(".near img")
    assert images.count() == 12
    assert all(image.get_attribute("src").startswith("data:image/png;base64,") for image in images.all())
    assert all(image.evaluate("image => image.complete && image.naturalWidth == 72") for image in images.all())
    things = boxes(view, ".near figure") + boxes(view, ".bars > *") + boxes(view, "h2")
    assert all(apart(one, other) for number, one in enumerate(things) for other in things[:number])
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in things)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    view.close()


@pytest.mark.slow
def test_browser_shows_and_removes_an_example(browser: Any, address: str, tmp_path: Path) -> None:
    view = browser.new_page()
    view.goto(address)
    view.get_by_text("Random validation image").click()
    view.get_by_text("Correct label: ").wait_for(timeout=60_000)
    assert view.locator(".bars .true").count() <= 1
    view.get_by_role("button", name="Clear").click()
    view.get_by_text("Drop an image").wait_for(timeout=60_000)
    assert view.locator(".near").count() == 0
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    view.locator("input[type=file]").first.set_input_files(tmp_path / "broken.jpg")
    view.wait_for_selector(".wrong", timeout=60_000)
    view.close()


@pytest.mark.slow
def test_browser_shows_a_message_for_a_file_above_the_limit(browser: Any, address: str, tmp_path: Path) -> None:
    view = browser.new_page()
    view.goto(address)
    view.wait_for_selector("text=Drop an image")
    (tmp_path / "large.png").write_bytes(b"x" * (app.MAX_UPLOAD * 1024 * 1024 + 1))
    view.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
    view.get_by_text(f"The file is too large: at most {app.MAX_UPLOAD} MB.").wait_for(timeout=30_000)
    view.close()


def open_page(browser: Any, title: str = "run", width: int = 1280) -> Any:
    """Open the page with a program that does not answer for images."""
    view = browser.new_page(viewport={"width": width, "height": 850})
    about = {"title": title, "description": "", "has_examples": True, "max_megabytes": 20}
    view.route("**/*", lambda route: route.fulfill(path=app.STATIC / app.FILES[urlsplit(route.request.url).path]))
    view.route("**/api/about", lambda route: route.fulfill(json=about))
    view.route("**/api/answer", lambda route: None)
    view.goto("http://page.invalid/")
    view.get_by_text("Random validation image").wait_for()
    return view


def open_page_with(browser: Any, answer: dict[str, Any], title: str = "run", width: int = 1280) -> Any:
    """Open the page with a program that gives `answer` for an example."""
    view = open_page(browser, title, width)
    answer = {"image": "data:,", "width": 67, "height": 67, "searches": [], "note": "", **answer}
    view.route("**/api/*e*", lambda route: route.fulfill(json=answer))
    view.get_by_text("Random validation image").click()
    return view


def drop(view: Any, names: list[str], kind: str = "", text: str = "") -> None:
    """Drop files on the page, beside the field, or data of another kind."""
    view.evaluate(
        """([names, kind, text]) => {
          const dataTransfer = new DataTransfer();
          for (const name of names) dataTransfer.items.add(new File(["x"], name));
          if (kind) dataTransfer.setData(kind, text);
          document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
        }""",
        [names, kind, text],
    )


def choose(view: Any, *names: str) -> None:
    files = [{"name": name, "mimeType": "image/png", "buffer": b"x"} for name in names]
    view.locator("input[type=file]").evaluate("input => { input.multiple = true }")
    view.locator("input[type=file]").set_input_files(files)


@pytest.mark.parametrize("heat", ["data:,", None])
def test_caption_of_the_map_is_shown_with_it_and_advice_without(browser: Any, heat: str | None) -> None:
    view = open_page_with(browser, {"labels": [], "explanation": {"heat": heat, "note": "The note."}})
    view.get_by_role("heading", name="Most probable labels").wait_for()
    assert view.get_by_text("The note.").is_visible() == (heat is None)
    if heat:
        for shown in (True, False):
            view.get_by_text("Show Grad-CAM").click()
            assert view.get_by_text("The note.").is_visible() == shown
    view.close()


@pytest.mark.parametrize("title", ["demo, 2026-11-29 17:01", "tinyimagenet_without_overlapping_pooling/seed5"])
def test_heading_fits_a_narrow_screen(browser: Any, title: str) -> None:
    view = open_page_with(browser, {"labels": []}, title, width=390)
    view.get_by_role("heading", name=title).wait_for()
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    view.close()


def test_one_of_two_classes_of_one_name_is_correct(browser: Any) -> None:
    """ImageNet has "crane" and "maillot" twice."""
    labels = [{"name": "crane", "probability": share, "number": number} for share, number in ((0.6, 134), (0.4, 517))]
    view = open_page_with(browser, {"labels": labels, "correct": {"name": "crane", "number": 517}})
    view.get_by_text("Correct label: crane.").wait_for()
    names = view.locator(".bars > span:not(.share)")
    assert names.all_inner_texts() == ["crane", "✓ crane"]
    view.close()


def test_boxes_have_the_numbers_of_their_rows(browser: Any) -> None:
    places = [{"left": 10, "top": 10, "right": 50, "bottom": 50}, {"left": 60, "top": 60, "right": 90, "bottom": 90}]
    boxes = [{"name": "dog", "confidence": 0.9, **place} for place in places]
    view = open_page_with(browser, {"boxes": boxes, "width": 100, "height": 100})
    view.get_by_text("1. dog").wait_for()
    assert view.locator(".found > span:not(.share)").all_inner_texts() == ["1. dog", "2. dog"]
    assert view.locator("#boxes text").all_text_contents() == ["1", "2"]
    view.close()


def test_program_that_does_not_answer_is_reported(browser: Any) -> None:
    view = browser.new_page()
    view.route("**/*", lambda route: route.fulfill(path=app.STATIC / app.FILES[urlsplit(route.request.url).path]))
    view.route("**/api/about", lambda route: route.abort())
    view.goto("http://page.invalid/")
    view.get_by_role("alert").get_by_text("The program does not answer.").wait_for()
    view.close()


@pytest.mark.parametrize(
    ("response", "says"),
    [({"status": 500, "body": "Internal Server Error"}, "The program failed (500 Internal Server Error). Its terminal"),
     ({"status": 409, "json": {"error": "The store was moved."}}, "The store was moved.")],
)  # fmt: skip
def test_failure_is_told_from_a_program_that_does_not_answer(browser: Any, response: Any, says: str) -> None:
    view = open_page(browser)
    view.route("**/api/example", lambda route: route.fulfill(**response))
    view.get_by_text("Random validation image").click()
    view.get_by_role("alert").get_by_text(says).wait_for()
    view.close()


def test_page_shows_that_it_computes_and_for_which_file(browser: Any) -> None:
    view = open_page(browser)
    choose(view, "holiday.jpg")
    view.get_by_text("Computing: holiday.jpg …").wait_for()
    assert view.get_by_role("progressbar").is_visible()
    example = view.get_by_role("button", name="Random validation image")
    assert example.get_attribute("aria-disabled") == "true"
    view.get_by_role("button", name="Clear").click()
    assert view.get_by_role("progressbar").count() == 0
    assert example.get_attribute("aria-disabled") is None
    assert view.evaluate("document.activeElement.id") == "file"
    view.close()


def test_file_that_was_chosen_before_can_be_chosen_again(browser: Any, tmp_path: Path) -> None:
    view = open_page(browser)
    asked: list[str] = []
    view.on("request", lambda request: asked.append(urlsplit(request.url).path))
    path = save_png(tmp_path / "one.png", drawn(7))
    for count in (1, 2):
        with view.expect_request("**/api/answer"):
            view.locator("input[type=file]").set_input_files(path)
        assert asked.count("/api/answer") == count
    view.close()


def test_first_of_several_files_is_classified_and_the_page_says_so(browser: Any) -> None:
    view = open_page_with(browser, {"labels": []})
    view.get_by_text("Random validation image: its center, 67 × 67 pixels").wait_for()
    drop(view, ["a.jpg", "b.jpg"])
    view.get_by_text("a.jpg, the first of 2 files: its center, 67 × 67 pixels, as the network sees it").wait_for()
    choose(view, "c.jpg", "d.jpg", "e.jpg")
    view.get_by_text("c.jpg, the first of 3 files: ").wait_for()
    view.close()


def test_dropped_link_is_explained_and_dropped_text_changes_nothing(browser: Any) -> None:
    view = open_page_with(browser, {"labels": []})
    heading = view.get_by_role("heading", name="Most probable labels")
    heading.wait_for()
    drop(view, [], "text/plain", "a word of the page")
    assert heading.is_visible()
    drop(view, [], "text/uri-list", "http://elsewhere.example/one.jpg")
    view.get_by_role("alert").get_by_text("This is a link.").wait_for()
    view.close()


def test_newer_request_cancels_the_one_before(browser: Any) -> None:
    view = open_page(browser)
    choose(view, "slow.jpg")
    view.get_by_text("Computing: slow.jpg").wait_for()
    with view.expect_event("requestfailed", lambda request: request.url.endswith("/api/answer")):
        choose(view, "next.jpg")
    view.get_by_text("Computing: next.jpg").wait_for()
    view.close()


def test_everything_is_inside_a_landmark(browser: Any) -> None:
    """Screen readers list a page's landmarks to jump to."""
    view = open_page_with(browser, {"labels": [], "searches": [{"title": "Nearest", "near": [], "note": ""}]})
    view.get_by_role("main").get_by_role("heading", name="Nearest").wait_for()
    assert view.locator("body > :not(header, main)").count() == 0
    view.close()
