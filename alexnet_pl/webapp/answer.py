"""Answer of the demo app for one image, and the JSON that the page draws."""

from base64 import b64encode
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from alexnet_pl.json_records import JsonObject


class Label(NamedTuple):
    """Class with its probability. `number`: class index."""

    name: str
    probability: float
    number: int


class Truth(NamedTuple):
    """True class of an image. `number`: class index, since some classes share a name."""

    name: str
    number: int


class NearImage(NamedTuple):
    """Training image near the query: (3, size, size) uint8, class, file, and distance as text."""

    image: np.ndarray
    name: str
    file: str
    distance: str


@dataclass(frozen=True)
class SearchAnswer:
    """Result of one search method. If it is not available, `near` is empty and `note` says how to enable it."""

    title: str
    near: list[NearImage]
    note: str


class FoundBox(NamedTuple):
    """Box with its class and confidence; edges in pixels of the answer's image."""

    name: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Explanation:
    """Heat map of the evidence for a label. `heat`: (h, w) from 0 to 1, stretched over the answer's image. If it is not
    available, `heat` is None and `note` says how to enable it."""

    heat: np.ndarray | None
    note: str


@dataclass(frozen=True)
class Answer:
    """Answer for an image: labels and searches of a classifier, or boxes of a box network. `image`: (3, H, W) uint8,
    as the network sees it."""

    image: np.ndarray
    note: str
    labels: list[Label] = field(default_factory=list)
    explanation: Explanation | None = None
    searches: list[SearchAnswer] = field(default_factory=list)
    boxes: list[FoundBox] | None = None
    sees_whole: bool = False  # whether the labels are of the whole image, of which `image` is the center


def to_json(answer: Answer, correct: Truth | None) -> JsonObject:
    """Convert an answer to JSON, with images as data URLs. `correct`: None if unknown."""
    explanation = answer.explanation
    return {
        "image": to_data_url(answer.image),
        "width": answer.image.shape[2],
        "height": answer.image.shape[1],
        "sees_whole": answer.sees_whole,
        "note": answer.note,
        "correct": correct and correct._asdict(),
        "labels": [label._asdict() for label in answer.labels],
        "explanation": explanation
        and {
            "heat": None if explanation.heat is None else to_data_url(heat_pixels(explanation.heat)),
            "note": explanation.note,
        },
        "searches": [
            {
                "title": search.title,
                "note": search.note,
                "near": [near._asdict() | {"image": to_data_url(near.image)} for near in search.near],
            }
            for search in answer.searches
        ],
        "boxes": None if answer.boxes is None else [box._asdict() for box in answer.boxes],
    }


HEAT_COLOR = (230, 85, 13)  # orange, as in the figures


def heat_pixels(heat: np.ndarray) -> np.ndarray:
    """(4, h, w) uint8: one color, more opaque where the heat is higher."""
    color = np.broadcast_to(np.array(HEAT_COLOR, np.uint8)[:, None, None], (3, *heat.shape))
    return np.concatenate([color, np.rint(255 * heat.clip(0, 1)).astype(np.uint8)[None]])


def to_data_url(image: np.ndarray) -> str:
    """Encode (3 or 4, H, W) uint8 as a data URL of a PNG, so that no file has to be served."""
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def format_duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
