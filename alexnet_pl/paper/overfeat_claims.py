"""OverFeat (Sermanet et al. 2013, arXiv 1312.6229), classification: Tables 2, 4 and 5, test errors of 2013, §3.3.

`verified=True`: the number is quoted in the paper's prose or in another paper. The others were entered from memory and
have not been compared with the paper: the tables of our copy are pictures. The fast network's last pooling is 2 × 2, so
its fine stride has two offsets per side here, not the three of the paper's Table 2.
"""

from alexnet_pl.paper.claim import OVERFEAT, Claim, error_values

CLASSIFICATION, SIZES = "OverFeat, Table 2: ILSVRC-2012, val", "OverFeat, Table 4: sizes"
TEST_ERRORS, WINDOWS = "OverFeat, Figure 4: ILSVRC-2013, test", "OverFeat, Table 5: windows of the accurate network"
VAL, TEST = "ILSVRC-2012 val", "ILSVRC-2012 test"  # the test images of 2013 are those of 2012


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


def test_row(key: str, label: str, top5: float, recipe: str | None, views: str, verified: bool) -> Claim:
    """Error on the test set of 2013, which its server alone knows. `recipe`: None for another team's entry."""
    return Claim(
        f"overfeat.test.{key}", TEST_ERRORS, "§3.4, Figure 4", label, "", {"top5_error": top5}, TEST, recipe,
        views=f"dense_{views}", paper=OVERFEAT, verified=verified,
    )  # fmt: skip


def window_row(key: str, section: str, label: str, values: dict[str, float], verified: bool) -> Claim:
    """Size of windows or maps of the accurate network, which needs no run."""
    return Claim(
        f"overfeat.{key}", WINDOWS, section, label, "", values, None, ACCURATE, paper=OVERFEAT, verified=verified,
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
    test_row("7fast", "7 fast, scales not said", 14.2, f"ensemble_{FAST}", SCALES_4, True),
    test_row("7accurate", "7 accurate, scales 1 to 6", 13.6, f"ensemble_{ACCURATE}", SCALES_6, True),
    test_row("best", "best of 2013", 11.7, None, SCALES_4, False),
    test_row("best.extra", "best of 2013, with other images", 11.2, None, SCALES_4, False),
    table4_row("fast", "parameters", 145e6, verified=True),
    table4_row("accurate", "parameters", 144e6, verified=False),
    table4_row("fast", "connections", 2810e6, verified=True),
    table4_row("accurate", "connections", 5369e6, verified=True),
    Claim(
        "overfeat.connections.ratio", SIZES, "§3.2", "connections, accurate ÷ fast", "", {"connections": 2.0}, None,
        ACCURATE, baseline="overfeat.fast.connections", relative=True, ratio=True, bound="about", paper=OVERFEAT,
        verified=False,
    ),
    window_row("subsampling.coarse", "§3.3", "pixels between windows, coarse stride", {"subsampling": 36}, True),
    window_row("subsampling.fine", "§3.3", "pixels between windows, fine stride", {"fine_subsampling": 12}, True),
    *(
        window_row(f"map{scale}", "Table 5", f"map of class scores, scale {scale}",
                   {f"map_height_at_{scale}": height, f"map_width_at_{scale}": width}, False)
        for scale, height, width in ((1, 3, 3), (2, 6, 9), (3, 9, 15), (4, 15, 21), (5, 18, 24), (6, 21, 30))
    ),
]  # fmt: skip
