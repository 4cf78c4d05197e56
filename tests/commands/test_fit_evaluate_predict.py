"""fit, validate, test and predict end to end, on a store of 96 drawn images."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image
from run_folders import load, table, whole_and_cut
from running import TRAIN, VAL, Compose, last, run
from torch.nn import functional as F

from alexnet_pl.commands import evaluate
from alexnet_pl.commands.prepare import report_nonstandard
from alexnet_pl.data.prepare import pipeline
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.confusions import read_top_classes
from alexnet_pl.evaluation.result import load_result
from alexnet_pl.experiment import build
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.training.loggers import ResumableMetricsWriter

Fit = Callable[..., Path]


@pytest.fixture
def cfg(config: Compose, tiny: list[str]) -> DictConfig:
    return config("imagenette", *tiny)


@pytest.mark.parametrize(("step", "precision"), [(2, "32-true"), (6, "32-true"), (9, "bf16-mixed")])
def test_interrupted_and_resumed_fit_is_bit_identical(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, precision: str
) -> None:
    """Interrupted within an epoch, at its end, and in the second epoch; compares order, augmentation and dropout."""
    cfg.trainer.precision = precision
    whole, cut = whole_and_cut(cfg, tmp_path, monkeypatch, step)
    assert (whole["global_step"], whole["epoch"]) == (cut["global_step"], cut["epoch"]) == (12, 1)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, cut["state_dict"][name]), name
    rows = [table(tmp_path / name / "metrics.csv") for name in ("whole", "cut")]
    errors = [[(row["step"], row["val/top1_error"]) for row in of if row["val/top1_error"]] for of in rows]
    assert errors[0] == errors[1]
    assert [step for step, _ in errors[0]] == ["6", "12"]


def test_errors_in_metrics_csv_are_numbers_of_images(cfg: DictConfig, tmp_path: Path) -> None:
    """Not their rounding in float32, such as 92.5000011920929 for 37 of 40 images."""
    run(cfg, "fit", tmp_path / "run")
    exact = [100 * wrong / count for count in range(1, 129) for wrong in range(count + 1)]
    printed = {str(number) for error in exact for number in (error, float(str(np.float32(error))))}
    rows = table(tmp_path / "run/metrics.csv")
    for name in ("train/top1_error", "train/epoch_top1_error", "val/top1_error", "val/top5_error"):
        cells = {row[name] for row in rows if row[name]}
        assert cells, name
        assert cells <= printed, name


def test_new_fit_does_not_replace_a_run(cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_dict(cfg.trainer):
        cfg.trainer.limit_val_batches = 1
    run(cfg, "fit", tmp_path / "run")
    assert "center view, limited by trainer.limit_val_batches=1; " in capsys.readouterr().out
    before = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    with pytest.raises(
        UserError, match=r"^hydra.run.dir=.*run: holds a run of 12 steps; continue it with `python -m al"
    ):
        run(cfg, "fit", tmp_path / "run")
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == before


TIMES = ("train/images_per_second",)


def rows_without_times(run_folder: Path) -> list[dict[str, str]]:
    found = [
        {key: value for key, value in row.items() if value and key not in TIMES}
        for row in table(run_folder / "metrics.csv")
    ]
    return [row for row in found if set(row) != {"step"}]


class Killed(BaseException):
    """Like SIGKILL: none of our code runs any more."""


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


def test_optimized_and_eager_training_agree(cfg: DictConfig, tmp_path: Path) -> None:
    """Memory layout and fused update change only the order of sums."""
    cfg.trainer.precision, cfg.trainer.max_epochs = "32-true", 1
    run(cfg, "fit", tmp_path / "fast")
    cfg.performance.optimized = cfg.performance.retain_memory = False
    run(cfg, "fit", tmp_path / "plain")
    fast, plain = (load(last(tmp_path / name))["state_dict"] for name in ("fast", "plain"))
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-3, atol=1e-4)


def test_fit_writes_every_file_of_the_run_folder(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(cfg, "fit", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "checkpoints",
        "metrics.csv",
        "kernels.png",
        "provenance.json",
    }
    with Image.open(tmp_path / "kernels.png") as picture:
        assert picture.size == (16 * 48 + 4, 2 * 48 + 4)  # 24 kernels, since the width is a quarter
    kernels = load(last(tmp_path))["state_dict"]["net.conv1.weight"].double()
    colors = json.loads((tmp_path / "kernels.json").read_text())
    assert colors["towers"] == 2
    assert colors["total"] == pytest.approx(kernels.square().sum((1, 2, 3)).tolist())
    assert colors["color"] == pytest.approx((3 * kernels.var(1, correction=0)).sum((1, 2)).tolist())
    (session,) = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert session["store"]["fingerprint"] == Store(Path(cfg.data.root)).fingerprint
    assert session["packages"]["torch"] == version("torch")
    rows = table(tmp_path / "metrics.csv")
    assert [float(row["val/top1_error"]) for row in rows if row["val/top1_error"]][-1] <= 100
    assert {float(row["lr-MomentumSGD/conv1.bias"]) for row in rows if row["lr-MomentumSGD/conv1.bias"]} == {0.02}
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("→ ")


def ten_views_by_hand(cfg: DictConfig, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean softmax over four corners, center and their reflections, computed by slicing; labels)."""
    module = build.make_module(cfg).eval()
    module.load_state_dict(load(last(folder))["state_dict"])
    store = Store(Path(cfg.data.root))
    images = store.split("val").to_device(torch.device("cpu"))[0].float()
    center = torch.from_numpy(store.mean).float()[:, 2:69, 2:69]
    crops = [images[:, :, y : y + 67, x : x + 67] - center for y, x in [(0, 0), (0, 5), (5, 0), (5, 5), (2, 2)]]
    with torch.inference_mode():
        views = [F.softmax(module.net(view), 1) for crop in crops for view in (crop, (crop + center).flip(3) - center)]
    return torch.stack(views).mean(0), torch.from_numpy(store.split("val").labels)


def test_test_counts_every_image_once_with_ten_views(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.precision = "32-true"
    run(cfg, "fit", tmp_path)
    top1 = run(cfg, "test", tmp_path, last(tmp_path))
    result = json.loads((tmp_path / "result.json").read_text())
    mean, labels = ten_views_by_hand(cfg, tmp_path)
    assert result["images"] == VAL
    assert result["top1_error"] == top1 == pytest.approx(100 * float((mean.argmax(1) != labels).double().mean()))
    right5 = (mean.topk(5).indices == labels[:, None]).any(1)
    assert result["top5_error"] == pytest.approx(100 * float((~right5).double().mean()))
    assert result["nll"] == pytest.approx(float(F.nll_loss(mean.log(), labels)), rel=1e-4)
    fingerprint = Store(Path(cfg.data.root)).fingerprint
    assert {key: result["dataset"][key] for key in ("name", "fingerprint", "split", "images")} == {
        "name": "tiny",
        "fingerprint": fingerprint,
        "split": "val",
        "images": VAL,
    }
    assert result["checkpoint"]["step"] == 12
    assert (result["views"], result["claim"]) == ("ten", None)
    low, high = result["top1_error_interval"]
    assert low < top1 < high


def test_validate_repeats_the_last_validation_of_the_fit(cfg: DictConfig, tmp_path: Path) -> None:
    at_end = run(cfg, "fit", tmp_path)
    assert run(cfg, "validate", tmp_path, last(tmp_path)) == pytest.approx(at_end)
    assert json.loads((tmp_path / "validation.json").read_text())["views"] == "center"


def test_predict_works_without_the_store(cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(cfg, "fit", tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(synthetic.draw_image(index, 90)[0].transpose(1, 2, 0)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    cfg.data.root = str(tmp_path / "gone")
    run(cfg, "predict", tmp_path, last(tmp_path), **{"predict.images": str(folder)})
    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    for row in rows:
        probabilities = [label["probability"] for label in row["labels"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert {label["name"] for label in row["labels"]} <= {name for _, name in synthetic.CLASSES}
    assert len(table(tmp_path / "predictions.csv")) == 15
    assert "not read: " in (said := capsys.readouterr().out)
    assert "broken.jpg" in said


def test_diverging_fit_stops_with_a_message(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.optim.lr = 1e4
    for every in (1, 6):
        OmegaConf.update(cfg, "trainer", {"log_every_n_steps": every, "val_check_interval": 3}, force_add=True)
        with pytest.raises(UserError, match=r"the training loss is .* try a smaller optim.lr"):
            run(cfg, "fit", tmp_path / str(every))
        assert not last(tmp_path / str(every)).exists(), "checked before saving, not only when logged"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model.towers", 1, "model.towers=2, this recipe model.towers=1"),
        ("model.overlap", False, "model.overlap=True, this recipe model.overlap=False"),
        ("augment.crop", 71, "augment.crop=67, this recipe augment.crop=71"),
    ],
)
def test_checkpoint_of_another_network_is_refused_naming_the_setting(
    cfg: DictConfig, tmp_path: Path, key: str, value: object, says: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    section, name = key.split(".")
    cfg[section][name] = value
    with pytest.raises(UserError, match=says):
        run(cfg, "test", tmp_path, last(tmp_path))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("data.root", "nowhere", "data.root: nowhere does not exist; make one"),
        ("data.name", "imagenette", "data.name: the store at .* has tiny, the recipe imagenette"),
        ("data.size", 80, "data.size: the store at .* has 72, the recipe 80"),
        ("model.num_classes", 7, "model.num_classes=7: the store at .* has 10 classes"),
    ],
)
def test_store_that_does_not_fit_the_recipe_is_refused(
    cfg: DictConfig, tmp_path: Path, key: str, value: object, says: str
) -> None:
    section, name = key.split(".")
    cfg[section][name] = value
    with pytest.raises(UserError, match=says):
        run(cfg, "fit", tmp_path)
    assert not list(tmp_path.iterdir())


def test_wrong_number_of_classes_is_refused_before_the_demo_is_drawn(config: Compose, tmp_path: Path) -> None:
    cfg = config("demo", f"data.root={tmp_path / 'store'}", "model.num_classes=7")
    with pytest.raises(UserError, match=r"model.num_classes=7: the store at .* has 10 classes"):
        run(cfg, "fit", tmp_path)
    assert not list(tmp_path.iterdir())


def test_demo_is_not_drawn_at_a_mistyped_path(config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "make_store", lambda options: pytest.fail(f"drew {options.root}"))
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs/a.jpg").touch()
    for root, says in {
        "mistyped/store": "mistyped/store: there is no folder .*mistyped, so the demo's images are not drawn; give ",
        "photographs/a.jpg/store": "there is no folder .*a.jpg, so",
        "photographs": "photographs holds no prepared store",
        "photographs/a.jpg": "a.jpg holds no prepared store",
    }.items():
        with pytest.raises(UserError, match=f"^data.root: .*{says}[^\n]*$"):
            run(config("demo", "logger=csv", f"data.root={tmp_path / root}"), "fit", tmp_path / "run")
    assert not (tmp_path / "mistyped").exists()
    assert [path.name for path in (tmp_path / "photographs").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("root", ["new", "data/new"])
def test_folder_is_named_before_the_demo_is_drawn_there(
    root: str, config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recipes draw in data/, which need not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "make_store", lambda options: print(f"draws {options.root}"))
    data = build.make_data(config("demo", f"data.root={root}"))
    data.check()
    data.prepare_data()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"data.root: {root} does not exist; the demo's images are drawn there", f"draws {root}"]


def test_preparing_twice_does_nothing_the_second_time(
    config: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, numbers in {"train": range(20), "val": range(20, 30)}.items():
        for index in numbers:
            folder = tmp_path / "copy" / split / synthetic.CLASSES[index % 10][0]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(synthetic.draw_image(index, 40)[0].transpose(1, 2, 0)).save(folder / f"{index}.png")
    cfg = config("imagenette", f"prepare.source={tmp_path / 'copy'}", f"data.root={tmp_path / 'store'}", "data.size=32")
    run(cfg, "prepare", tmp_path)
    first, written = capsys.readouterr().out, (tmp_path / "store/store.json").stat().st_mtime_ns
    run(cfg, "prepare", tmp_path)
    again = capsys.readouterr().out
    assert "20 train, 10 val images of 10 classes" in first
    assert "0 unreadable images left out, 30 of other formats converted to RGB" in first
    assert again.startswith("already prepared: 20 train, 10 val images")
    assert (tmp_path / "store/store.json").stat().st_mtime_ns == written


def test_one_unreadable_image_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.json").write_text('[{"name": "a.jpg", "done": "left out", "what": "not an image"}]')
    report_nonstandard({"odd": 0, "unreadable": 1}, tmp_path)
    assert "1 unreadable image left out, 0 of other formats converted to RGB" in capsys.readouterr().out


def test_test_split_without_labels_is_not_scored(config: Compose, tiny: list[str], tmp_path: Path) -> None:
    """The labels of ILSVRC-2012's test split were never released. Its predictions are saved if requested."""
    drawn = synthetic.list_synthetic(TRAIN, VAL)
    unknown = [item._replace(label=-1) for item in drawn.splits["val"]]
    source = replace(drawn, splits={**drawn.splits, "test": unknown})
    prepare(source, tmp_path / "store", StoreSettings("tiny", 72, {}), partial(synthetic.read_drawn, size=72))
    data = build.make_data(config("imagenette", *tiny, f"data.root={tmp_path / 'store'}"))
    assert data.test_split_name == "val"
    data = build.make_data(config("imagenette", *tiny, f"data.root={tmp_path / 'store'}", "test.split=test"))
    assert data.test_split_name == "test"
    cfg = config("imagenette", *tiny, f"data.root={tmp_path / 'store'}", "test.split=test")
    run(cfg, "fit", tmp_path / "run")
    assert run(cfg, "test", tmp_path / "run", last(tmp_path / "run")) is None
    assert not list((tmp_path / "run").rglob("result.json"))
    labels, best = read_top_classes(tmp_path / "run/results/test-ten/probabilities.parquet")
    assert set(labels) == {-1}
    assert best.shape == (VAL, 5)


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
    (tmp_path / "run/.hydra").mkdir(parents=True)
    OmegaConf.save(cfg, tmp_path / "run/.hydra/config.yaml")  # as Hydra does
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


def test_test_of_another_store_does_not_count(cfg: DictConfig, tiny_run: Path, tmp_path: Path) -> None:
    cfg.test.views, cfg.ckpt_path = "center", str(last(tiny_run))
    assert evaluate.finished_test(cfg, tiny_run) == tiny_run / "results/val-center"
    read_image = partial(synthetic.read_drawn, size=72)
    prepare(synthetic.list_synthetic(48, VAL), tmp_path / "other", StoreSettings("tiny", 72, {}), read_image)
    cfg.data.root = str(tmp_path / "other")
    assert evaluate.finished_test(cfg, tiny_run) is None


def test_result_records_the_training_images_and_seed(cfg: DictConfig, tmp_path: Path) -> None:
    """The recorded seed is that of the training, whatever the seed of the test."""
    cfg.seed = 3
    run(cfg, "fit", tmp_path / "run")
    cfg.seed = 0
    run(cfg, "test", tmp_path / "run", last(tmp_path / "run"))
    result = load_result(tmp_path / "run")
    assert result["seed"] == 3
    assert result["trained"]["store"]["fingerprint"] == result["dataset"]["fingerprint"]
    assert result["checkpoint"]["weights"] != result["checkpoint"]["sha256"]


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


def test_predict_with_only_unreadable_files_fails(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(UserError, match=r"images: none of 1 could be read; .*note.txt: not an image"):
        run(cfg, "predict", tmp_path, last(tmp_path), **{"predict.images": str(tmp_path / "note.txt")})
    assert not (tmp_path / "predictions.csv").exists()


def test_incomplete_test_is_repeated(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its probabilities were saved, but not its tables."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "write_confusions", killed)
    (tmp_path / "run/.hydra").mkdir(parents=True)
    OmegaConf.save(cfg, tmp_path / "run/.hydra/config.yaml")  # as Hydra does
    with pytest.raises(KeyboardInterrupt):
        run(cfg, "reproduce", tmp_path / "run")
    monkeypatch.undo()
    for already in (False, True):
        error = run(cfg, "reproduce", tmp_path / "run")
        assert ("already tested" in capsys.readouterr().out) == already
        for place in ("result.json", "results/val-ten/result.json"):
            assert json.loads((tmp_path / "run" / place).read_text())["top1_error"] == pytest.approx(error)
    assert (tmp_path / "run/results/val-ten/confusions.csv").is_file()
    assert not list((tmp_path / "run").rglob("*.tmp"))
