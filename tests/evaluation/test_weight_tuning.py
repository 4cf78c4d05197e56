"""Weights of an ensemble's members against a plain search; the images that they are tuned on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tested_networks import IMAGES, LABELS, NAMES, averaged, errors_by_hand, network

from alexnet_pl.evaluation.ensemble_members import find_members
from alexnet_pl.evaluation.prediction_file import PredictionFile, concat_blocks
from alexnet_pl.evaluation.weight_tuning import all_images, grid_errors, hash_half, tune_weights


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
    found = tune_weights(readers, lambda images: np.array([name in few for name in images]))
    assert found == pytest.approx(search_by_hand([array[:count] for array in saved], LABELS[:count]))
    assert found != [0.5] * 3


def test_weight_of_a_network_with_nan_probabilities_counts_these_as_errors(tmp_path: Path) -> None:
    runs = [network(tmp_path / "a", 1)[0], network(tmp_path / "b", 2, nonfinite=300)[0]]
    readers = find_members(runs, None, "ten")
    assert (grid_errors(readers, [0.5, 0.5], 1, all_images) >= 300).all(), "also with a weight of 0"


@given(st.lists(st.text(max_size=20), max_size=50))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_assignment_of_images_to_halves_depends_only_on_the_name(names: list[str]) -> None:
    assert list(hash_half(names)) == [bool(hash_half([name])[0]) for name in names]
    assert 0.45 < hash_half(NAMES).mean() < 0.55
