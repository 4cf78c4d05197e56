"""The data sets that the package draws: the demo's images (`data.name=demo`) and scenes (`prepare.source=scenes`)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from alexnet_pl.config.sections import DEMO, SCENES
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.shard import ImageReader
from alexnet_pl.data.sources import scenes, synthetic
from alexnet_pl.data.sources.base import DatasetListing


class DrawnSet(NamedTuple):
    """`settings`: part of the store's fingerprint, so they never change."""

    form: str
    list_records: Callable[[], DatasetListing]
    read: ImageReader
    settings: dict[str, object]


def find_drawn_set(options: PrepareOptions) -> DrawnSet | None:
    """The drawn data set that the options name; None if they name a copy."""
    if options.name == DEMO:
        read = partial(synthetic.read_drawn, size=options.size)
        return DrawnSet("synthetic images", synthetic.list_synthetic, read, {"drawn": "alexnet_pl.data.demo"})
    if options.source == SCENES:
        objects = (options.objects[0], options.objects[1])
        return DrawnSet(
            "synthetic scenes",
            partial(scenes.source, options.size, objects),
            partial(scenes.read, size=options.size, objects=objects),
            {"drawn": SCENES, "objects": options.objects},
        )
    return None
