"""`last.ckpt` is saved every `performance.checkpoint_minutes`, also within epochs. A killed fit continues from it to
the bit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from run_folders import Killed, assert_same, interrupt, load, rows_without_times, table, whole_and_cut
from running import last, run

from alexnet_pl.training import checkpointing
from alexnet_pl.training.checkpointing import AtomicCheckpointIO
from alexnet_pl.training.classifier import Classifier

STEPS = 6  # of an epoch


def record_saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of steps of the `last.ckpt` that a fit saves from now on."""
    saved, plain = [], AtomicCheckpointIO.save_checkpoint

    def save(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: str | Path, **rest: Any) -> None:
        if Path(path).name == "last.ckpt":
            saved.append(checkpoint["global_step"])
        plain(self, checkpoint, path, **rest)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
    return saved


def pass_minutes(monkeypatch: pytest.MonkeyPatch, minutes: float) -> None:
    """Let each step take so many minutes, and validations and saving no time."""
    steps, plain = [0], Classifier.count_step

    def count_step(self: Classifier) -> None:
        plain(self)
        steps[0] += 1

    monkeypatch.setattr(Classifier, "count_step", count_step)
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(monotonic=lambda: 60 * minutes * steps[0]))


@pytest.mark.parametrize(
    ("minutes", "of_step", "steps"),
    [
        (7, 1, [6, 13, 20, 27, 30]),  # after the first validation, then within epochs
        (12, 1, [6, 18, 30]),  # due when an epoch ends: after its validation
        (4, 1, [4, 8, 12, 16, 20, 24, 28, 30]),
        (30, 0.5, [6, 30]),  # a run shorter than the interval
        (0, 1, [6, 12, 18, 24, 30]),
    ],
)
def test_last_checkpoint_is_saved_when_due_and_at_the_end(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, of_step: float, steps: list[int]
) -> None:
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs = minutes, 5
    saved = record_saves(monkeypatch)
    pass_minutes(monkeypatch, of_step)
    run(cfg, "fit", tmp_path)
    assert saved == steps


@pytest.mark.parametrize(
    ("minutes", "killed", "saved", "precision"),
    [
        (4, "step 5", 4, "32-true"),  # before the first validation
        (4, "validation 1", 4, "bf16-mixed"),
        (4, "step 11", 8, "32-true"),  # an epoch after one whose validation saved nothing
        (5, "validation 2", 10, "32-true"),
    ],
)
def test_fit_killed_in_a_long_epoch_continues_from_within_it_to_the_bit(
    cfg: DictConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    killed: str,
    saved: int,
    precision: str,
) -> None:
    """Weights, velocities, random states, metrics.csv and the test's errors are those of a fit that was not killed and
    saved nothing within its epochs."""
    cfg.trainer.precision, cfg.trainer.log_every_n_steps, cfg.test.views = precision, 2, "center"
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    cfg.performance.checkpoint_minutes = 0  # then the last validation saves, as it must for comparing counters
    run(cfg, "fit", whole)
    cfg.performance.checkpoint_minutes = minutes
    with monkeypatch.context() as patch:
        pass_minutes(patch, 1)
        with pytest.raises(Killed):  # noqa: PT012
            kill_in(patch, killed)
            run(cfg, "fit", cut)
    assert load(last(cut))["global_step"] == saved
    cfg.performance.checkpoint_minutes = 0
    run(cfg, "fit", cut, last(cut))
    assert_same_state(load(last(whole)), load(last(cut)))
    assert_same_state(*(load(folder / "checkpoints/best.ckpt") for folder in (whole, cut)))
    assert rows_without_times(cut) == rows_without_times(whole)
    for folder in (whole, cut):
        run(cfg, "test", folder, last(folder))
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, cut)]
    errors = ("top1_error", "top5_error", "nll", "images")
    assert [results[1].get(name) for name in errors] == [results[0].get(name) for name in errors]


def kill_in(patch: pytest.MonkeyPatch, where: str) -> None:
    """Kill the fit at the start of `step` number n, or in the n-th validation."""
    stage, number = where.split()
    name = {"step": "training_step", "validation": "validation_step"}[stage]
    plain, steps = getattr(Classifier, name), int(number) - 1 if stage == "step" else STEPS * int(number)

    def kill(self: Classifier, *args: Any) -> Any:
        if self.global_step == steps:
            raise Killed
        return plain(self, *args)

    patch.setattr(Classifier, name, kill)


def assert_same_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Weights, velocities, random states and counters; not paths, times, and counters of validations alone."""
    parts = ("epoch", "global_step", "state_dict", "optimizer_states", "metrics_rows", "ImageStore")
    pairs = [(checkpoint.get(part), part) for part in parts for checkpoint in (one, other)]
    pairs += [(checkpoint["alexnet_pl"]["sums"], "sums") for checkpoint in (one, other)]
    pairs += [(checkpoint.get("callbacks", {}).get("RandomState"), "random") for checkpoint in (one, other)]
    for (here, name), (there, _) in zip(pairs[::2], pairs[1::2], strict=True):
        assert_same(here, there, name)


@pytest.mark.parametrize("step", [5, 6, 7])
def test_fit_that_validates_rarely_continues_to_the_bit(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Interrupted before, at, and after the end of an epoch without validation."""
    OmegaConf.update(cfg, "trainer", {"check_val_every_n_epoch": 2, "precision": "32-true"}, force_add=True)
    cfg.performance.checkpoint_minutes = 0
    whole, cut = whole_and_cut(cfg, tmp_path, monkeypatch, step)
    assert_same_state(whole, cut)
    assert rows_without_times(tmp_path / "cut") == rows_without_times(tmp_path / "whole")


def test_saving_before_a_validation_within_an_epoch_does_not_skip_it(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning skips the validation of the step that a checkpoint was saved in."""
    OmegaConf.update(cfg, "trainer", {"val_check_interval": 3}, force_add=True)
    run(cfg, "fit", tmp_path / "whole")
    cfg.performance.checkpoint_minutes = 3
    with monkeypatch.context() as patch:
        pass_minutes(patch, 1)
        with pytest.raises(Killed):  # noqa: PT012
            kill_in(patch, "step 9")
            run(cfg, "fit", tmp_path / "cut")
    run(cfg, "fit", tmp_path / "cut", last(tmp_path / "cut"))
    assert rows_without_times(tmp_path / "cut") == rows_without_times(tmp_path / "whole")


def test_signal_before_a_validation_within_an_epoch_does_not_skip_it(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OmegaConf.update(cfg, "trainer", {"val_check_interval": 3}, force_add=True)
    run(cfg, "fit", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):  # noqa: PT012
        interrupt(patch, 3)
        run(cfg, "fit", tmp_path / "cut")
    run(cfg, "fit", tmp_path / "cut", last(tmp_path / "cut"))
    assert rows_without_times(tmp_path / "cut") == rows_without_times(tmp_path / "whole")


def test_killed_fit_repeats_the_epochs_after_its_last_checkpoint(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs, cfg.trainer.precision = 60, 4, "32-true"
    run(cfg, "fit", tmp_path / "whole")

    plain = checkpointing.LastCheckpoint.on_train_epoch_end

    def kill(self: checkpointing.LastCheckpoint, trainer: L.Trainer, module: L.LightningModule) -> None:
        plain(self, trainer, module)
        if trainer.current_epoch == 2:
            raise Killed

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(checkpointing.LastCheckpoint, "on_train_epoch_end", kill)
        run(cfg, "fit", cut)
    assert load(last(cut))["global_step"] == STEPS, "that of the first epoch"
    run(cfg, "fit", cut, last(cut))
    whole, resumed = load(last(tmp_path / "whole")), load(last(cut))
    assert (resumed["global_step"], resumed["epoch"]) == (whole["global_step"], whole["epoch"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    best = [load(run / "checkpoints/best.ckpt")["state_dict"] for run in (tmp_path / "whole", cut)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


def test_longer_fit_continues_from_the_checkpoint_of_the_end(cfg: DictConfig, tmp_path: Path) -> None:
    """The end of a fit is saved after the last epoch was counted, unlike the end of an epoch."""
    cfg.performance.checkpoint_minutes, cfg.trainer.max_epochs, cfg.trainer.precision = 60, 4, "32-true"
    run(cfg, "fit", tmp_path / "whole")
    cfg.trainer.max_epochs = 2
    run(cfg, "fit", tmp_path / "longer")
    assert load(last(tmp_path / "longer"))["global_step"] == 2 * STEPS
    cfg.trainer.max_epochs = 4
    run(cfg, "fit", tmp_path / "longer", last(tmp_path / "longer"))
    whole, longer = load(last(tmp_path / "whole")), load(last(tmp_path / "longer"))
    assert (longer["global_step"], longer["epoch"]) == (whole["global_step"], whole["epoch"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, longer["state_dict"][name]), name
    errors = [[row["val/top1_error"] for row in table(run / "metrics.csv")] for run in tmp_path.iterdir()]
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    "options",
    [
        {"val_check_interval": 3},
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": 2, "limit_val_batches": 0},
    ],
    ids=str,
)
def test_best_checkpoint_by_training_error_does_not_depend_on_validations(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """It was not saved, or by the error of the epoch before; without validations, last.ckpt was saved only at the
    end."""
    cfg.objective, cfg.schedule.name, cfg.trainer.max_epochs = "train/epoch_top1_error", "steps", 3
    cfg.performance.checkpoint_minutes = 0
    OmegaConf.update(cfg, "trainer", options, force_add=True)
    saved = record_saves(monkeypatch)
    run(cfg, "fit", tmp_path)
    errors = [
        float(row["train/epoch_top1_error"]) for row in table(tmp_path / "metrics.csv") if row["train/epoch_top1_error"]
    ]
    best = load(tmp_path / "checkpoints/best.ckpt")["global_step"]
    assert best == STEPS * (1 + errors.index(min(errors)))
    if "limit_val_batches" in options:
        assert saved == [STEPS, 2 * STEPS, 3 * STEPS]


def test_error_of_images_trained_on_chooses_no_network(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the second epoch on, of 136 images: 8 batches of 16."""
    cfg.schedule.name, cfg.trainer.max_epochs, cfg.data.include_val_after_epoch = "steps", 3, 1
    objective = run(cfg, "fit", tmp_path)
    errors = {
        row["step"]: float(row["val/top1_error"]) for row in table(tmp_path / "metrics.csv") if row["val/top1_error"]
    }
    assert list(errors) == ["6", "14", "22"]
    assert load(tmp_path / "checkpoints/best.ckpt")["global_step"] == 6
    assert objective == pytest.approx(errors["6"])
    assert ", center view, of images trained on; " in capsys.readouterr().out
    assert load(last(tmp_path))["global_step"] == 22, "the network of the last epoch is the one to test"


def test_last_line_names_the_step_of_an_earlier_validation(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg.schedule.name, cfg.trainer.max_epochs = "steps", 3
    OmegaConf.update(cfg, "trainer", {"check_val_every_n_epoch": 2}, force_add=True)
    run(cfg, "fit", tmp_path / "rare")
    assert ", center view, after step 12; " in capsys.readouterr().out
    cfg.trainer.max_epochs = 2
    run(cfg, "fit", tmp_path / "last")
    assert ", center view; " in capsys.readouterr().out
