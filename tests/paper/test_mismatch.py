"""Reasons why a test matches no row of the paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import claim_test, proxy_test, write_test

from alexnet_pl.paper.mismatch import explain_mismatch
from alexnet_pl.paper.results import collect_tests

Change = Callable[[dict[str, Any]], Any]


def reason(root: Path, result: dict[str, Any], **more: Any) -> str:
    write_test(root, "run0", result, 20.0, **more)
    (test,) = collect_tests([root])
    assert test.claim is None
    return explain_mismatch(test)


def test_only_counts_that_are_too_small_or_wrong_are_named(tmp_path: Path) -> None:
    """Of Fall 2009, 10,184 classes and at least four million images on each side count as the paper's images."""
    result = claim_test("fall2009.cnn")
    result["dataset"].update(classes=10_000, images=4_450_000, train_images=3_000_000)
    assert reason(tmp_path, result, images=4_450_000) == (
        "not the images of fall2009 in the paper: 10,000 classes, not 10,184; "
        "3,000,000 training images, not at least 4,000,000"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda f: f["dataset"].update(train_images=9_469),
            "not the images of ilsvrc2012 in the paper: 9,469 training images, not 1,281,167",
        ),
        (
            lambda f: f["dataset"].update(class_list="e" * 64),
            "not the images of ilsvrc2012 in the paper: other classes",
        ),
        (
            lambda f: f["dataset"].update(split="train"),
            "split train of ilsvrc2012; the paper's rows are on val",
        ),
        (lambda f: f.update(views="center"), "center view; rows on these images have ten, dense_coarse_1"),
        (
            lambda f: f["dataset"].update(fingerprint="1"),
            "compared with “1 CNN” (Table 2): trained on another store than the tested one",
        ),
        (
            lambda f: f["trained"].update(ended_by="max_steps"),
            "compared with “1 CNN” (Table 2): fit ended by max_steps, not by its schedule",
        ),
        (
            lambda f: f["training"]["optim"].update(lr=0.02),
            "compared with “1 CNN” (Table 2): optim.lr=0.02, not 0.01",
        ),
        (
            lambda f: (f["training"]["model"].update(norm=False), f["training"]["data"].update(batch_size=256)),
            "compared with “no response normalization” (§4.3): data.batch_size=256, not 128",
        ),
        (
            lambda f: f["training"]["optim"].pop("momentum"),
            "compared with “1 CNN” (Table 2): without optim.momentum=0.9",
        ),
        (
            lambda f: f["dataset"].update(encoding="whole"),
            "compared with “1 CNN” (Table 2): trained on whole images, not squares",
        ),
        (lambda f: f.update(lineage=claim_test("table2.cnn*")["lineage"]), "another pre-training"),
    ],
)
def test_the_first_difference_from_the_most_similar_row_is_named(tmp_path: Path, change: Change, says: str) -> None:
    made = claim_test("table2.cnn")
    change(made)
    assert says in reason(tmp_path, made)


def test_older_test_on_unknown_images_says_nothing_false(tmp_path: Path) -> None:
    made = claim_test("overfeat.fast.fine")
    del made["dataset"]["encoding"]
    says = "the record is older and does not say whether the images were whole; test again"
    assert reason(tmp_path / "older", made).endswith(f": {says}")
    made["dataset"]["encoding"] = "raw"
    assert reason(tmp_path / "newer", made).endswith(": trained on squares, not whole images")


def test_other_data_set_is_named(tmp_path: Path) -> None:
    assert reason(tmp_path, proxy_test("table2.cnn")) == (
        "data set imagenette; the paper's rows are on ilsvrc2010, ilsvrc2012, fall2009 and cifar10"
    )


def test_test_that_counts_nowhere_says_so(tmp_path: Path) -> None:
    part = reason(tmp_path / "part", claim_test("table2.cnn"), images=1000)
    assert part == "tested on 1,000 of 50,000 images (in none of the tables)"
    unfinished = claim_test("table2.cnn") | {"training": None}
    assert reason(tmp_path / "best", unfinished).startswith("the tested checkpoint is not checkpoints/last.ckpt of a")
    imported = unfinished | {"imported": {"file": "a.npz", "sha256": "0", "format": "caffe"}}
    assert reason(tmp_path / "other", imported) == "weights of another program (in none of the tables)"


@pytest.mark.parametrize(
    ("fit", "says"),
    [
        ('"finished": false', "the fit is not finished"),
        (
            '"finished": true, "changed": true, "changed_settings": ["optim.lr"]',
            "the fit was resumed with other settings (optim.lr)",
        ),
        ('"finished": 3', "the tested checkpoint is not"),
    ],
)
def test_state_of_the_fit_is_read_from_its_file(tmp_path: Path, fit: str, says: str) -> None:
    (tmp_path / "run0").mkdir()
    (tmp_path / "run0/fit.json").write_text('{"training": {}, "store": {}, ' + fit + "}")
    assert reason(tmp_path, claim_test("table2.cnn") | {"training": None}).startswith(says)


def test_many_differences_are_counted(tmp_path: Path) -> None:
    made = claim_test("table2.cnn")
    made["training"]["model"] |= {"alpha_over_n": False, "dropout": 0.1, "spatial_norm": False, "width": 0.5}
    made["training"]["optim"]["lr"] = 0.02
    assert reason(tmp_path, made) == (
        "compared with “1 CNN” (Table 2): model.alpha_over_n=false, not true; model.dropout=0.1, not 0.5; "
        "model.spatial_norm=false, not true; model.width=0.5, which the row does not set; 1 more"
    )


def test_averages_are_compared_with_rows_of_as_many_networks(tmp_path: Path) -> None:
    two = claim_test("table2.5cnns")
    two["members"] = two["members"][:2]
    assert reason(tmp_path / "two", two) == "an average of 2 networks; no row has that number"
    tuned = claim_test("table2.5cnns") | {"weights_tuned_on": "half"}
    assert reason(tmp_path / "tuned", tuned).startswith("weights of the average tuned on the half images")
    twice = claim_test("table2.5cnns")
    twice["members"][1]["seed"] = twice["members"][0]["seed"]
    assert reason(tmp_path / "twice", twice).startswith("two of the networks have the same weights")
    other = claim_test("table2.5cnns")
    other["members"][3]["training"]["optim"]["lr"] = 0.02
    assert reason(tmp_path / "other", other) == "compared with “5 CNNs” (Table 2): optim.lr=0.02, not 0.01"
    mixed = claim_test("table2.7cnns*")
    mixed["members"][0] |= {key: mixed["members"][-1][key] for key in ("training", "lineage")}
    assert reason(tmp_path / "mixed", mixed) == "compared with “7 CNNs*” (Table 2): other numbers of each network"
