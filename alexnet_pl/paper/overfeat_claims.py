"""OverFeat (Sermanet et al. 2013, arXiv 1312.6229), classification results: Tables 2 and 4.

`verified=True`: the number is quoted in the paper's prose or in another paper. The others were entered from memory and
have not been compared with the paper: the tables of our copy are pictures. The fast network's last pooling is 2 × 2, so
its fine stride has two offsets per side here, not the three of the paper's Table 2.
"""

from alexnet_pl.paper.claim import OVERFEAT, Claim, error_values

CLASSIFICATION, SIZES = "OverFeat, Table 2: ILSVRC-2012, val", "OverFeat, Table 4: sizes"
VAL = "ILSVRC-2012 val"


def table2_row(
    key: str,
    label: str,
    top1: float,
    top5: float,
    recipe: str | None,
    views: str,
    verified: bool,
    baseline: str | None,
) -> Claim:
    """Row of Table 2. `views`: `ten`, `center`, or stride and scales of the dense evaluation."""
    values = error_values(top1, top5)
    views = views if views in ("ten", "center") else f"dense_{views}"
    return Claim(
        f"overfeat.{key}", CLASSIFICATION, "Table 2", label, "", values, VAL, recipe,
        views=views, baseline=baseline and f"overfeat.{baseline}", paper=OVERFEAT, verified=verified,
    )  # fmt: skip


def table4_row(net: str, metric: str, value: float, verified: bool) -> Claim:
    """Row of Table 4: `parameters` or `connections` of the fast or the accurate network."""
    label, recipe = f"{metric}, {net}", f"overfeat_{net}"
    return Claim(
        f"overfeat.{net}.{metric}", SIZES, "Table 4", label, "", {metric: value}, None, recipe,
        bound="about", paper=OVERFEAT, verified=verified,
    )  # fmt: skip


FAST, ACCURATE = "overfeat_fast", "overfeat_accurate"
SCALES_4, SCALES_6 = "fine_1_2_4_6", "fine_1_2_3_4_5_6"
OVERFEAT_CLAIMS = [
    table2_row("krizhevsky", "Krizhevsky et al., 1 CNN", 40.7, 18.2, None, "ten", True, None),
    table2_row("fast.coarse", "1 fast, scale 1, coarse stride", 39.28, 17.12, FAST, "coarse_1", False, None),
    table2_row("fast.fine", "1 fast, scale 1, fine stride", 39.01, 16.97, FAST, "fine_1", False, "fast.coarse"),
    table2_row("fast.4scales", "1 fast, scales 1, 2, 4, 6", 38.57, 16.39, FAST, SCALES_4, True, "fast.fine"),
    table2_row("fast.6scales", "1 fast, scales 1 to 6", 38.12, 16.27, FAST, SCALES_6, False, "fast.4scales"),
    table2_row("accurate.ten", "1 accurate, ten crops", 35.60, 14.71, ACCURATE, "ten", False, None),
    table2_row("accurate.4scales", "1 accurate, scales 1, 2, 4, 6", 35.74, 14.18, ACCURATE, SCALES_4, True,
               "accurate.ten"),
    table2_row("7fast", "7 fast, scales 1, 2, 4, 6", 35.10, 13.86, f"ensemble_{FAST}", SCALES_4, False, "fast.4scales"),
    table2_row(
        "7accurate", "7 accurate, scales 1, 2, 4, 6", 33.96, 13.24, f"ensemble_{ACCURATE}", SCALES_4, True,
        "accurate.4scales",
    ),
    table4_row("fast", "parameters", 145e6, verified=False),
    table4_row("accurate", "parameters", 144e6, verified=False),
    table4_row("fast", "connections", 2810e6, verified=True),
    table4_row("accurate", "connections", 5369e6, verified=True),
]  # fmt: skip
