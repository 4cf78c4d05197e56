"""Members of an ensemble: those that do not fit together, or were not tested, are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tested_networks import DATASET, network

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.ensemble_members import check_finished, find_members, find_predictions
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.json_records import parse_record
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"class_list": "d" * 64}, "class_list dddddddddddd, not cccccccccccc"),
        ({"classes": 1000}, "classes 1000, not 12"),
        ({"split": "test"}, "split test, not val"),
        ({"fingerprint": "0" * 64}, "fingerprint 000000000000, not ffffffffffff"),
        ({"name": "imagenette"}, "name imagenette, not tiny"),
        ({"views": "center"}, "has not been tested with ten views"),
    ],
)
def test_networks_of_other_classes_images_or_views_are_refused(
    tmp_path: Path, other: dict[str, Any], says: str
) -> None:
    runs = [network(tmp_path / "a", 1)[0], network(tmp_path / "b", 2, **other)[0]]
    with pytest.raises(UserError, match=says):
        find_members(runs, None, "ten")


def test_networks_that_are_not_the_last_of_a_fit_are_named(tmp_path: Path) -> None:
    imported, best = (
        network(tmp_path / name, seed, finished=False)[0] for seed, name in enumerate(("imported", "best"))
    )
    fit_status.start_fit(best, {"model": {}}, parse_record(DATASET, DatasetInfo))
    with pytest.raises(UserError, match=r"best was tested before its training finished"):
        find_members([best], None, "ten")
    fit_status.mark_finished(best, 1, 1, 1, 1.0, "schedule", {})
    with pytest.raises(UserError, match=r"best was not tested with the last checkpoint of its fit; .* ckpt_path=last"):
        find_members([best], None, "ten")
    reader = PredictionFile(imported / "results/val-ten/probabilities.parquet")
    of_caffe = replace(reader.test, imported=ImportedWeights(file="caffe.model", sha256="0", format="caffe"))
    with pytest.raises(UserError, match=r"imported was imported from caffe.model"):
        check_finished(imported, of_caffe)


def test_missing_untested_and_repeated_members_are_named(tmp_path: Path) -> None:
    run, _ = network(tmp_path / "a", 1)
    (tmp_path / "untested").mkdir()
    half_trained, _ = network(tmp_path / "half_trained", 2, finished=False)
    with pytest.raises(UserError, match=r"half_trained was tested before its training finished"):
        find_members([run, half_trained], None, "ten")
    with pytest.raises(UserError, match=r"away: no such run folder"):
        find_members([run, tmp_path / "away"], None, "ten")
    with pytest.raises(UserError, match=r"untested has not been tested .*python -m alexnet_pl test /\S+untested$"):
        find_members([run, tmp_path / "untested"], None, "ten")
    with pytest.raises(UserError, match=r"a is listed twice, or has the same weights"):
        find_members([run, run], None, "ten")
    with pytest.raises(UserError, match=r"ensemble.members is required"):
        find_members([], None, "ten")


def test_tests_of_a_member_are_found_and_named(tmp_path: Path) -> None:
    """A run from before the center view was renamed may hold the results of a test under both names."""
    run, _ = network(tmp_path / "a", 1, views="center")
    older = run / "results/val-centre/probabilities.parquet"
    older.parent.mkdir()
    older.write_bytes((run / "results/val-center/probabilities.parquet").read_bytes())
    assert find_predictions(run, None, "center") == run / "results/val-center/probabilities.parquet"
    (run / "results/val-center/probabilities.parquet").unlink()
    (run / "results/val-center").rmdir()
    assert find_predictions(run, "val", "center") == older
    (run / "results/test-centre").mkdir()
    (run / "results/test-centre/probabilities.parquet").write_bytes(older.read_bytes())
    with pytest.raises(UserError, match=r"a was tested on test, val; choose one with test.split=…$"):
        find_predictions(run, None, "center")


@pytest.mark.parametrize(
    ("split", "views", "says"),
    [
        (None, "nine", "has not been tested with nine views: python"),
        ("val", "ten", "has not been tested on val with ten views: python"),
        ("val", "center", "has not been tested on val with center view: python"),
        (None, "dense_fine_1_2", "has not been tested with fine windows at scales 1, 2: python"),
    ],
)
def test_missing_views_are_named_in_words(tmp_path: Path, split: str | None, views: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        find_predictions(tmp_path, split, views)
