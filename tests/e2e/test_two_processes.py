"""Two processes started as by torchrun without `trainer.devices`: data parallel, two towers, features."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_folders import rows_without_times
from running import TRAIN, VAL
from two_processes import BEGUN, run_two_processes

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.evaluation.prediction_file import PredictionFile, concat_blocks
from alexnet_pl.retrieval.features import Features

pytestmark = pytest.mark.slow
BATCH = 16


@pytest.fixture(scope="module")
def runs(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    run_two_processes(tiny_store, folder)
    return folder


def checkpoint(run: Path) -> dict:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def assert_same_network(one: Path, other: Path) -> None:
    """Compare whole weights and velocities, in the same order, to rounding of float32."""
    here, there = checkpoint(one), checkpoint(other)
    assert list(here["state_dict"]) == list(there["state_dict"])
    for name, value in here["state_dict"].items():
        assert (there["state_dict"][name] - value).norm() <= 1e-4 * value.norm()
    (a,), (b,) = here["optimizer_states"], there["optimizer_states"]
    assert [group["name"] for group in a["param_groups"]] == [group["name"] for group in b["param_groups"]]
    for number, kept in a["state"].items():
        difference = (kept["u"] - b["state"][number]["u"]).norm()
        assert difference < 1e-3 * kept["u"].norm()


def logged(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_data_parallel_matches_one_process(runs: Path) -> None:
    assert_same_network(runs / "plain", runs / "ddp")


def test_logged_losses_and_errors_are_those_of_the_whole_batch(runs: Path) -> None:
    for name in ("train/loss", "val/loss", "train/epoch_top1_error", "gradient_norm/conv1"):
        expected = logged(runs / "plain", name)
        assert expected
        assert logged(runs / "ddp", name) == pytest.approx(expected, rel=1e-4)


def test_killed_processes_continue_from_within_the_epoch_to_the_bit(runs: Path) -> None:
    """They saved together, though only one's clock said so."""
    assert [(runs / f"killed{rank}").read_text() for rank in range(2)] == ["2", "2"]
    whole, continued = checkpoint(runs / "ddp"), checkpoint(runs / "killed")
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, continued["state_dict"][name]), name
    assert rows_without_times(runs / "killed") == rows_without_times(runs / "ddp")


def test_towers_match_one_process_with_the_same_dropout(runs: Path) -> None:
    assert_same_network(runs / "first", runs / "towers")
    for name in ("train/loss", "val/loss", "train/epoch_top1_error", "gradient_norm/conv1", "weight_norm/conv1"):
        expected = logged(runs / "first", name)
        assert expected
        assert logged(runs / "towers", name) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("world", [1, 2])
def test_run_resumes_on_another_number_of_processes(runs: Path, world: int) -> None:
    """Started by two processes and resumed by one, and vice versa: the rest of the epoch in the same order, and the
    same network as without interruption."""
    name = {1: "one", 2: "two"}[world]
    steps, seen = epoch_order(TRAIN, seed=0, epoch=1)[: 3 * BATCH].reshape(3, world, BATCH // world), BEGUN - 3
    for rank in range(world):
        read = json.loads((runs / f"{name}{rank}.json").read_text())
        assert read == steps[seen:, rank].flatten().tolist()
    continued = runs / f"continued by {name}"
    assert checkpoint(continued)["global_step"] == 2 * 3
    assert_same_network(runs / "plain", continued)


@pytest.mark.parametrize("continued", ["continued by towers", "towers, then one"])
def test_checkpoints_of_one_process_and_of_towers_are_interchangeable(runs: Path, continued: str) -> None:
    assert_same_network(runs / "whole", runs / continued)


def test_towers_test_each_image_once(runs: Path) -> None:
    result = json.loads((runs / "towers/result.json").read_text())
    assert result["images"] == VAL
    two, one = (
        concat_blocks(list(PredictionFile(next(runs.glob(f"{name}/results/*/probabilities.parquet"))).blocks()))
        for name in ("towers", "towers tested by one")
    )
    assert two.images == one.images
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=2e-3)


@pytest.mark.parametrize("command", ["test", "features"])
def test_shards_are_verified_when_the_others_can_wait_for_hours(runs: Path, command: str) -> None:
    """They wait half an hour for each other to start, and a day afterwards."""
    assert json.loads((runs / f"{command}0.json").read_text()) == [["val", True]]


def test_each_process_computes_its_share_of_the_features(runs: Path) -> None:
    found = Features(runs / "ddp/features/val-fc7")
    assert found.values.shape == (VAL, 410)  # a tenth of 4,096, an even number
    assert (np.abs(found.rows(slice(None))).sum(1) > 0).all()


def test_provenance_records_the_number_of_processes(runs: Path) -> None:
    (session,) = json.loads((runs / "ddp/provenance.json").read_text())["sessions"][:1]
    assert session["processes"] == {"world_size": 2, "nodes": 1, "strategy": "ddp", "batch_size": 16, "per_process": 8}
    (session,) = json.loads((runs / "continued by towers/provenance.json").read_text())["sessions"][:1]
    assert session["processes"]["strategy"] == "towers"
    assert session["processes"]["per_process"] == 16
