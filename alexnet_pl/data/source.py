"""What any form of ImageNet comes down to: classes, and images by split."""

from typing import Any, NamedTuple


class Item(NamedTuple):
    """One image of a copy: its name there, its class index, and where its reader finds it."""

    name: str
    label: int
    place: Any


class Source(NamedTuple):
    """Classes as (id, readable name), sorted by id, and the images of each split."""

    classes: list[tuple[str, str]]
    splits: dict[str, list[Item]]
