"""A row of a paper as data, and the images that a number was measured on."""

from dataclasses import dataclass, field

ALEXNET, OVERFEAT = "AlexNet", "OverFeat"  # papers
ERRORS = ("top1_error", "top5_error")


@dataclass(frozen=True)
class Images:
    """Criteria for a set of images to count as the paper's, whatever the store is called.

    `class_list`: SHA-256 of the sorted WordNet ids, a line each, where they are fixed; `images`, `train`: numbers of
    tested and training images, least ones where not `exact`.
    """

    name: str
    split: str
    classes: int
    images: int
    train: int
    class_list: str | None = None
    exact: bool = True
    labelled: bool = True


ILSVRC2010 = "5365280f1c0b13c7f97e278f62f1d9b82b91ea06c4aeb6a68b6ac8caa374059e"
ILSVRC2012 = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
DATA = {
    "ILSVRC-2010 test": Images("ilsvrc2010", "test", 1000, 150_000, 1_261_406, ILSVRC2010),
    "ILSVRC-2012 val": Images("ilsvrc2012", "val", 1000, 50_000, 1_281_167, ILSVRC2012),
    "ILSVRC-2012 test": Images("ilsvrc2012", "test", 1000, 100_000, 1_281_167, ILSVRC2012, labelled=False),
    "Fall 2009": Images("fall2009", "val", 10_184, 4_000_000, 4_000_000, exact=False),
    "CIFAR-10 test": Images("cifar10", "test", 10, 10_000, 40_000),
}
PRETRAINING = {  # least numbers of classes and training images of the sets that layers may come from (§7, §2)
    "fall2011": (21_000, 13_000_000),
    "fall2009": (10_184, 4_000_000),
    "ilsvrc2012": (1000, 1_200_000),
}
EPOCH = {  # images of an epoch, to estimate how long a row takes
    "ilsvrc2010": 1_261_406,
    "ilsvrc2012": 1_281_167,
    "fall2009": 4_450_000,
    "fall2011": 14_100_000,
    "cifar10": 50_000,
}


@dataclass(frozen=True)
class Claim:
    """One row. `values`: metric → number, errors in percent; nan where the text has words and no number.

    `recipe` with `overrides` makes it, and `also` lists other ways that count; none: somebody else's result.
    `against`: with `relative`, values say by how much this is worse than that claim (or how many times as much, where
    `ratio`); without, the claim that it is compared with. `bound`: "over", "about", "at most" a value. `seen`: whether
    the number was read in the paper or a copy of it; where not, it is from memory, and every table says so.
    """

    key: str
    part: str
    place: str
    label: str
    quote: str
    values: dict[str, float]
    data: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    also: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())
    views: str = "ten"
    against: str | None = None
    relative: bool = False
    ratio: bool = False
    bound: str = ""
    paper: str = ALEXNET
    seen: bool = True


def errors(top1: float, top5: float) -> dict[str, float]:
    return dict(zip(ERRORS, (top1, top5), strict=True))
