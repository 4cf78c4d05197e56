"""Sections `boxes` and `detect`: values out of range are named."""

import pytest

from alexnet_pl.config.box_options import BoxOptions, DetectOptions


def test_options_out_of_range_are_named() -> None:
    for wrong in ({"task": "guess"}, {"scales": [7]}, {"zoom": 0.0}, {"units": [1]}, {"hard_negatives": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BoxOptions(**{"task": "detect", **wrong})
    for wrong in ({"score": "nms"}, {"weight": "mean"}, {"scales": [1, 1]}, {"rule": "coco"}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}="):
            DetectOptions(**wrong)
