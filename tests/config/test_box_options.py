"""Options of box networks are checked before anything is loaded."""

import pytest

from alexnet_pl.config.box_options import BoxOptions, DetectOptions, make_box_options, make_detect_options
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError


@pytest.mark.parametrize("zoom", [0.0, -1.0, 100.0])
def test_images_are_not_scaled_to_nothing_or_beyond_memory(zoom: float) -> None:
    cfg = compose("boxes_demo", [f"detect.zoom={zoom}", f"boxes.zoom={zoom}"])
    for make, section in ((make_box_options, "boxes"), (make_detect_options, "detect")):
        with pytest.raises(UserError, match=rf"^{section}.zoom={zoom}: from 0.25 to 8$"):
            make(cfg)
    cfg.detect.zoom = None
    assert make_detect_options(cfg).zoom is None


def test_options_out_of_range_are_named() -> None:
    for wrong in ({"task": "guess"}, {"scales": [7]}, {"zoom": 0.0}, {"units": [1]}, {"hard_negatives": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BoxOptions(**{"task": "detect", **wrong})
    for wrong in ({"score": "nms"}, {"weight": "mean"}, {"scales": [1, 1]}, {"rule": "coco"}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}="):
            DetectOptions(**wrong)
