"""Linear probe against scipy's L-BFGS-B on the saved features; other stores; the few-shot table."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from photographs import draw
from running import Compose, last, run
from scipy import stats
from scipy.optimize import minimize
from torch.nn import functional as F

from alexnet_pl.config import recipes
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import read_record
from alexnet_pl.retrieval import gallery, linear_probe
from alexnet_pl.retrieval.linear_probe import ProbeResult

PENALTIES = "probe.penalties=[1e-2,1e-3]"


@pytest.fixture(scope="module")
def trained(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, so that these tests do not affect others."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "probed", copy_function=os.link))


def probed(run_folder: Path, *words: str) -> float | None:
    cfg = recipes.compose(str(run_folder), [PENALTIES, *(f"++{word}" for word in words)])
    return run(cfg, "probe", run_folder, last(run_folder))


def scores_by_scipy(folder: Path, result: ProbeResult) -> np.ndarray:
    """(N, classes) scores of the tested images, from a classifier fitted in float64 to the saved training features."""
    train, tested = (np.load(folder / f"{split}-fc7/features.npy").astype(float) for split in ("train", "val"))
    labels = torch.from_numpy(np.load(folder / "train-fc7/labels.npy"))
    mean = train.mean(0)
    scale = np.sqrt(((train - mean) ** 2).sum(1).mean())
    inputs = torch.from_numpy((train - mean) / scale)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.tensor(flat).view(10, -1).requires_grad_()
        total = F.cross_entropy(inputs @ weight[:, 1:].T + weight[:, 0], labels)
        total = total + result.penalty / 2 * weight[:, 1:].square().sum()
        total.backward()
        assert weight.grad is not None
        return total.item(), weight.grad.numpy().ravel()

    found = minimize(loss, np.zeros(10 * (inputs.shape[1] + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    weight = found.x.reshape(10, -1)
    return (tested - mean) / scale @ weight[:, 1:].T + weight[:, 0]


def test_errors_match_scipys_classifier(trained: Path) -> None:
    error = probed(trained)
    result = read_record(trained / "probe/tiny/fc7.json", ProbeResult, "")
    scores, labels = scores_by_scipy(trained / "features", result), np.load(trained / "features/val-fc7/labels.npy")
    wrong = int((scores.argmax(1) != labels).sum())
    assert result.images == 40
    assert error == result.top1_error == pytest.approx(100 * wrong / 40, abs=2.6)  # at most one image is on the border
    interval = stats.binomtest(round(result.top1_error * 0.4), 40).proportion_ci(method="wilson")
    assert result.top1_error_interval == pytest.approx([100 * interval.low, 100 * interval.high])
    best = min(result.penalties, key=lambda one: one.held_out_error)
    assert best.held_out_error == next(one.held_out_error for one in result.penalties if one.penalty == result.penalty)
    assert result.held_out == 20, "a fifth of each class of 9 or 10"


def test_few_shot_errors_have_an_interval_over_draws(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probed(trained, "probe.shots=[1,4]")
    one, four = read_record(trained / "probe/tiny/fc7.json", ProbeResult, "").shots
    assert (one.shots, one.draws, four.shots, len(four.errors)) == (1, 5, 4, 5)
    mean, spread = np.mean(four.errors), stats.sem(four.errors)
    assert four.top1_error == pytest.approx(mean)
    low, high = stats.t.interval(0.95, 4, mean, spread) if spread else (mean, mean)
    assert four.top1_error_interval == pytest.approx([low, high])
    assert f"{four.top1_error:.2f}" in capsys.readouterr().out


def test_probe_of_another_store_and_layer(trained: Path, tmp_path: Path, config: Compose) -> None:
    for number in range(24):
        draw(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", number)
    where = [f"data.root={tmp_path}/two", f"prepare.source={tmp_path}/photos", "prepare.val_share=0.3", "data.size=72"]
    run(config("finetune", *where), "prepare", tmp_path / "prepare")
    probed(trained, f"data.root={tmp_path}/two", "probe.layer=conv5", "probe.held_out=0.4")
    result = read_record(trained / "probe/two/conv5.json", ProbeResult, "")
    assert (result.layer, result.dataset.name, result.dataset.classes) == ("conv5", "two", 2)
    assert result.width == 64 * 3 * 3, "conv5 has 64 maps of 3 × 3 at a quarter of the width and crops of 67 pixels"
    assert not list((trained / "features").glob("*conv5*")), "features of another store lie beside it"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probe.layer=conv9"], "^probe.layer=conv9: one of conv1"),
        (["probe.shots=[1000]"], "probe.shots=1000: a class has"),
        (["probe.penalties=[0]"], "probe.penalties=.*above 0"),
        (["probe.held_out=1"], "probe.held_out=1.0: above 0 and below 1"),
        (["probe.held_out=0.001"], "probe.held_out=0.001: holds out no images"),
        (["data.root=away"], "away"),
    ],
)
def test_mistakes_are_reported_in_one_line(trained: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        probed(trained, *words)
    assert "\n" not in str(error.value)


def test_probe_that_memory_cannot_hold_is_refused_before_features_are_computed(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_probe, "available_memory", lambda device: 10**9)
    monkeypatch.setattr(gallery, "extract_features", None)
    with pytest.raises(
        UserError, match=r"^probe.layer=fc7: fitting 10 classes to 1,024 numbers takes 3 GB .*; there are 1; "
    ):
        probed(trained)


def test_run_folder_without_the_probe_section_works(trained: Path) -> None:
    cfg: Any = recipes.compose(str(trained))
    del cfg.probe
    OmegaConf.set_struct(cfg, True)
    assert run(cfg, "probe", trained, last(trained)) is not None
