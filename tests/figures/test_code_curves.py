"""Lines and legends of precision-recall curves of short codes (§7.1)."""

from running import check_words

from alexnet_pl.figures.code_curves import STYLES, draw_code_curves
from alexnet_pl.figures.style import THEMES
from alexnet_pl.retrieval.code_evaluation import METHOD_ORDER


def test_other_weights_of_the_neighbor_loss_have_a_line_beside_weight_1() -> None:
    methods = ["auto-encoder on fc7, neighbor loss × 4", "auto-encoder on fc7, neighbor loss"]
    curve = {"nearest": {"ranks": [1, 100], "precision": [50, 20], "recall": [1, 30]}}
    figure = draw_code_curves({(method, 8): curve for method in methods}, THEMES[0])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines() if line.get_label() != "_"}
    assert list(lines) == methods[::-1], "sorted by weight"
    assert [lines[method].is_dashed() for method in methods] == [True, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == methods[::-1]


def test_legend_says_why_float_vectors_are_not_in_the_upper_row() -> None:
    curve = {"ranks": [1, 100], "precision": [50, 20], "recall": [1, 30]}
    methods = {"float vectors of fc7, exact": None, "auto-encoder on fc7": 8}
    both = {(method, bits): {"nearest": curve, "class": curve} for method, bits in methods.items()}
    figure = draw_code_curves(both, THEMES[0], "tiny: val images")
    check_words(figure)
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["float vectors of fc7, exact (upper row: always 100 %)", "auto-encoder on fc7"]
    assert figure.get_suptitle() == "tiny: val images"
    lower = {key: {"class": curve} for key in both}
    (text, _) = draw_code_curves(lower, THEMES[0]).legends[0].get_texts()
    assert text.get_text() == "float vectors of fc7, exact"


def test_every_method_has_a_line_style() -> None:
    assert {*STYLES} == {*METHOD_ORDER}
