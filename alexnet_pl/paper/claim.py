"""Claim: one published number with its section, data set and recipe. Criteria for data sets."""

from dataclasses import dataclass

from alexnet_pl.data.sources.official_sets import ILSVRC2010_CLASSES, ILSVRC2012_CLASSES, KNOWN_COUNTS

ALEXNET, OVERFEAT = "AlexNet", "OverFeat"  # papers
ERRORS = ("top1_error", "top5_error")
FIGURE1_ERROR = 25.0  # training error that Figure 1 counts the epochs to, in percent


@dataclass(frozen=True)
class DatasetCriteria:
    """Criteria by which a store counts as the paper's data set, whatever the name of its folder.

    `class_list`: SHA-256 of the sorted WordNet ids, one per line; None if the list is not fixed. `images`, `train`:
    numbers of test and training images; minimum numbers unless `exact`. `labeled`: whether its labels are public.
    """

    name: str
    split: str
    classes: int
    images: int
    train: int
    class_list: str | None = None
    exact: bool = True
    labeled: bool = True


def official(name: str, split: str, class_list: str, labeled: bool = True) -> DatasetCriteria:
    """Criteria of a split of ILSVRC's classification task."""
    images = KNOWN_COUNTS[name]
    return DatasetCriteria(name, split, 1000, images[split], images["train"], class_list, labeled=labeled)


DATASETS = {
    "ILSVRC-2010 test": official("ilsvrc2010", "test", ILSVRC2010_CLASSES),
    "ILSVRC-2012 val": official("ilsvrc2012", "val", ILSVRC2012_CLASSES),
    "ILSVRC-2012 test": official("ilsvrc2012", "test", ILSVRC2012_CLASSES, labeled=False),
    "Fall 2009": DatasetCriteria("fall2009", "val", 10_184, 4_000_000, 4_000_000, exact=False),
    "CIFAR-10 test": DatasetCriteria("cifar10", "test", 10, 10_000, 40_000),
}
MIN_PRETRAINING_SIZES = {  # (classes, training images) that a data set for pre-training needs (§7, §2)
    "fall2011": (21_000, 13_000_000),
    "fall2009": (10_184, 8_500_000),  # all 8.9 million; the training half of recipe fall2009 has the same name
    "ilsvrc2012": (1000, 1_200_000),
}
IMAGES_PER_EPOCH = {  # for estimates of a row's duration
    "ilsvrc2010": KNOWN_COUNTS["ilsvrc2010"]["train"],
    "ilsvrc2012": KNOWN_COUNTS["ilsvrc2012"]["train"],
    "fall2009": 4_450_000,
    "fall2011": 14_100_000,
    "cifar10": 50_000,
}


@dataclass(frozen=True)
class Claim:
    """One row of a table. `values`: metric → number, errors in percent; nan if the text gives no number.

    The row is reproduced by `recipe` with `overrides`, or by any (recipe, overrides) in `alternatives`; a row without a
    recipe is prior work. `other_views`: views that fill the row if no test has `views`. `baseline`: key of the claim it
    is compared with; `other_baselines`: further ones, in comparisons on other images. `relative`: `values` are
    differences to the baseline in percentage points, or factors if `ratio`. `bound`: "over", "about" or "at most" the
    value. `verified`: whether the number was read in the paper or a copy; else it was entered from memory, and every
    table says so.
    """

    key: str
    group: str
    section: str
    label: str
    quote: str
    values: dict[str, float]
    data: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    alternatives: tuple[tuple[str, tuple[str, ...]], ...] = ()
    views: str = "ten"
    other_views: tuple[str, ...] = ()
    baseline: str | None = None
    other_baselines: tuple[str, ...] = ()
    relative: bool = False
    ratio: bool = False
    bound: str = ""
    paper: str = ALEXNET
    verified: bool = True

    @property
    def recipes(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each (recipe, overrides) that reproduces the row; [] for prior work."""
        return [(self.recipe, self.overrides), *self.alternatives] if self.recipe else []

    @property
    def all_views(self) -> tuple[str, ...]:
        return (self.views, *self.other_views)

    @property
    def place(self) -> str:
        """Section or table, with the name of the paper if it is not the main one: both have a Table 2."""
        return self.section if self.paper == ALEXNET else f"{self.paper}, {self.section}"

    @property
    def baselines(self) -> tuple[str, ...]:
        """Keys of all claims to compare with."""
        return (self.baseline, *self.other_baselines) if self.baseline else ()


def error_values(top1: float, top5: float) -> dict[str, float]:
    """`Claim.values` of a row with both error rates, in percent."""
    return dict(zip(ERRORS, (top1, top5), strict=True))
