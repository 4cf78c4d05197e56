"""Section `test`: the views or windows of an image whose predictions are averaged (§5.1; OverFeat §3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCALES = (1, 2, 3, 4, 5, 6)
STRIDES, ASPECTS, SCORES = ("fine", "coarse"), ("crop", "squash", "keep"), ("softmax", "logit")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value}: one of {', '.join(known)}")


def check_scales(scales: Sequence[int]) -> None:
    if not scales or len(set(scales)) != len(scales) or not set(scales) <= set(SCALES):
        raise ValueError(f"scales={list(scales)}: one or more of {', '.join(map(str, SCALES))}, each once")


@dataclass(frozen=True)
class DenseViews:
    """Every window of an image at several scales, with reflections (OverFeat §3.3).

    scales  row numbers of OverFeat's Table 5, which lists the image sizes
    stride  fine: windows at each offset of the last pooling. coarse: at the first offset only
    aspect  how an image is fitted to a scale's height and width. crop: scale to cover them, take the center. squash:
            change the aspect ratio. keep: scale the shorter side to the height, keep the aspect ratio
    score   softmax: maximum of the softmax outputs over all windows. logit: maximum of the logits
    """

    scales: tuple[int, ...] = (1, 2, 4, 6)
    stride: str = "fine"
    aspect: str = "crop"
    score: str = "softmax"

    def __post_init__(self) -> None:
        check_scales(self.scales)
        check_choice("stride", self.stride, STRIDES)
        check_choice("aspect", self.aspect, ASPECTS)
        check_choice("score", self.score, SCORES)

    @property
    def name(self) -> str:
        """Name in results, such as dense_fine_1_2_4_6; equal for tests with the same windows."""
        other = [value for value in (self.aspect, self.score) if value not in ("crop", "softmax")]
        return "_".join(["dense", self.stride, *map(str, sorted(self.scales)), *other])


def describe_views(name: str) -> str:
    """Views of a test in words: "ten views", "fine windows at scales 1, 2, 4, 6 (keep)"."""
    if not name.startswith("dense_"):
        return f"{name} view{'s' * (name != 'center')}"
    _, stride, *rest = name.split("_")
    scales = [word for word in rest if word.isdigit()]
    options = ", ".join(word for word in rest if not word.isdigit())
    return f"{stride} windows at {describe_scales(scales)}{options and f' ({options})'}"


def describe_scales(scales: Sequence[int | str]) -> str:
    """Scale numbers in words: "scale 1", "scales 1, 2"."""
    return f"scale{'s' * (len(scales) > 1)} {', '.join(map(str, scales))}"


@dataclass(frozen=True)
class TestSection:
    """Section `test`."""

    __test__ = False  # not a test, though pytest would collect the name

    views: Any = "ten"
    save_predictions: Any = "auto"
    split: str | None = None
    scales: Any = DenseViews.scales
    stride: str = DenseViews.stride
    aspect: str = DenseViews.aspect
    score: str = DenseViews.score
    data: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        if self.data and self.labels:
            raise ValueError("labels: only for ILSVRC-2012's validation images; leave out test.data")
        if self.save_predictions not in (True, False, "auto"):
            raise ValueError(f"save_predictions={self.save_predictions}: true, false or auto")
        self.make_dense()

    def make_dense(self) -> DenseViews:
        given = self.scales if isinstance(self.scales, list | tuple) else [self.scales]
        if not all(isinstance(scale, int) for scale in given):
            raise ValueError(f"scales={self.scales}: scale numbers such as 1,2,4,6")
        return DenseViews(tuple(given), self.stride, self.aspect, self.score)

    @property
    def dense(self) -> DenseViews | None:
        """Options of dense evaluation; None for single views."""
        return self.make_dense() if self.views == "dense" else None

    @property
    def view_set(self) -> str:
        """Name of the averaged views: ten, center, nine, or that of `dense`."""
        return self.dense.name if self.dense else str(self.views)


def view_overrides(view_set: str) -> list[str]:
    """Overrides that result in this `TestSection.view_set`."""
    kind, *rest = view_set.split("_")
    if kind != "dense":
        return [f"test.views={view_set}"]
    scales = [word for word in rest if word.isdigit()]
    others = {"stride": STRIDES, "aspect": ASPECTS, "score": SCORES}
    set_apart = [f"test.{key}={word}" for word in rest for key, known in others.items() if word in known]
    return ["test.views=dense", f"test.scales={','.join(scales)}", *set_apart]
