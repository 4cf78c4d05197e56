"""Numbers of OverFeat (Sermanet et al. 2013) on localisation and detection as data: §4.4, §5, Figures 9 to 11.

A number was `seen` where a copy of the text or another publication has it; the others are from memory until somebody
compares them with the printed figures, which are pictures in the copy at hand.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alexnet_pl.config.recipes import compose

ILSVRC2012 = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"  # SHA-256 of its sorted WordNet ids
VAL = 50_000  # images; the kits from 2013 on leave 1,762 of them out
FOUR = [1, 2, 4, 6]
SERVER, OTHERS = "the test server's", "reported by others"
UNCLEAR = "not reproducible from the text"
LOCALISATION, DETECTION = "OverFeat: localisation, top-5 error", "OverFeat: detection, ILSVRC-2013 DET"


@dataclass(frozen=True)
class BoxClaim:
    """A row. `value` in percent, nan where none is printed. `boxes`, `detect`: keys of configs/overfeat_localise.yaml
    with which a test answers it; `instead`: what the table says where no run of ours can."""

    part: str
    place: str
    label: str
    value: float
    boxes: dict[str, Any] = field(default_factory=dict)
    detect: dict[str, Any] = field(default_factory=dict)
    instead: str = ""
    seen: bool = True
    bound: str = ""

    @property
    def metric(self) -> str:
        return "loc_error" if self.part == LOCALISATION else "map"

    @property
    def command(self) -> str:
        """What makes the row, from the stored images and a trained network of configs/overfeat_accurate.yaml."""
        words = [f"{section}.{key}={shown(value)}" for section, keys in self.sections for key, value in keys.items()]
        where = "data.root=FOLDER transfer.weights=RUN"
        return " ".join(["python -m alexnet_pl reproduce -c overfeat_localise", *words, where])

    @property
    def sections(self) -> list[tuple[str, dict[str, Any]]]:
        return [("boxes", self.boxes), ("detect", self.detect)]


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")


def localised(place: str, label: str, value: float, **more: Any) -> BoxClaim:
    return BoxClaim(LOCALISATION, place, label, value, **more)


def detected(label: str, value: float, instead: str, seen: bool = True) -> BoxClaim:
    return BoxClaim(DETECTION, "§5, Fig. 11", label, value, instead=instead, seen=seen)


BOX_CLAIMS = [
    localised("§4.4, Fig. 9", "shared regressor, one centred window", 40.0, bound="about",
              detect={"positions": "center", "scales": [1]}),
    localised("§4.4", "all windows, two scales", 31.5, detect={"scales": [1, 4]}),
    localised("§4.4", "all windows, four scales", 30.0, detect={"scales": FOUR}),
    localised("—", "all windows, six scales", math.nan, detect={"scales": [1, 2, 3, 4, 5, 6]}),
    localised("§4.4", "shared by all classes, scales not said", 31.3, detect={"scales": FOUR}),
    localised("§4.4", "per class, scales not said", 44.1, boxes={"per_class": True}, detect={"scales": FOUR}),
    localised("§4.4, Fig. 10", "ILSVRC-2013 test, four scales, shared", 29.9, instead=SERVER),
    localised("Fig. 10", "SuperVision (2012)", 34.2, instead=OTHERS),
    localised("Fig. 10", "VGG (2013)", 46.4, instead=OTHERS, seen=False),
    localised("Fig. 10", "Oxford VGG (2012)", 50.0, instead=OTHERS, seen=False),
    localised("Fig. 10", "ISI (2012)", 53.6, instead=OTHERS, seen=False),
    detected("competition entry, test", 19.4, f"{UNCLEAR}; {SERVER}"),
    detected("after the competition, with context, test", 24.3, UNCLEAR),
    detected("UvA-Euvision", 22.6, OTHERS),
    detected("NEC-MU", 20.9, OTHERS),
    detected("Toronto A", 11.5, OTHERS),
    detected("SYSU_Vision", 10.5, OTHERS),
    detected("GPU_UCLA", 9.8, OTHERS),
    detected("Delta", 6.1, OTHERS, seen=False),
    detected("UIUC-IFP", 1.0, OTHERS, seen=False),
]  # fmt: skip


def answers(claim: BoxClaim, result: Mapping[str, Any]) -> bool:
    """Whether a test (boxes.json) is of the claim's settings, images and network, trained to its end."""
    about, model = result["dataset"], result["model"]
    if claim.instead or result["task"] != "localise" or not result["finished"]:
        return False
    if about.get("class_list") != ILSVRC2012 or about["split"] != "val" or about["images"] != VAL:
        return False
    if (model.get("net", "accurate"), model.get("width", 1.0), result["window"]) != ("accurate", 1.0, 221):
        return False
    recipe = compose("overfeat_localise", ["transfer.weights=x", "data.root=x"])
    trained, asked = {**recipe.boxes, **claim.boxes}, {**recipe.detect, **claim.detect}
    asked["zoom"] = trained["zoom"] if asked["zoom"] is None else asked["zoom"]
    ignored = ("show", "confidence", "blacklist", "rule")
    same_training = all(result["boxes"].get(key) == value for key, value in trained.items())
    return same_training and all(
        result["detect"].get(key) == value for key, value in asked.items() if key not in ignored
    )
