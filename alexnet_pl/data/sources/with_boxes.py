"""A copy's images together with their boxes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord


@dataclass(frozen=True)
class BoxedListing(DatasetListing):
    """The images of `inner`, each with its annotation of `index`."""

    inner: DatasetListing = field(kw_only=True)
    index: BoxIndex = field(kw_only=True)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        named = {name: label for label, pair in enumerate(self.classes) for name in pair[::-1]}
        for split, item in self.inner.items():
            yield split, item._replace(annotation=self.index.annotation(item.name, item.label, named))


def add_boxes(listing: DatasetListing, index: BoxIndex) -> DatasetListing:
    """The same images with their annotations."""
    about = {key: getattr(listing, key) for key in ("classes", "splits", "numbers", "expected", "missing")}
    return BoxedListing(**about, inner=listing, index=index)
