"""Options of box networks are checked before anything is loaded."""

import pytest

from alexnet_pl.config.box_options import make_box_options, make_detect_options
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
