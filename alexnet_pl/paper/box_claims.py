"""OverFeat (Sermanet et al. 2013), localisation and detection results: §4.4, §5, Figures 9 to 11.

`verified=True`: the number was read in the paper's text or in another publication, such as the results of ILSVRC-2012
(image-net.org/challenges/LSVRC/2012/results.html). The others were entered from memory
and have not been compared with the paper: the figures of our copy are pictures.
"""

import math
import shlex
from dataclasses import dataclass, field
from typing import Any

from alexnet_pl.config.overrides import format_override

FOUR_SCALES = [1, 2, 4, 6]
TEST_SERVER, REPORTED_BY_OTHERS = "test server only", "reported by others"
UNDERSPECIFIED = "not reproducible from the text"
LOCALISATION, DETECTION = "OverFeat: localisation, top-5 error", "OverFeat: detection, ILSVRC-2013 DET"


@dataclass(frozen=True)
class BoxClaim:
    """One published number. `value`: percent, nan if the paper prints none; with a `baseline`, the difference to that
    claim in percentage points. `boxes`, `detect`: overrides of configs/overfeat_localise.yaml that measure it;
    `reason_unmeasured`: why our runs cannot measure it, else ""."""

    group: str
    section: str
    label: str
    value: float
    boxes: dict[str, object] = field(default_factory=dict)
    detect: dict[str, object] = field(default_factory=dict)
    reason_unmeasured: str = ""
    verified: bool = True
    bound: str = ""
    baseline: "BoxClaim | None" = None

    @property
    def metric(self) -> str:
        return "loc_error" if self.group == LOCALISATION else "map"

    @property
    def command(self) -> str:
        """Command that measures the number, given a store and a run of configs/overfeat_accurate.yaml."""
        command = ["python", "-m", "alexnet_pl", "reproduce", "-c", "overfeat_localise"]
        return shlex.join([*command, *self.overrides, "data.root=FOLDER", "transfer.weights=RUN"])

    @property
    def overrides(self) -> list[str]:
        """Overrides of configs/overfeat_localise.yaml."""
        sections = {"boxes": self.boxes, "detect": self.detect}
        return [
            format_override(f"{name}.{key}", value) for name, keys in sections.items() for key, value in keys.items()
        ]


def localisation_claim(section: str, label: str, value: float, **options: Any) -> BoxClaim:
    return BoxClaim(LOCALISATION, section, label, value, **options)


def others_localisation(label: str, value: float, verified: bool = True) -> BoxClaim:
    return localisation_claim("Fig. 10", label, value, reason_unmeasured=REPORTED_BY_OTHERS, verified=verified)


def detection_claim(label: str, value: float, reason_unmeasured: str, verified: bool = True) -> BoxClaim:
    return BoxClaim(DETECTION, "§5, Fig. 11", label, value, reason_unmeasured=reason_unmeasured, verified=verified)


ALL_WINDOWS = localisation_claim("§4.4", "all windows, four scales", 30.0, detect={"scales": FOUR_SCALES})
PER_CLASS, SHARED = 44.1, 31.3  # at scales that are not said, so only their difference is a row, not each beside 30.0
BOX_CLAIMS = [
    localisation_claim("§4.4, Fig. 9", "shared regressor, one centered window", 40.0, bound="about",
              detect={"positions": "center", "scales": [1]}),
    localisation_claim("§4.4", "all windows, two scales", 31.5, detect={"scales": [1, 4]}),
    ALL_WINDOWS,
    localisation_claim("—", "all windows, six scales", math.nan, detect={"scales": [1, 2, 3, 4, 5, 6]}),
    localisation_claim("§4.4", f"per class ({PER_CLASS}) instead of shared ({SHARED}), scales not said; ours: four",
              round(PER_CLASS - SHARED, 1), boxes={"per_class": True}, detect={"scales": FOUR_SCALES},
              baseline=ALL_WINDOWS),
    localisation_claim("§4.4, Fig. 10", "ILSVRC-2013 test, four scales, shared", 29.9, reason_unmeasured=TEST_SERVER),
    others_localisation("SuperVision (2012), test", 34.2),
    localisation_claim("ILSVRC-2012's results", "SuperVision (2012) with images of Fall 2011, test", 33.5,
              reason_unmeasured=REPORTED_BY_OTHERS),
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
