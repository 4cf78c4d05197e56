"""A fit that is interrupted continues to the bit; one that cannot continue is refused."""

import json
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, open_dict
from run_folders import Killed, interrupt, load, rows_without_times, table, whole_and_cut
from running import VAL, last, run

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.errors import UserError
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.training.metrics_file import ResumableMetricsWriter


@pytest.mark.parametrize(("step", "precision"), [(2, "32-true"), (6, "32-true"), (9, "bf16-mixed")])
def test_interrupted_and_resumed_fit_is_bit_identical(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, precision: str
) -> None:
    """Interrupted within an epoch, at its end, and in the second epoch; compares order, augmentation and dropout."""
    cfg.trainer.precision, cfg.performance.checkpoint_minutes = precision, 0
    whole, cut = whole_and_cut(cfg, tmp_path, monkeypatch, step)
    assert (whole["global_step"], whole["epoch"]) == (cut["global_step"], cut["epoch"]) == (12, 1)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, cut["state_dict"][name]), name
    rows = [table(tmp_path / name / "metrics.csv") for name in ("whole", "cut")]
    errors = [[(row["step"], row["val/top1_error"]) for row in of if row["val/top1_error"]] for of in rows]
    assert errors[0] == errors[1]
    assert [step for step, _ in errors[0]] == ["6", "12"]


def test_fit_is_saved_before_submitit_queues_its_job_again(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submitit's handler of SIGUSR2 queues the job again and exits."""
    saved = []

    def queue_again(number: int, frame: object) -> None:
        saved.append((number, load(last(tmp_path))["global_step"]))
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, queue_again)
    try:
        interrupt(monkeypatch, 2, signal.SIGUSR2)
        with pytest.raises(SystemExit) as end:
            run(cfg, "fit", tmp_path)
        assert signal.getsignal(signal.SIGUSR2) is queue_again
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (saved, end.value.code) == ([(signal.SIGUSR2, 2)], -1)


def test_new_fit_does_not_replace_a_run(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_dict(cfg.trainer):
        cfg.trainer.limit_val_batches = 1
    run(cfg, "fit", tmp_path / "run")
    assert "center view, limited by trainer.limit_val_batches=1; " in capsys.readouterr().out
    before = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    said = r"^hydra.run.dir=.*run: holds a run of 12 steps; continue it with `python -m al"
    for node in range(2):  # every process looks, since not all launchers agree on which is the first
        monkeypatch.setenv("NODE_RANK", str(node))
        with pytest.raises(UserError, match=said):
            run(cfg, "fit", tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == before


def test_metrics_csv_after_a_kill_at_any_row_equals_the_uninterrupted_one(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.trainer.log_every_n_steps, cfg.trainer.precision = 2, "32-true"
    run(cfg, "fit", tmp_path / "whole")
    wanted, plain = rows_without_times(tmp_path / "whole"), ResumableMetricsWriter.save
    total = len(table(tmp_path / "whole/metrics.csv"))
    for count in range(total // 2 - 4, total, 3):  # starting before the first checkpoint

        def save(self: ResumableMetricsWriter, count: int = count) -> None:
            plain(self)
            if self.rows == count:
                raise Killed

        cut = tmp_path / f"cut{count}"
        with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
            patch.setattr(ResumableMetricsWriter, "save", save)
            run(cfg, "fit", cut)
        if last(cut).is_file():
            run(cfg, "fit", cut, last(cut))
            assert rows_without_times(cut) == wanted, count


def test_fit_does_not_resume_from_weights_only(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    with pytest.raises(UserError, match=r"best.ckpt holds only weights; a fit resumes from last.ckpt"):
        run(cfg, "fit", tmp_path, tmp_path / "checkpoints/best.ckpt")


def test_finished_fit_says_so_when_resumed(cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    record = json.loads((tmp_path / "fit.json").read_text())
    (tmp_path / "fit.json").write_text(json.dumps({**record, "changed": True, "changed_settings": ["optim.lr"]}))
    capsys.readouterr()
    run(cfg, "fit", tmp_path, last(tmp_path))
    assert "training already finished (1 epoch, 6 steps); a larger trainer.max_epochs continues it" in (
        capsys.readouterr().out
    )
    status = read_fit_status(tmp_path)
    assert status
    assert (status.finished, status.steps) == (True, 6)
    assert (status.changed, status.changed_settings) == (True, ["optim.lr"]), "what fit.json said stays"


def test_changed_rate_of_a_resumed_fit_applies(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    cfg.trainer.max_epochs, cfg.optim.lr = 2, cfg.optim.lr / 10
    capsys.readouterr()
    run(cfg, "fit", tmp_path, last(tmp_path))
    assert "resumed with other settings than before: optim.lr\n" in capsys.readouterr().out
    rates = [row["lr-MomentumSGD/conv1.weight"] for row in table(tmp_path / "metrics.csv")]
    assert [float(rate) for rate in rates if rate] == pytest.approx([10 * cfg.optim.lr, cfg.optim.lr])
    assert json.loads((tmp_path / "fit.json").read_text())["changed_settings"] == ["optim.lr"]
    cfg.trainer.max_epochs = 1
    shutil.rmtree(tmp_path / "checkpoints")
    run(cfg, "fit", tmp_path)  # a new network in the same folder
    assert json.loads((tmp_path / "fit.json").read_text())["changed_settings"] == []


def test_checkpoint_keeps_its_settings_in_another_folder(cfg: DictConfig, tmp_path: Path) -> None:
    """fit.json in the other folder names all changed settings and counts the seconds of both sessions."""
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path / "first")
    before = read_fit_status(tmp_path / "first")
    assert before is not None
    assert (before.changed_settings, before.ended_by) == ([], "max_epochs")
    copied = shutil.copy(last(tmp_path / "first"), tmp_path / "copied.ckpt")
    cfg.trainer.max_epochs, cfg.optim.lr, cfg.optim.momentum = 2, 0.005, 0.8
    run(cfg, "fit", tmp_path / "second", Path(copied))
    after = read_fit_status(tmp_path / "second")
    assert after is not None
    assert after.changed_settings == ["optim.lr", "optim.momentum"]
    assert after.seconds > before.seconds > 0
    assert load(last(tmp_path / "second"))["callbacks"]["FitRecord"]["changed_settings"] == after.changed_settings


def test_fit_is_not_resumed_on_other_images(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path / "run")
    prepare(
        synthetic.list_synthetic(48, VAL),
        tmp_path / "other",
        StoreSettings("tiny", 72, {}),
        partial(synthetic.read_drawn, size=72),
    )
    cfg.data.root, cfg.trainer.max_epochs = str(tmp_path / "other"), 2
    with pytest.raises(UserError, match=r"data.root: the store holds other images \(\w{12}\) than the checkpoint was"):
        run(cfg, "fit", tmp_path / "run", last(tmp_path / "run"))


def test_repeated_reproduce_refuses_another_store_or_seed(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of the folder has neither: the run counted as finished. The same images elsewhere are the same."""
    cfg.trainer.max_epochs, cfg.test.views, here = 1, "center", cfg.data.root
    run(cfg, "reproduce", tmp_path / "run")
    cfg.data.root = str(shutil.copytree(here, tmp_path / "moved"))
    capsys.readouterr()
    run(cfg, "reproduce", tmp_path / "run")
    assert capsys.readouterr().out.count("already ") == 2
    read_image = partial(synthetic.read_drawn, size=72)
    prepare(synthetic.list_synthetic(48, VAL), tmp_path / "other", StoreSettings("tiny", 72, {}), read_image)
    for root, seed, says in ((tmp_path / "other", 0, "data.root: the run in .* other images"), (here, 1, "seed=1: ")):
        cfg.data.root, cfg.seed = str(root), seed
        with pytest.raises(UserError, match=f"^{says}"):
            run(cfg, "reproduce", tmp_path / "run")


def test_moved_run_keeps_its_best_error(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path / "here")
    moved = (tmp_path / "here").rename(tmp_path / "there")
    before = load(last(moved))["callbacks"]
    cfg.trainer.max_epochs = 2
    run(cfg, "fit", moved, last(moved))
    after = load(last(moved))["callbacks"]
    (best,) = [key for key in before if "val/top1_error" in key]
    assert after[best]["best_model_score"] <= before[best]["best_model_score"]
    assert after[best]["best_model_path"] == str(moved / "checkpoints/best.ckpt")
