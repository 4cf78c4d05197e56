"""Matching of tests to rows of the paper: settings, images, end of the fit and lineage must agree."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import claim_test

from alexnet_pl.config.identity import training_signature
from alexnet_pl.config.overrides import allow_new_key
from alexnet_pl.config.recipes import compose
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.json_records import parse_record
from alexnet_pl.paper.claim import MIN_PRETRAINING_SIZES
from alexnet_pl.paper.matching import matching_claim

Change = Callable[[dict[str, Any]], Any]


def claim_of(result: dict[str, Any]) -> str | None:
    return matching_claim(parse_record(result, TestDescription))


@pytest.mark.parametrize(
    "key",
    ["table1.cnn", "footnote_e.center", "table2.cnn", "towers", "norm", "overlap", "noise", "without.conv3", "dropout",
     "table2.5cnns", "table2.cnn*", "table2.7cnns*", "fall2009.cnn", "cifar.13pct", "cifar.11pct", "figure1.relu",
     "figure1"],
)  # fmt: skip
def test_test_of_the_rows_recipe_on_the_papers_images_matches(key: str) -> None:
    assert claim_of(claim_test(key)) == key


def test_pre_training_chain_and_five_variants_match_their_rows() -> None:
    assert claim_of(claim_test("table2.cnn*", setup=1)) == "table2.cnn*"
    assert claim_of(claim_test("table2.5cnns", setup=1)) == "table2.5cnns"
    for setup in (1, 2):
        assert claim_of(claim_test("table2.7cnns*", setup=setup)) == "table2.7cnns*"


@pytest.mark.parametrize("key", ["overfeat.fast.fine", "overfeat.7accurate", "table2.cnn"])
def test_whole_images_and_squares_fill_the_rows_of_their_paper_alone(key: str) -> None:
    """AlexNet's store of 256 × 256 pixels lacks the sides that OverFeat's windows see."""
    found = claim_test(key)
    assert claim_of(found) == key
    found["dataset"]["encoding"] = {"whole": "raw", "raw": "whole"}[found["dataset"]["encoding"]]
    assert claim_of(found) is None
    del found["dataset"]["encoding"]  # an older record
    assert claim_of(found) == (key if key == "table2.cnn" else None)


def documented_replays() -> list[list[str]]:
    """Words of the commands in docs/deviations.md that replay runs."""
    page = (Path(__file__).parents[2] / "docs/deviations.md").read_text()
    commands = [
        shlex.split(line) for line in page.splitlines() if "schedule.name=logged" in line and line[:6] == "python"
    ]
    return [words[words.index("-c") + 1 :] for words in commands]


def test_documented_replays_of_the_logs_match_their_rows() -> None:
    """Two recipes with their own runs, and three ablations with other networks' epochs."""
    matched = []
    for name, *words in documented_replays():
        cfg = compose(name, [allow_new_key(word) for word in words])
        claim = "table1.cnn" if name == "ilsvrc2010" else "table2.cnn"
        found = claim_test(claim)
        found["training"] = training_signature(cfg)
        matched.append(claim_of(found))
    assert matched == ["table1.cnn", "table2.cnn", "towers", "norm", "overlap"]


@pytest.mark.parametrize(("views", "matches"), [("nine", True), ("ten", True), ("center", False)])
def test_cifar_rows_take_the_views_of_either_release(views: str, matches: bool) -> None:
    """3 × 3 positions (convdata_cifar.py, 2012), or five and reflections (cuda-convnet, June 2012)."""
    for key in ("cifar.13pct", "cifar.11pct"):
        assert (claim_of(claim_test(key) | {"views": views}) == key) == matches


@pytest.mark.parametrize("key", ["towers", "norm", "overlap"])
def test_ablation_with_epochs_of_another_run_does_not_match(key: str) -> None:
    found = claim_test(key, setup=1)
    assert claim_of(found) == key
    found["training"]["schedule"]["drop1"] += 1
    assert claim_of(found) is None


def test_seven_variants_have_one_network_pre_trained_on_fall_2009_only() -> None:
    """layer-params-146-2012-2009 and -2011; two of one kind are another ensemble."""
    found = claim_test("table2.7cnns*", setup=2)
    last_stores = [member["lineage"][-1]["store"]["name"] for member in found["members"] if member["lineage"]]
    assert sorted(last_stores) == ["fall2009", "fall2011"]
    found["members"][-1] = {**found["members"][-2], "seed": 99, "checkpoint": {"sha256": "x", "weights": "x"}}
    assert claim_of(found) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f["dataset"].update(images=49_999),
        lambda f: f["dataset"].update(train_images=9_469),
        lambda f: f["dataset"].update(train_images=1_281_168),
        lambda f: f["dataset"].update(fingerprint="another store than the one trained on"),
        lambda f: f["trained"].update(store={"fingerprint": "a tenth of ImageNet"}),
        lambda f: f["trained"].update(ended_by="max_epochs"),
        lambda f: f["trained"].update(epochs=1000),  # more than trainer.max_epochs
        lambda f: f["trained"].update(ended_by="max_time"),
        lambda f: f.pop("trained"),
        lambda f: f["training"]["data"].update(include_val_after_epoch=0),
        lambda f: f["dataset"].update(classes=100),
        lambda f: f["dataset"].update(class_list="e" * 64),
        lambda f: f["dataset"].update(name="imagenette"),
        lambda f: f["dataset"].update(split="train"),
        lambda f: f.update(views="center"),
        lambda f: f["training"]["trainer"].update(max_epochs=5),
        lambda f: f["training"]["trainer"].update(limit_train_batches=10),
        lambda f: f["training"]["optim"].update(lr=0.02),
        lambda f: f["training"]["model"].update(spatial_norm=False),
        lambda f: f["training"]["augment"].update(crop=112),
        lambda f: f["training"]["data"].update(batch_size=256),
        lambda f: f["training"]["schedule"].update(name="logged"),
        lambda f: f.update(training=None),
        lambda f: f.update(lineage=[{"store": {"name": "fall2011"}}]),
    ],
)
def test_any_difference_prevents_a_match(change: Change) -> None:
    """Includes a small folder named ilsvrc2012."""
    found = claim_test("table2.cnn")
    change(found)
    assert claim_of(found) is None


@pytest.mark.parametrize(
    ("images", "train_images", "is_enough"),
    [
        (4_000_000, 4_000_000, True),
        (4_450_000, 4_450_000, True),
        (3_999_999, 4_450_000, False),
        (4_450_000, 3_999_999, False),
    ],
)
def test_half_of_fall_2009_is_at_least_four_million_images(images: int, train_images: int, is_enough: bool) -> None:
    """§7 gives the 8.9 million images of Fall 2009, but not the size of the training half."""
    found = claim_test("fall2009.cnn")
    found["dataset"].update(images=images, train_images=train_images)
    assert (claim_of(found) == "fall2009.cnn") == is_enough


@pytest.mark.parametrize("images", [49_999, 50_001])
def test_ilsvrc_images_are_counted_exactly(images: int) -> None:
    found = claim_test("table2.cnn")
    found["dataset"].update(images=images)
    assert claim_of(found) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f["members"].pop(),
        lambda f: f["members"].append(f["members"][0]),
        lambda f: f["members"].__setitem__(1, f["members"][0]),
        lambda f: f["members"][2].update(training=None),
        lambda f: f["members"][2].update(seed=f["members"][0]["seed"]),
        lambda f: f["members"][2]["checkpoint"].update(weights=f["members"][0]["checkpoint"]["weights"]),
        lambda f: f["members"][2]["trained"].update(store={"fingerprint": "another"}),
        lambda f: f["members"][2]["training"]["model"].update(towers=1),
        lambda f: f.update(weights_tuned_on="same"),
    ],
)
def test_ensemble_of_other_members_or_tuned_weights_does_not_match(change: Change) -> None:
    found = claim_test("table2.5cnns")
    change(found)
    assert claim_of(found) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda stage: stage["store"].update(images=50_000),
        lambda stage: stage["store"].update(name="fall2009"),
        lambda stage: stage.update(ended_by="max_epochs"),
        lambda stage: stage.pop("ended_by"),
        lambda stage: stage.update(changed=True),
        lambda stage: stage["training"]["trainer"].update(max_epochs=1),
    ],
)
def test_lineage_must_be_pre_training_by_the_recipe(change: Change) -> None:
    found = claim_test("table2.cnn*")
    change(found["lineage"][0])
    assert claim_of(found) is None


@pytest.mark.parametrize(("images", "matches"), [(4_450_000, False), (8_400_000, False), (8_864_400, True)])
def test_chain_needs_all_of_fall_2009(images: int, matches: bool) -> None:
    """8.9 million images (§7), of which the recipe holds out 0.4 %; the half of recipe fall2009 has the same name."""
    found = claim_test("table2.cnn*", setup=1)
    (stage,) = [stage for stage in found["lineage"] if stage["store"]["name"] == "fall2009"]
    stage["store"]["images"] = images
    assert (claim_of(found) == "table2.cnn*") == matches


@pytest.mark.parametrize(("missing", "matches"), [({}, True), ({"classes": 1}, False), ({"images": 1}, False)])
def test_pre_training_needs_the_smallest_counts(missing: dict[str, int], matches: bool) -> None:
    found = claim_test("table2.cnn*")
    sizes = dict(zip(("classes", "images"), MIN_PRETRAINING_SIZES["fall2011"], strict=True))
    found["lineage"][0]["store"].update({name: size - missing.get(name, 0) for name, size in sizes.items()})
    assert (claim_of(found) == "table2.cnn*") == matches
