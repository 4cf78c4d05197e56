"""Ensembles: averages against numpy; an ensemble of one equals its network; mismatched members are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet_pl.config.options import EnsembleGroup, EnsembleOptions
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation import ensemble
from alexnet_pl.evaluation.ensemble import find_members, hash_half
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, PredictionFileWriter, concat_blocks
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.files import parse_record
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights

IMAGES, CLASSES = 1500, 12
LABELS = np.random.default_rng(99).integers(0, CLASSES, IMAGES).astype(np.int32)
NAMES = [f"val/{i:04d}.jpg" for i in range(IMAGES)]
DATASET = {
    "name": "tiny", "fingerprint": "f" * 64, "split": "val", "images": IMAGES, "train_images": 10, "classes": CLASSES,
    "class_list": "c" * 64,
}  # fmt: skip


def network(run: Path, seed: int, sharp: float = 1.0, views: str = "ten", **about: Any) -> tuple[Path, np.ndarray]:
    """(tested run folder of a network that is right more often than not, its float32 probabilities)."""
    chance = np.random.default_rng(seed)
    logits = chance.standard_normal((IMAGES, CLASSES)) + 1.2 * np.eye(CLASSES)[LABELS]
    exact = np.exp(sharp * logits)
    exact = (exact / exact.sum(1, keepdims=True)).astype(np.float32)
    best = np.argsort(-exact, 1, kind="stable")[:, :5].astype(np.int32)
    writer = PredictionFileWriter(run / f"results/val-{views}/probabilities.parquet", CLASSES)
    writer.add(Block(about.pop("names", NAMES), about.pop("labels", LABELS), best, exact.astype(np.float16)))
    finished = about.pop("finished", True)
    facts = {
        "dataset": DATASET | about,
        "views": views,
        "checkpoint": {"sha256": f"{seed:064d}"},
        "seed": seed,
        "finished": finished,
    }
    writer.close(parse_record({**facts, "training": {"model": {}}}, TestDescription))
    return run, exact


def errors_by_hand(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Top-1 and top-5 error in percent, comparing the label's probability with all others; there are no ties."""
    own = np.take_along_axis(probabilities, labels[:, None].astype(int), 1)
    rank = (probabilities > own).sum(1)
    return 100 * float((rank > 0).mean()), 100 * float((rank > 4).mean())


def averaged(runs: list[Path], folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, float], Block]:
    readers = find_members(runs, None, "ten")
    tested, errors = ensemble.average_members(readers, EnsembleOptions(**options), folder / "average.parquet")
    assert errors is not None
    return tested, errors, concat_blocks(list(PredictionFile(folder / "average.parquet").blocks()))


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


def test_members_with_other_images_are_refused(tmp_path: Path) -> None:
    swapped = [*NAMES[:1200], NAMES[1201], NAMES[1200], *NAMES[1202:]]
    for name, odd in {"names": {"names": swapped}, "labels": {"labels": (LABELS + 1) % CLASSES}}.items():
        runs = [network(tmp_path / name / "a", 1)[0], network(tmp_path / name / "b", 2, **odd)[0]]
        with pytest.raises(UserError, match=r"b/results.*: different images or labels than .*a/results"):
            averaged(runs, tmp_path)


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
        ensemble.check_finished(imported, of_caffe)


@pytest.mark.parametrize("known", [0, 700])
def test_images_without_labels_are_not_counted_and_cannot_tune(tmp_path: Path, known: int) -> None:
    labels = np.where(np.arange(IMAGES) < known, LABELS, -1).astype(np.int32)
    runs = [network(tmp_path / name, seed, labels=labels)[0] for seed, name in enumerate("ab")]
    readers = find_members(runs, None, "ten")
    _, errors = ensemble.average_members(readers, EnsembleOptions(), tmp_path / "average.parquet")
    assert (errors["count"] if errors else 0) == known
    with pytest.raises(UserError, match=r"^ensemble.weights=tuned: .* has images without labels"):
        ensemble.average_members(readers, EnsembleOptions(weights="tuned", tune_on="same"), tmp_path / "tuned.parquet")


def test_missing_untested_and_repeated_members_are_named(tmp_path: Path) -> None:
    run, _ = network(tmp_path / "a", 1)
    (tmp_path / "untested").mkdir()
    half_trained, _ = network(tmp_path / "half_trained", 2, finished=False)
    with pytest.raises(UserError, match=r"half_trained was tested before its training finished"):
        find_members([run, half_trained], None, "ten")
    with pytest.raises(UserError, match=r"away: no such run folder"):
        find_members([run, tmp_path / "away"], None, "ten")
    with pytest.raises(UserError, match=r"untested has not been tested .*python -m alexnet_pl test -c "):
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
    assert ensemble.find_predictions(run, None, "center") == run / "results/val-center/probabilities.parquet"
    (run / "results/val-center/probabilities.parquet").unlink()
    (run / "results/val-center").rmdir()
    assert ensemble.find_predictions(run, "val", "center") == older
    (run / "results/test-centre").mkdir()
    (run / "results/test-centre/probabilities.parquet").write_bytes(older.read_bytes())
    with pytest.raises(UserError, match=r"a was tested on test, val; choose one with test.split=…$"):
        ensemble.find_predictions(run, None, "center")


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
        ensemble.find_predictions(tmp_path, split, views)


def search_by_hand(members: list[np.ndarray], labels: np.ndarray) -> list[float]:
    """The search of avg-valid.py, one weight at a time, on whole arrays."""
    weights = [0.5] * len(members)
    grid = [round(0.05 * i, 2) for i in range(21)]

    def top5(candidate: list[float]) -> int:
        scores = sum(w * m for w, m in zip(candidate, members, strict=True))
        assert isinstance(scores, np.ndarray)
        own = scores[np.arange(len(labels)), labels][:, None]
        return int(((scores >= own).sum(1) > 5).sum())

    for _ in range(5):
        for i in range(len(members)):
            tried = {value: top5([*weights[:i], value, *weights[i + 1 :]]) for value in grid}
            best = min(tried.values())
            if best < tried[weights[i]]:
                weights[i] = next(value for value in grid if tried[value] == best)
    return weights


def test_weight_search_matches_a_plain_search_and_records_its_images(tmp_path: Path) -> None:
    runs = [
        network(tmp_path / name, seed, sharp)[0] for seed, (name, sharp) in enumerate([("a", 1), ("b", 4), ("c", 2)])
    ]
    saved = [
        concat_blocks(list(PredictionFile(run / "results/val-ten/probabilities.parquet").blocks())) for run in runs
    ]
    arrays = [np.asarray(one.probabilities, np.float64) for one in saved]
    tested, errors, _ = averaged(runs, tmp_path, weights="tuned", tune_on="same")
    wanted = search_by_hand(arrays, LABELS)
    assert [member.weight for member in tested.members] == pytest.approx([w / sum(wanted) for w in wanted])
    assert (tested.weights_tuned_on, errors["count"]) == ("same", IMAGES)
    mask = hash_half(NAMES)
    halved = search_by_hand([array[mask] for array in arrays], LABELS[mask])
    tested, errors, _ = averaged(runs, tmp_path, weights="tuned", tune_on="half")
    assert [member.weight for member in tested.members] == pytest.approx([w / sum(halved) for w in halved])
    assert (tested.weights_tuned_on, errors["count"]) == ("half", int((~mask).sum()))
    mean = sum(w * a for w, a in zip(halved, arrays, strict=True))
    assert errors["top5_error"] == pytest.approx(errors_by_hand(np.asarray(mean)[~mask], LABELS[~mask])[1])


@pytest.mark.parametrize("count", [15, 60])
def test_weight_search_on_few_images_takes_the_lowest_of_equal_weights(tmp_path: Path, count: int) -> None:
    """On few images many weights give the same error."""
    runs = [network(tmp_path / name, seed, 1 + seed)[0] for seed, name in enumerate("abc")]
    readers = find_members(runs, None, "ten")
    saved = [np.asarray(concat_blocks(list(reader.blocks())).probabilities, np.float64) for reader in readers]
    few = {*NAMES[:count]}
    found = ensemble.tune_weights(readers, lambda images: np.array([name in few for name in images]))
    assert found == pytest.approx(search_by_hand([array[:count] for array in saved], LABELS[:count]))
    assert found != [0.5] * 3


@given(st.lists(st.text(max_size=20), max_size=50))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_assignment_of_images_to_halves_depends_only_on_the_name(names: list[str]) -> None:
    assert list(hash_half(names)) == [bool(hash_half([name])[0]) for name in names]
    assert 0.45 < hash_half(NAMES).mean() < 0.55


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
