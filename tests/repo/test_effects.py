"""Summary of the effects of the text's settings, from made-up effects."""

from pages.effects import summarize_effects

from alexnet_pl.evaluation.intervals import PAIRED, Difference
from alexnet_pl.paper.deviations import DeviationEffect, deviations

BY_KEY = {one.key: one for one in deviations("steps")}


def effect(key: str, points: float, p: float, dataset: str = "drawn") -> DeviationEffect:
    difference = Difference(points, points - 1, points + 1, 3, p, PAIRED)
    errors = {"top1_error": difference, "top5_error": difference}
    return DeviationEffect(BY_KEY[key], dataset, errors, p, schedule="steps")


def test_effects_are_sorted_by_their_verdict() -> None:
    effects = [
        effect("model.spatial_norm", 1.5, 0.01),
        effect("model.wide_init", -2.0, 0.01),
        effect("optim.decay_biases", 3.0, 0.2),
        effect("variant=as_printed", 2.25, 0.001),
    ]
    lines = summarize_effects(effects).splitlines()
    assert lines[2:6] == [
        "- The text as a whole: all of the text's values at once +2.25 (+1.25 to +3.25)",
        "- Higher error than the program's: no third norm +1.50 (+0.50 to +2.50)",
        "- Lower error: σ 0.01 in every layer -2.00 (-3.00 to -1.00)",
        "- No significant difference: weight decay of biases +3.00 (+2.00 to +4.00)",
    ]
    assert lines[6].startswith("- Not yet measured: order in layer 1")
    assert "learning rate of biases divided with the weights'" in lines[6]
    assert not any(label in lines[6] for label in ("no third norm", "weight decay of biases", "at once"))


def test_each_data_set_has_its_own_list() -> None:
    effects = [effect("model.spatial_norm", 1.5, 0.01, "one"), effect("model.spatial_norm", 1.5, 0.5, "two")]
    first, second = summarize_effects(effects).split("Top-1 error on ")[1:]
    assert "- Higher error than the program's: no third norm" in first
    assert "- The text as a whole: not yet measured" in first
    assert "- Higher error than the program's: none" in second


def test_without_effects_nothing_is_measured() -> None:
    assert summarize_effects([]) == "Not yet measured.\n"
