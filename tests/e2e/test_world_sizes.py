"""World sizes one, three and four: each image is read once over all processes, and results agree."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from running import VAL
from world_sizes import BATCH, COMMANDS, STEPS, run_world

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, concat_blocks
from alexnet_pl.retrieval.features import Features

pytestmark = pytest.mark.slow
BYTES = 3 * 72 * 72  # per image
WORLDS = (1, 3, 4)  # test_two_processes.py tests two


@pytest.fixture(scope="module")
def runs(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("worlds")
    made = {world: folder / str(world) for world in WORLDS}
    for world, run in made.items():
        run.mkdir()
        run_world(world, tiny_store, run)
    return made


def reads(run: Path, world: int, command: str, split: str) -> list[list[int]]:
    """Images of a split that each process has read, each completely."""
    found = [json.loads((run / f"reads{rank}.json").read_text())[command] for rank in range(world)]
    assert {size for part in found for _, _, size in part} == {BYTES}
    return [[index for name, index, _ in part if name == split] for part in found]


@pytest.mark.parametrize("world", WORLDS)
def test_each_process_reads_only_its_part_of_every_training_batch(runs: dict[int, Path], world: int) -> None:
    shares, train = reads(runs[world], world, "fit", "train"), 96
    order = epoch_order(train, seed=0, epoch=0)[: STEPS * BATCH].reshape(STEPS, world, BATCH // world)
    for rank, share in enumerate(shares):
        assert share == order[:, rank].flatten().tolist()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_validation_image_is_read_once(runs: dict[int, Path], world: int, command: str) -> None:
    shares = reads(runs[world], world, command, "val")
    assert Counter(index for share in shares for index in share) == dict.fromkeys(range(VAL), 1)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("world", WORLDS[1:])
def test_results_match_one_process(runs: dict[int, Path], world: int) -> None:
    """Weights to 1e-4 of their norm, since the order of sums differs; counts and errors exactly."""
    one, several = runs[1], runs[world]
    for name in ("result.json", "validation.json"):
        here, there = (json.loads((run / name).read_text()) for run in (several, one))
        assert here["images"] == VAL
        assert {key: here[key] for key in ("top1_error", "top5_error")} == {
            key: there[key] for key in ("top1_error", "top5_error")
        }
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (one, several)]
    for name, value in states[0].items():
        assert (states[1][name] - value).norm() <= 1e-4 * value.norm()
    assert logged(several, "train/loss") == pytest.approx(logged(one, "train/loss"), rel=1e-5)


@pytest.mark.parametrize("world", WORLDS[1:])
def test_predictions_and_features_have_the_order_of_the_split(runs: dict[int, Path], world: int) -> None:
    one, several = (predictions(runs[number]) for number in (1, world))
    assert several.images == one.images
    assert len(set(several.images)) == VAL
    np.testing.assert_allclose(several.probabilities, one.probabilities, atol=2e-3)  # saved as float16
    rows = [Features(runs[number] / "features/val-fc7").rows(slice(None)) for number in (1, world)]
    np.testing.assert_allclose(rows[1], rows[0], atol=2e-3 * float(np.abs(rows[0]).max()))


def predictions(run: Path) -> Block:
    (path,) = run.glob("results/*/probabilities.parquet")
    return concat_blocks(list(PredictionFile(path).blocks()))


def logged(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
