"""Short codes (§7.1): configs/codes.yaml from features to codes.json, resumed bit for bit; mistakes are named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from code_runs import TRAIN, UNTRAINED, code_config, make_network, read_result
from omegaconf import DictConfig
from run_folders import check_fit_killed_after_saving, table, whole_and_cut
from running import Compose, last, run
from typed_words import type_words

from alexnet_pl.commands.network_of_weights import architecture_of_run
from alexnet_pl.detection.box_weights import open_network_checkpoint
from alexnet_pl.errors import UserError
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.inference.weights import read_weights
from alexnet_pl.reporting.code_tables import code_table, collect_codes
from alexnet_pl.retrieval.codebook import CodeBook, open_codes
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import search_exactly


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return make_network(tmp_path / "net")


@pytest.fixture
def cfg(config: Compose, network: Path) -> DictConfig:
    return code_config(config, network)


@pytest.mark.parametrize("key", ["schedule.name", "model.width", "augment.noise", "transfer.weights"])
def test_typed_settings_of_classifiers_are_refused(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    type_words(monkeypatch, "seed=1", f"{key}=1")
    with pytest.raises(UserError, match=f"^{key}: not for codes"):
        run(cfg, "fit", tmp_path / "run")


def test_interval_longer_than_an_epoch_is_refused(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer = {**cfg.trainer, "val_check_interval": 11}
    with pytest.raises(UserError, match=r"^trainer.val_check_interval=11: an epoch has fewer batches \(10\)"):
        run(cfg, "fit", tmp_path / "codes")


@pytest.mark.parametrize("binary", ["straight_through", "noise"])
@pytest.mark.parametrize("step", [4, 20])
def test_interrupted_and_resumed_fit_is_bit_identical(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, binary: str
) -> None:
    """Interrupted within an epoch and at its end."""
    cfg.codes.binary = binary
    whole, cut = (saved["state_dict"] for saved in whole_and_cut(cfg, tmp_path, monkeypatch, step))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


@pytest.mark.parametrize("step", [4, 15])
def test_killed_fit_continues_to_the_bit(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed within an epoch of ten steps, after a step with a row of metrics.csv."""
    cfg.trainer.log_every_n_steps = 1
    check_fit_killed_after_saving(cfg, tmp_path, monkeypatch, step)
    losses = [row["step"] for row in table(tmp_path / "cut/metrics.csv") if row["train/loss"]]
    assert losses == [str(step) for step in range(1, 31)]


def test_reproduce_trains_tests_and_resumes(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 30
    run(cfg, "reproduce", tmp_path / "codes")
    rows = {row["method"]: row for row in read_result(tmp_path / "codes")["rows"]}
    assert rows["float vectors of fc7, exact"]["recall_6"]["mean"] == 100
    learned, by_chance = rows["auto-encoder on fc7"], 100 * 6 / TRAIN
    assert learned["recall_6"]["mean"] > 3 * by_chance
    assert learned["precision_6"]["mean"] > 80
    assert (learned["bytes"], learned["bits"]) == (2, 12)
    assert set(rows) == {*UNTRAINED, "float vectors of fc7, exact", "auto-encoder on fc7"}
    said = json.loads((tmp_path / "codes/fit.json").read_text())
    run(cfg, "reproduce", tmp_path / "codes")
    assert json.loads((tmp_path / "codes/fit.json").read_text()) == said


def test_fit_that_ends_before_a_validation_is_saved(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer = {**cfg.trainer, "max_steps": 1}
    assert run(cfg, "fit", tmp_path / "codes") is None
    assert torch.load(last(tmp_path / "codes"), weights_only=True)["global_step"] == 1


def test_recall_matches_brute_force_on_the_checkpoints_codes(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    """Recall is computed with sets, from the network's own bits and brute force."""
    run(cfg, "fit", tmp_path / "codes")
    run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    train, val = (Features(network / f"features/{split}-fc7") for split in ("train", "val"))
    book = open_codes(tmp_path / "codes", train)
    codes, queries = (book.net.encode(features.values) for features in (train, val))
    distances = (codes[None] != queries[:, None]).sum(2)
    found = book.nearest(val.values, 100)
    assert np.array_equal(found.distances, np.sort(distances, 1)[:, :100])
    true = search_exactly(train, val.rows(slice(None)), 100).numbers
    shared = [len({*a} & {*b}) for a, b in zip(found.numbers.tolist(), true.tolist(), strict=True)]
    row = next(row for row in read_result(tmp_path / "codes")["rows"] if row["method"] == "auto-encoder on fc7")
    assert row["recall_100"]["mean"] == pytest.approx(np.mean(shared))


def test_pixel_distances_are_compared_with_fc7_neighbors(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.codes.layer = "pixels"
    run(cfg, "reproduce", tmp_path / "codes")
    rows = {row["method"]: row for row in read_result(tmp_path / "codes")["rows"]}
    assert set(rows) == {"float vectors of fc7, exact", "auto-encoder on raw pixels", "float raw pixels, exact"}
    assert rows["float raw pixels, exact"]["recall_6"]["mean"] < 15  # chance level: 6 of 160 are 3.75 %
    assert rows["float raw pixels, exact"]["precision_100"]["mean"] == pytest.approx(100 / 3, abs=4)


@pytest.mark.parametrize("epochs", [-1, None])
def test_number_of_epochs_is_required(cfg: DictConfig, tmp_path: Path, epochs: int | None) -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_epochs=(-1|null): at least 1"):
        run(cfg, "fit", tmp_path / "codes", **{"trainer.max_epochs": epochs})


def test_codes_are_no_network(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes", **{"trainer.max_epochs": 1})
    path = last(tmp_path / "codes")
    with pytest.raises(UserError, match=rf"^ckpt_path: {path} holds short codes, not a network"):
        read_weights(path)
    with pytest.raises(UserError, match=rf"^transfer.weights: {path} holds short codes, not a network"):
        open_earlier_network(str(tmp_path / "codes"))
    with pytest.raises(UserError, match=rf"^transfer.weights: {path} holds short codes, not a network"):
        open_network_checkpoint(str(tmp_path / "codes"))
    with pytest.raises(UserError, match=rf"^ckpt_path: {path} holds short codes, not a network"):
        architecture_of_run(path)


def test_codes_for_other_features_are_refused(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes")
    for split in ("train", "val"):
        path = network / f"features/{split}-fc7/about.json"
        about = json.loads(path.read_text())
        about["checkpoint"]["sha256"] = "b" * 64
        path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"train-fc7: of another checkpoint \(bbbb.*\) than what the codes of "):
        run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    with pytest.raises(UserError, match="of another checkpoint"):
        run(cfg, "fit", tmp_path / "codes", last(tmp_path / "codes"))
    with pytest.raises(UserError, match=r"codes.checkpoint: the run in .* was started with other values"):
        run(cfg, "reproduce", tmp_path / "codes")


def test_code_book_is_cached_and_rebuilt_after_more_training(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes")
    features = Features(network / "features/train-fc7")
    first = CodeBook(last(tmp_path / "codes"), features)
    written = first.path.stat().st_mtime_ns
    assert CodeBook(last(tmp_path / "codes"), features).path.stat().st_mtime_ns == written
    np.save(first.path, 255 - first.codes)  # not what codes/train.json describes
    assert np.array_equal(CodeBook(last(tmp_path / "codes"), features).codes, first.codes)
    cfg.trainer.max_epochs = 4
    run(cfg, "fit", tmp_path / "codes", last(tmp_path / "codes"))
    second = CodeBook(last(tmp_path / "codes"), features)
    assert np.array_equal(np.unpackbits(second.codes, axis=1, count=12), second.net.encode(features.values))
    assert second.path.stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"features": "away"}, "codes.features: away does not exist"),
        ({"bits": 0}, "codes.bits=0: from 1"),
        ({"neighbors": -1}, "codes.neighbors=-1"),
        ({"layer": "fc6"}, "train-fc6: does not exist; make it with"),
        ({"bits": 64}, "codes.bits=64: more than the 24 components"),
        ({"deep": True}, "codes.deep: unknown key"),
    ],
)
def test_mistakes_are_named(cfg: DictConfig, tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    cfg.codes = {**cfg.codes, **keys}
    with pytest.raises(UserError, match=f"^(.*/)?{said}"):
        run(cfg, "reproduce", tmp_path / "codes")


def test_classifier_run_is_refused_as_auto_encoder(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    torch.save({"alexnet_pl": {"switches": {}}, "state_dict": {}, "global_step": 1}, last(tmp_path / "run"))
    features = Features(network / "features/train-fc7")
    with pytest.raises(UserError, match=r"last.ckpt: checkpoint of a network, not of codes"):
        open_codes(tmp_path / "run", features)
    with pytest.raises(UserError, match=r"has no checkpoints/last.ckpt; fit codes first"):
        open_codes(tmp_path, features)
    with pytest.raises(UserError, match=r"^validate: not for codes, only fit, test, reproduce"):
        run(cfg, "validate", tmp_path / "codes")


def test_weight_of_the_neighbor_loss_is_that_of_training(cfg: DictConfig, tmp_path: Path) -> None:
    """Not that of the test's config: a checkpoint may be tested with another."""
    given = cfg.copy()
    given.codes.neighbors = 0.5
    run(given, "fit", tmp_path / "codes")
    run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    assert read_result(tmp_path / "codes")["codes"]["neighbors"] == 0.5
    assert read_result(tmp_path / "codes")["rows"][1]["method"] == "auto-encoder on fc7, neighbor loss × 0.5"
    (tests,) = collect_codes([tmp_path])
    assert code_table(tests).rows[1][0] == "auto-encoder on fc7, neighbor loss × 0.5"
