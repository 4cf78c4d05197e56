"""Numbers of OverFeat (Sermanet et al. 2013, arXiv 1312.6229) as data: classification, Tables 2 and 4.

The tables of the copy at hand are pictures. A number that its prose or another paper quotes was `seen`; the others are
from memory until somebody compares them with the printed tables. The fine stride of the fast network, whose last
pooling is 2 × 2, has two offsets a side here, not the three that its Table 2 names.
"""

from alexnet_pl.paper.claim import OVERFEAT, Claim, errors

CLASSIFICATION, SIZES = "OverFeat, Table 2: ILSVRC-2012, val", "OverFeat, Table 4: sizes"
VAL = "ILSVRC-2012 val"


def classified(
    key: str,
    label: str,
    top1: float,
    top5: float,
    recipe: str | None,
    views: str,
    seen: bool,
    against: str | None,
) -> Claim:
    values = errors(top1, top5)
    place, views = "Table 2", views if views in ("ten", "center") else f"dense_{views}"
    return Claim(
        f"overfeat.{key}", CLASSIFICATION, place, label, "", values, VAL, recipe,
        views=views, against=against and f"overfeat.{against}", paper=OVERFEAT, seen=seen,
    )  # fmt: skip


def sized(net: str, metric: str, value: float, seen: bool) -> Claim:
    label, recipe = f"{metric}, {net}", f"overfeat_{net}"
    return Claim(
        f"overfeat.{net}.{metric}", SIZES, "Table 4", label, "", {metric: value}, None, recipe,
        bound="about", paper=OVERFEAT, seen=seen,
    )  # fmt: skip


FAST, ACCURATE = "overfeat_fast", "overfeat_accurate"
FOUR, SIX = "fine_1_2_4_6", "fine_1_2_3_4_5_6"
OVERFEAT_CLAIMS = [
    classified("krizhevsky", "Krizhevsky et al., 1 CNN", 40.7, 18.2, None, "ten", True, None),
    classified("fast.coarse", "1 fast, scale 1, coarse stride", 39.28, 17.12, FAST, "coarse_1", False, None),
    classified("fast.fine", "1 fast, scale 1, fine stride", 39.01, 16.97, FAST, "fine_1", False, "fast.coarse"),
    classified("fast.4scales", "1 fast, scales 1, 2, 4, 6", 38.57, 16.39, FAST, FOUR, True, "fast.fine"),
    classified("fast.6scales", "1 fast, scales 1 to 6", 38.12, 16.27, FAST, SIX, False, "fast.4scales"),
    classified("accurate.ten", "1 accurate, ten crops", 35.60, 14.71, ACCURATE, "ten", False, None),
    classified("accurate.4scales", "1 accurate, scales 1, 2, 4, 6", 35.74, 14.18, ACCURATE, FOUR, True, "accurate.ten"),
    classified("7fast", "7 fast, scales 1, 2, 4, 6", 35.10, 13.86, f"ensemble_{FAST}", FOUR, False, "fast.4scales"),
    classified(
        "7accurate", "7 accurate, scales 1, 2, 4, 6", 33.96, 13.24, f"ensemble_{ACCURATE}", FOUR, True,
        "accurate.4scales",
    ),
    sized("fast", "parameters", 145e6, seen=False),
    sized("accurate", "parameters", 144e6, seen=False),
    sized("fast", "connections", 2810e6, seen=True),
    sized("accurate", "connections", 5369e6, seen=True),
]  # fmt: skip
