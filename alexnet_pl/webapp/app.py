"""Demo app: classify your own images in a browser and find similar ones (Figure 4)."""

import os
from base64 import b64encode
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet_pl.errors import UserError, reason
from alexnet_pl.webapp.access import MAX_UPLOAD, AccessControl
from alexnet_pl.webapp.service import Answer, DemoService, Label, SearchAnswer

STYLE = """
.ours { --bar: #2f6db5; --track: #e4e8ee; line-height: 1.35 }
.dark .ours { --bar: #7ab2ee; --track: #39414d }
.ours h3 { margin: .6em 0 .5em; font-size: 1.05rem; color: var(--body-text-color) }
.ours p.note { margin: .4em 0 0; font-size: .85rem; color: var(--body-text-color); opacity: .8;
  overflow-wrap: anywhere }
.ours p.wrong { margin: 0; padding: .8em 1em; border-left: 5px solid #c2410c;
  background: var(--background-fill-secondary); color: var(--body-text-color) }
.ours .bars { display: grid; grid-template-columns: minmax(5em, 32%) minmax(4em, 1fr) 4.2em; gap: .35em .8em;
  align-items: center; color: var(--body-text-color) }
.ours .bars > span { overflow-wrap: anywhere }
.ours .bars > span.share { text-align: right; font-variant-numeric: tabular-nums }
.ours .bar { height: 1.05em; background: var(--track); border-radius: 3px; overflow: hidden }
.ours .bar > div { height: 100%; background: var(--bar) }
.ours .true { font-weight: 700 }
.ours .near { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: .8em; max-width: 62em }
@media (max-width: 640px) { .ours .near { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .6em } }
.ours figure { margin: 0; min-width: 0 }
.ours figure img { width: 100%; aspect-ratio: 1; display: block; border-radius: 4px; margin: 0 }
.ours figcaption { font-size: .8rem; color: var(--body-text-color); overflow-wrap: anywhere; margin-top: .2em }
.ours figcaption span { opacity: .75 }
"""


def import_gradio() -> Any:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as library
    except ModuleNotFoundError as error:
        raise UserError("page: gradio is not installed; pip install alexnet_pl[app]") from error
    return library


def make_application(lookup: DemoService, folder: Path, host: str = "127.0.0.1") -> AccessControl:
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    library = import_gradio()
    import fastapi

    blocks = build_blocks(library, lookup)
    blocks.has_launched = True  # set by Gradio's own server; without it any file is accepted as an upload
    theme = library.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    appearance: dict[str, Any] = {"theme": theme, "css": STYLE, "footer_links": [], "ssr_mode": False}
    limits: dict[str, Any] = {"allowed_paths": [], "max_file_size": f"{MAX_UPLOAD}mb", "show_error": True}
    return AccessControl(
        library.mount_gradio_app(fastapi.FastAPI(openapi_url=None), blocks, "/", **appearance, **limits), folder, host
    )


def build_blocks(library: Any, lookup: DemoService) -> Any:
    with library.Blocks(analytics_enabled=False, title="alexnet_pl", delete_cache=(600, 600)) as blocks:
        library.Markdown(f"# {escape(lookup.run.resolve().name)}\n{escape(lookup.description)}")
        with library.Row():
            with library.Column(scale=2, min_width=300):
                picture = library.Image(sources=["upload", "clipboard"], label="Image", height=300)
                picture.preprocess = uploaded_path
                example_button = library.Button("Random validation image", visible=lookup.example() is not None)
            with library.Column(scale=3, min_width=300):
                labels = library.HTML(hint_html(), padding=False)
        searches = library.HTML("", padding=False)
        event_options = {"api_visibility": "private", "show_progress": "minimal"}
        picture.upload(lambda path: show_answer(lookup, path), picture, [labels, searches], **event_options)
        picture.clear(lambda: (hint_html(), ""), None, [labels, searches], **event_options)
        example_button.click(lambda: show_example(lookup), None, [picture, labels, searches], **event_options)
    return blocks


def uploaded_path(payload: Any) -> str | None:
    """Return the path of the uploaded file unchanged; replaces Gradio's decoding of the image."""
    return payload.path if payload else None


def show_answer(lookup: DemoService, path: str) -> tuple[str, str]:
    """Answer an uploaded file: (labels, neighbours) as HTML, or an error message if it is not an image."""
    try:
        image = lookup.read(Path(path).read_bytes())
    except (ValueError, OSError) as error:
        return error_html(f"{Path(path).name} cannot be read: {reason(error)}."), ""
    return answer_html(lookup, image, None)


def show_example(lookup: DemoService) -> tuple[Any, str, str]:
    example = lookup.example()
    if example is None:
        return None, error_html("The store of the images no longer exists."), ""
    image, name = example
    return image[0].permute(1, 2, 0).numpy(), *answer_html(lookup, image, name)


def answer_html(lookup: DemoService, image: Any, true: str | None) -> tuple[str, str]:
    try:
        answer = lookup.answer(image)
    except UserError as error:
        return error_html(str(error)), ""
    return bars_html(answer, true), "".join(map(neighbors_html, answer.searches))


def hint_html() -> str:
    return f'<div class="ours"><p class="note">Drop an image on the left, or click; at most {MAX_UPLOAD} MB.</p></div>'


def error_html(message: str) -> str:
    return f'<div class="ours"><p class="wrong" role="alert">{escape(message)}</p></div>'


def bars_html(answer: Answer, true: str | None) -> str:
    label_note = f"Correct label: {true}. " if true else ""
    rows = "".join(bar_html(label, label.name == true) for label in answer.labels)
    note = f'<p class="note">{escape(label_note + answer.note)}</p>'
    return f'<div class="ours"><h3>Most probable labels</h3><div class="bars">{rows}</div>{note}</div>'


def bar_html(label: Label, true: bool) -> str:
    """Draw the bar of a label. `true`: whether it is the correct label, which gets a check mark."""
    share, name = 100 * label.probability, escape(label.name)
    mark = f'<span class="true">✓ {name}</span>' if true else f"<span>{name}</span>"
    inner = f'<div class="bar"><div style="width:{share:.2f}%"></div></div>'
    return f'{mark}{inner}<span class="share">{share:.1f} %</span>'


def neighbors_html(search: SearchAnswer) -> str:
    figures = "".join(
        f'<figure><img src="{to_data_url(near.image)}" alt="{escape(near.name)}" title="{escape(near.file)}">'
        f"<figcaption>{escape(near.name)}<br><span>{escape(near.distance)}</span></figcaption></figure>"
        for near in search.near
    )
    grid = f'<div class="near">{figures}</div>' if figures else ""
    return f'<div class="ours"><h3>{escape(search.title)}</h3>{grid}<p class="note">{escape(search.note)}</p></div>'


def to_data_url(image: np.ndarray) -> str:
    """Encode (3, H, W) uint8 as a data URL, so that no file has to be served."""
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
