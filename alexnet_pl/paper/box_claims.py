"""OverFeat (Sermanet et al. 2013), localisation and detection results: §4.4, §5, Figures 9 to 11.

`verified=True`: the number was read in the paper's text or in another publication. The others were entered from memory
and have not been compared with the paper: the figures of our copy are pictures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alexnet_pl.config.recipes import compose, format_override
from alexnet_pl.paper.claim import DATASETS

VAL = DATASETS["ILSVRC-2012 val"]  # development kits since 2013 exclude 1,762 of its images
FOUR_SCALES = [1, 2, 4, 6]
TEST_SERVER, REPORTED_BY_OTHERS = "test server only", "reported by others"
UNDERSPECIFIED = "not reproducible from the text"
LOCALISATION, DETECTION = "OverFeat: localisation, top-5 error", "OverFeat: detection, ILSVRC-2013 DET"


@dataclass(frozen=True)
class BoxClaim:
    """One published number. `value`: percent, nan if the paper prints none. `boxes`, `detect`: overrides of
    configs/overfeat_localise.yaml that measure it; `reason_unmeasured`: why our runs cannot measure it, else ""."""

    group: str
    section: str
    label: str
    value: float
    boxes: dict[str, object] = field(default_factory=dict)
    detect: dict[str, object] = field(default_factory=dict)
    reason_unmeasured: str = ""
    verified: bool = True
    bound: str = ""

    @property
    def metric(self) -> str:
        return "loc_error" if self.group == LOCALISATION else "map"

    @property
    def command(self) -> str:
        """Command that measures the number, given a store and a run of configs/overfeat_accurate.yaml."""
        words = [
            format_override(f"{section}.{key}", value)
            for section, keys in self.config_sections
            for key, value in keys.items()
        ]
        stores = "data.root=FOLDER transfer.weights=RUN"
        return " ".join(["python -m alexnet_pl reproduce -c overfeat_localise", *words, stores])

    @property
    def config_sections(self) -> list[tuple[str, dict[str, object]]]:
        return [("boxes", self.boxes), ("detect", self.detect)]


def localisation_claim(section: str, label: str, value: float, **options: Any) -> BoxClaim:
    return BoxClaim(LOCALISATION, section, label, value, **options)


def others_localisation(label: str, value: float, verified: bool = True) -> BoxClaim:
    return localisation_claim("Fig. 10", label, value, reason_unmeasured=REPORTED_BY_OTHERS, verified=verified)


def detection_claim(label: str, value: float, reason_unmeasured: str, verified: bool = True) -> BoxClaim:
    return BoxClaim(DETECTION, "§5, Fig. 11", label, value, reason_unmeasured=reason_unmeasured, verified=verified)


BOX_CLAIMS = [
    localisation_claim("§4.4, Fig. 9", "shared regressor, one centered window", 40.0, bound="about",
              detect={"positions": "center", "scales": [1]}),
    localisation_claim("§4.4", "all windows, two scales", 31.5, detect={"scales": [1, 4]}),
    localisation_claim("§4.4", "all windows, four scales", 30.0, detect={"scales": FOUR_SCALES}),
    localisation_claim("—", "all windows, six scales", math.nan, detect={"scales": [1, 2, 3, 4, 5, 6]}),
    localisation_claim("§4.4", "shared by all classes, scales not said", 31.3, detect={"scales": FOUR_SCALES}),
    localisation_claim("§4.4", "per class, scales not said", 44.1,
              boxes={"per_class": True}, detect={"scales": FOUR_SCALES}),
    localisation_claim("§4.4, Fig. 10", "ILSVRC-2013 test, four scales, shared", 29.9, reason_unmeasured=TEST_SERVER),
    others_localisation("SuperVision (2012), test", 34.2),
    others_localisation("VGG (2013), test", 46.4, verified=False),
    others_localisation("Oxford VGG (2012), test", 50.0, verified=False),
    others_localisation("ISI (2012), test", 53.6, verified=False),
    detection_claim("competition entry, test", 19.4, f"{UNDERSPECIFIED}; {TEST_SERVER}"),
    detection_claim("after the competition, with context, test", 24.3, UNDERSPECIFIED),
    detection_claim("UvA-Euvision", 22.6, REPORTED_BY_OTHERS),
    detection_claim("NEC-MU", 20.9, REPORTED_BY_OTHERS),
    detection_claim("Toronto A", 11.5, REPORTED_BY_OTHERS),
    detection_claim("SYSU_Vision", 10.5, REPORTED_BY_OTHERS),
    detection_claim("GPU_UCLA", 9.8, REPORTED_BY_OTHERS),
    detection_claim("Delta", 6.1, REPORTED_BY_OTHERS, verified=False),
    detection_claim("UIUC-IFP", 1.0, REPORTED_BY_OTHERS, verified=False),
]  # fmt: skip


def explain_box_mismatch(result: Mapping[str, Any]) -> str:
    """Reason why a test (the contents of boxes.json) matches no claim, in words; "" if it matches one."""
    dataset = result["dataset"]
    if any(matches_box_claim(claim, result) for claim in BOX_CLAIMS):
        return ""
    if result["task"] != "localise":
        return f"detection on {dataset['name']}; the paper's rows are {UNDERSPECIFIED}"
    if not has_official_images(dataset):
        return f"data set {dataset['name']}; the paper's rows are on the {VAL.images:,} ILSVRC-2012 validation images"
    if not has_accurate_network(result):
        return "the network is not the accurate one of OverFeat, at full width and with windows of 221 pixels"
    return "settings of `boxes` or `detect` that no row has"


def has_official_images(dataset: Mapping[str, Any]) -> bool:
    return (dataset.get("class_list"), dataset["split"], dataset["images"]) == (VAL.class_list, VAL.split, VAL.images)


def has_accurate_network(result: Mapping[str, Any]) -> bool:
    model = result["model"]
    return (model.get("net", "accurate"), model.get("width", 1.0), result["window"]) == ("accurate", 1.0, 221)


def matches_box_claim(claim: BoxClaim, result: Mapping[str, Any]) -> bool:
    """Whether a test (the contents of boxes.json) used the claim's settings, images and network, fully trained."""
    if claim.reason_unmeasured or result["task"] != "localise" or not result["finished"]:
        return False
    if not has_official_images(result["dataset"]) or not has_accurate_network(result):
        return False
    recipe = compose("overfeat_localise", ["transfer.weights=x", "data.root=x"])
    boxes_settings, detect_settings = {**recipe.boxes, **claim.boxes}, {**recipe.detect, **claim.detect}
    detect_settings["zoom"] = boxes_settings["zoom"] if detect_settings["zoom"] is None else detect_settings["zoom"]
    ignored = ("show", "confidence", "blacklist", "rule")
    same_training = all(result["boxes"].get(key) == value for key, value in boxes_settings.items())
    return same_training and all(
        result["detect"].get(key) == value for key, value in detect_settings.items() if key not in ignored
    )
