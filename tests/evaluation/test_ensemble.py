"""Ensembles: averages against numpy; an ensemble of one equals its network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tested_networks import CLASSES, IMAGES, LABELS, NAMES, averaged, errors_by_hand, network

from alexnet_pl.config.options import EnsembleGroup, EnsembleOptions
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.ensemble import average_members
from alexnet_pl.evaluation.ensemble_members import find_members
from alexnet_pl.evaluation.prediction_file import PredictionFile, concat_blocks


def test_average_matches_numpy(tmp_path: Path) -> None:
    runs = [network(tmp_path / name, seed)[0] for seed, name in enumerate("abc")]
    saved = [
        concat_blocks(list(PredictionFile(run / "results/val-ten/probabilities.parquet").blocks())) for run in runs
    ]
    mean = np.mean([np.asarray(one.probabilities, np.float64) for one in saved], 0)
    tested, errors, written = averaged(runs, tmp_path)
    assert np.array_equal(np.asarray(written.probabilities), mean.astype(np.float16))
    assert (errors["top1_error"], errors["top5_error"]) == pytest.approx(errors_by_hand(mean, LABELS))
    assert errors["nll"] == pytest.approx(float(-np.log(mean[np.arange(IMAGES), LABELS]).mean()))
    assert [member.weight for member in tested.members] == pytest.approx([1 / 3] * 3)
    alone = [errors_by_hand(np.asarray(one.probabilities, np.float64), LABELS)[0] for one in saved]
    assert errors["top1_error"] < min(alone)


@pytest.mark.parametrize("sharp", [1.0, 30.0])
def test_ensemble_of_one_equals_the_network(tmp_path: Path, sharp: float) -> None:
    """Includes a network so confident that float16 rounds most of its probabilities to 0, which makes them equal."""
    run, exact = network(tmp_path / "a", 1, sharp)
    _, errors, written = averaged([run], tmp_path)
    order = np.argsort(-exact, 1, kind="stable")[:, :5]
    assert np.array_equal(written.best, order)
    assert errors["top1_error"] == pytest.approx(100 * float((order[:, 0] != LABELS).mean()))
    assert errors["top5_error"] == pytest.approx(100 * float((order != LABELS[:, None]).all(1).mean()))
    own = exact[np.arange(IMAGES), LABELS].astype(np.float16).astype(float)
    assert errors["nll"] == pytest.approx(-np.log(np.where(own == 0, 2.0**-25, own)).mean()), "0 is below 2⁻²⁴"


def test_member_order_changes_no_bit(tmp_path: Path) -> None:
    runs = [network(tmp_path / name, seed)[0] for seed, name in enumerate("abcde")]
    forth, back = (averaged(order, tmp_path, weights="tuned", tune_on="same") for order in (runs, runs[::-1]))
    assert forth[0] == back[0]
    assert forth[1] == back[1]
    assert np.array_equal(np.asarray(forth[2].probabilities), np.asarray(back[2].probabilities))


def test_members_with_other_images_are_refused(tmp_path: Path) -> None:
    swapped = [*NAMES[:1200], NAMES[1201], NAMES[1200], *NAMES[1202:]]
    for name, odd in {"names": {"names": swapped}, "labels": {"labels": (LABELS + 1) % CLASSES}}.items():
        runs = [network(tmp_path / name / "a", 1)[0], network(tmp_path / name / "b", 2, **odd)[0]]
        with pytest.raises(UserError, match=r"b/results.*: different images or labels than .*a/results"):
            averaged(runs, tmp_path / name)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["a", "b"], "no temporary file"


def test_image_with_a_nan_probability_is_an_error(tmp_path: Path) -> None:
    """As in the test of a single network, whatever the label; 0 would be the first class of a ranking of NaN."""
    labels = np.where(np.arange(IMAGES) < 7, 0, LABELS).astype(np.int32)
    run, exact = network(tmp_path / "a", 1, nonfinite=7, labels=labels)
    _, errors, _ = averaged([run], tmp_path)
    top1, top5 = errors_by_hand(exact[7:], labels[7:])
    assert errors["top1_error"] == pytest.approx((700 + (IMAGES - 7) * top1) / IMAGES)
    assert errors["top5_error"] == pytest.approx((700 + (IMAGES - 7) * top5) / IMAGES)
    assert (errors["count"], errors["nonfinite"]) == (IMAGES, 7)
    _, best = PredictionFile(tmp_path / "average.parquet").top_classes()
    assert ((best == -1).all(1) == (np.arange(IMAGES) < 7)).all()
    known = exact[np.arange(7, IMAGES), labels[7:]].astype(np.float64)
    assert errors["nll"] == pytest.approx(float(-np.log(known).mean()), rel=1e-3)


@pytest.mark.parametrize("known", [0, 700])
def test_images_without_labels_are_not_counted_and_cannot_tune(tmp_path: Path, known: int) -> None:
    labels = np.where(np.arange(IMAGES) < known, LABELS, -1).astype(np.int32)
    runs = [network(tmp_path / name, seed, labels=labels)[0] for seed, name in enumerate("ab")]
    readers = find_members(runs, None, "ten")
    _, errors = average_members(readers, EnsembleOptions(), tmp_path / "average.parquet")
    assert (errors["count"] if errors else 0) == known
    with pytest.raises(UserError, match=r"^ensemble.weights=tuned: .* has images without labels"):
        average_members(readers, EnsembleOptions(weights="tuned", tune_on="same"), tmp_path / "tuned.parquet")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weights": "tuned"}, "tune_on=None: choose the images to tune the weights on: half .* or same"),
        ({"weights": "best"}, "weights=best: equal or tuned"),
        ({"tune_on": "half"}, "tune_on=half: only for weights=tuned"),
    ],
)
def test_weight_tuning_must_be_configured(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        EnsembleOptions(**options)


def test_seeds_of_a_group_are_unique() -> None:
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="one or more, each once"):
            EnsembleGroup("demo", seeds)
