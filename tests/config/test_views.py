"""Options of `test`: names of dense views and their overrides."""

import pytest

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config import checks
from alexnet_pl.config.box_options import BoxOptions, make_box_options
from alexnet_pl.config.options import make_test_section
from alexnet_pl.config.overrides import allow_new_key
from alexnet_pl.config.recipes import compose
from alexnet_pl.config.views import DenseViews, describe_views, view_overrides
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.image_scales import TABLE5


@pytest.mark.parametrize(
    ("dense", "name"),
    [
        (DenseViews(), "dense_fine_1_2_4_6"),
        (DenseViews((1,), "coarse"), "dense_coarse_1"),
        (DenseViews((6, 2), aspect="keep", score="logit"), "dense_fine_2_6_keep_logit"),
    ],
)
def test_view_name_identifies_windows_and_round_trips_to_overrides(dense: DenseViews, name: str) -> None:
    assert dense.name == name
    words = view_overrides(name)
    translated = [word for word in to_hydra(["reproduce", "-c", "ilsvrc2012", *words]) if "test." in word]
    cfg = compose("ilsvrc2012", translated)
    checks.check_config(cfg)
    assert make_test_section(cfg).view_set == name
    assert make_test_section(cfg).dense == DenseViews(
        tuple(sorted(dense.scales)), dense.stride, dense.aspect, dense.score
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ten", "ten views"),
        ("center", "center view"),
        (DenseViews().name, "fine windows at scales 1, 2, 4, 6"),
        (DenseViews((1,), "coarse").name, "coarse windows at scale 1"),
        (DenseViews((6, 2), aspect="keep", score="logit").name, "fine windows at scales 2, 6 (keep, logit)"),
    ],
)
def test_views_are_named_in_words(name: str, words: str) -> None:
    assert describe_views(name) == words


@pytest.mark.parametrize("recipe", ["overfeat_localise", "overfeat_detect"])
def test_boxes_are_learned_at_all_six_scales_and_tested_at_four(recipe: str) -> None:
    """OverFeat §4.2: the regressor is trained on the same six scales; §4.4: four in the winning entry."""
    cfg = compose(recipe)
    assert list(cfg.boxes.scales) == make_box_options(cfg).scales == BoxOptions("localise").scales == sorted(TABLE5)
    assert list(cfg.detect.scales) == [1, 2, 4, 6]


def test_option_without_a_default_is_required_by_name() -> None:
    with pytest.raises(UserError, match=r"^boxes.task is required: pass boxes.task=…$"):
        make_box_options(compose("demo", ["+boxes.windows=3"]))


def test_views_without_windows_keep_their_names() -> None:
    assert make_test_section(compose("ilsvrc2012")).view_set == "ten"
    assert make_test_section(compose("ilsvrc2012")).dense is None
    assert view_overrides("ten") == ["test.views=ten"]


def test_scales_are_one_number_or_a_list_with_or_without_brackets() -> None:
    assert allow_new_key("test.scales=1,2") == allow_new_key("test.scales=[1,2]") == "++test.scales=[1,2]"
    assert allow_new_key("detect.scales=1,4") == "detect.scales=[1,4]"
    for interpolated in ("detect.scales=${boxes.scales}", "detect.scales='${boxes.scales}'"):
        assert allow_new_key(interpolated) == interpolated
    assert allow_new_key("boxes.scales=1") == "boxes.scales=[1]"
    assert allow_new_key("test.scales=3") == "++test.scales=[3]"
    assert allow_new_key("test.scales=1,2", sweep=True) == "++test.scales=1,2"
    assert make_test_section(compose("ilsvrc2012", ["test.views=dense", "test.scales=3"])).view_set == "dense_fine_3"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("test.scales=[7]", r"test.scales=\[7\]: one or more of 1, 2, 3, 4, 5, 6"),
        ("test.scales=[1,1]", "each once"),
        ("test.scales=[]", "one or more"),
        ("test.scales=[large]", "scale numbers such as 1,2,4,6"),
        ("test.stride=finest", "test.stride=finest: one of fine, coarse"),
        ("test.aspect=wide", "test.aspect=wide: one of crop, squash, keep"),
        ("test.score=vote", "test.score=vote: one of softmax, logit"),
    ],
)
def test_invalid_values_are_refused_by_key(word: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        checks.check_config(compose("ilsvrc2012", [word]))
