"""Listing of a copy's images together with their bounding boxes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from alexnet_pl.console import mask_control
from alexnet_pl.data.boxes.annotation import Annotation
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord


@dataclass(frozen=True)
class BoxedListing(DatasetListing):
    """Images of `inner` with their annotations from `index`. An image without a class gets that of its largest box."""

    inner: DatasetListing = field(kw_only=True)
    index: BoxIndex = field(kw_only=True)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        named = {name: label for label, pair in enumerate(self.classes) for name in pair[::-1]}
        for split, item in self.inner.items():
            found = self.index.annotation(item.name, item.label, named)
            if found is None and self.unannotated:
                found = Annotation([], self.unannotated(split, item.name))
            label = largest_label(found) if item.label < 0 and found else item.label
            yield split, item._replace(label=label, annotation=found)
        for text in self.index.describe_unused():
            print(mask_control(f"  {text}"), flush=True)


def largest_label(annotation: Annotation) -> int:
    """Class of the largest box that is not marked difficult; −1 if there is none."""
    counted = [box for box in annotation.boxes if not box.difficult]
    return max(counted, key=lambda box: box.area).label if counted else -1


def add_boxes(listing: DatasetListing, index: BoxIndex) -> DatasetListing:
    """Listing of the same images with their annotations."""
    about = {each.name: getattr(listing, each.name) for each in fields(DatasetListing)}
    return BoxedListing(**about, inner=listing, index=index)
