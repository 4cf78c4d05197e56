"""`reproduce` at toy size: ensemble, pre-training and fine-tuning by one command, stopped and resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Compose

from alexnet_pl.commands import dispatch
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import PredictionFile, concat_blocks
from alexnet_pl.paper.results import collect_tests

pytestmark = pytest.mark.slow

BASE = """
defaults: [imagenette, _self_]
data: {{name: tiny, root: {tiny}, size: 72, batch_size: 16}}
augment: {{crop: 67}}
model: {{num_classes: null}}
logger: csv
performance: {{compile: false}}
trainer: {{max_epochs: 1, limit_train_batches: 3, log_every_n_steps: 1}}
"""
RECIPES = {
    "toy": BASE,
    "toy_before": BASE.replace("tiny, root: {tiny}", "before, root: {before}").replace("num", "conv6: true, num"),
    "toy_fine": BASE.replace("num", "conv6: true, num")
    + """
transfer:
  layers: [conv1, conv2, conv3, conv4, conv5, conv6, fc6, fc7]
  pretrain_recipe: toy_before.yaml
  data_roots: {{before: null}}
schedule:
  name: staged
  staged: {{stages: [{{epoch: 1, weights: {{all: 0.001, conv1: 0}}}}, {{epoch: 1.5, noise: 0}}]}}
""",
    "toy_all": BASE
    + """
transfer: {{data_roots: {{before: null}}}}
ensemble:
  groups:
    cnns: {{recipe: toy.yaml, seeds: [1, 2]}}
    pretrained: {{recipe: toy_fine.yaml, seeds: [1]}}
""",
}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}


def alexnet_pl(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alexnet_pl", *words]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, timeout=500
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores and the recipes of a complete chain."""
    root = tmp_path_factory.mktemp("chain")
    for name, counts in {"tiny": (96, 40), "before": (64, 20)}.items():
        prepare(
            synthetic.list_synthetic(*counts),
            root / name,
            StoreSettings(name, 72, {}),
            partial(synthetic.read_drawn, size=72),
        )
    for name, text in RECIPES.items():
        (root / f"{name}.yaml").write_text(text.format(tiny=root / "tiny", before=root / "before"))
    return root


def state(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def answers(run: Path) -> Any:
    return concat_blocks(list(PredictionFile(run / "results/val-ten/probabilities.parquet").blocks()))


def test_reproduce_makes_an_ensemble_with_pre_training_and_resumes(folder: Path) -> None:
    """Interrupted after its second network has started; the same command then resumes without retraining the first."""
    words = ["ensemble", "-c", "toy_all.yaml", f"transfer.data_roots.before={folder / 'before'}", "hydra.run.dir=made"]
    command = [sys.executable, "-m", "alexnet_pl", *words]
    started = subprocess.Popen(command, cwd=folder, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL)
    members = folder / "made/members"
    for _ in range(1200):
        if (members / "cnns/seed2/fit.json").exists() or started.poll() is not None:
            break
        time.sleep(0.1)
    started.send_signal(signal.SIGTERM)
    assert started.wait(120) == 143
    assert json.loads((members / "cnns/seed1/fit.json").read_text())["finished"]
    assert not (folder / "made/result.json").exists(), "no result of fewer members"
    first = (members / "cnns/seed1/checkpoints/last.ckpt").stat().st_mtime_ns

    done = alexnet_pl(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "training already finished" in done.stdout
    assert (members / "cnns/seed1/checkpoints/last.ckpt").stat().st_mtime_ns == first
    runs = [members / name for name in ("cnns/seed1", "cnns/seed2", "pretrained/seed1")]
    mean = np.mean([np.asarray(answers(run).probabilities, np.float64) for run in runs], 0)
    result = json.loads((folder / "made/result.json").read_text())
    labels = answers(runs[0]).labels
    assert np.array_equal(np.asarray(answers(folder / "made").probabilities), mean.astype(np.float16))
    assert result["images"] == 40
    assert len(result["members"]) == 3
    assert result["top1_error"] == pytest.approx(100 * float((answers(folder / "made").best[:, 0] != labels).mean()))


def test_fine_tuned_network_has_the_recorded_lineage(folder: Path) -> None:
    """Uses the run of the test above: conv1 frozen, fc8 new, lineage recorded, report complete."""
    fine = folder / "made/members/pretrained/seed1"
    before, after = state(fine / "pretrained"), state(fine)
    assert torch.equal(before["net.conv1.weight"], after["net.conv1.weight"]), "its rate was 0"
    assert torch.equal(before["net.conv1.bias"], after["net.conv1.bias"])
    change = (before["net.fc7.weight"] - after["net.fc7.weight"]).abs()
    assert 0 < float(change.max()) < 0.01, "three steps at 0.001 from the earlier values"
    assert not torch.allclose(before["net.fc8.weight"], after["net.fc8.weight"], atol=1e-3)
    (stage,) = json.loads((fine / "result.json").read_text())["lineage"]
    assert (stage["store"]["name"], stage["store"]["images"], stage["finished"]) == ("before", 64, True)
    done = alexnet_pl("report", "report.runs=made", "hydra.run.dir=tables", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Proxy data set, no row of the paper: tiny, " in done.stdout, (
        "two groups, since fine-tuning has other settings"
    )
    assert "40 val images of 10 classes, trained on 96" in done.stdout
    reasons = done.stdout.split("Runs that fill no row of the paper\n")[1].split("\n\n")[0].splitlines()
    assert re.match("made, members/.* and 1 more: data set tiny; the paper's rows are on ilsvrc2010, ", reasons[0]), (
        reasons
    )
    assert "2 of 2 rows: Table 1: ILSVRC-2010, test" in done.stdout
    assert len(collect_tests([folder / "made"])) == 4


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        (
            "toy_fine",
            ["command=fit"],
            r"transfer.data_roots.before is required: pass transfer.data_roots.before=FOLDER",
        ),
        ("toy", ["command=ensemble"], r"ensemble.members is required"),
        ("toy", ["command=ensemble", "ensemble.members=[away,made]"], r"away: no such run folder"),
        ("toy", ["command=ensemble", "ensemble.weights=tuned"], r"ensemble.tune_on=None: choose the images"),
        (
            "toy_all",
            ["command=ensemble", "ensemble.groups.cnns.seeds=[1,1]"],
            r"ensemble.groups.cnns.seeds=\[1, 1\]: one",
        ),
        (
            "toy_fine",
            ["command=fit", "transfer.data_roots.before=before", "model.num_classes=7"],
            r"model.num_classes=7: the store at .*tiny has 10 classes",
        ),
        ("toy_fine", ["command=fit", "transfer.weights=toy.yaml"], r"transfer.weights: toy.yaml is not a checkpoint"),
        ("toy_fine", ["command=fit", "transfer.layers=[]"], r"transfer.layers is empty, so nothing would be copied"),
        ("toy", ["command=report", "report.runs=away"], r"report.runs: away does not exist"),
    ],
)
def test_mistake_is_named_before_any_stage_starts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str], says: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=says):
        dispatch.run(compose(f"{name}.yaml", words), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"metrics.csv"}


def test_mistake_in_a_stage_is_printed_once(folder: Path) -> None:
    words = ["ensemble", "-c", "toy_all.yaml", f"transfer.data_roots.before={folder}", "~ensemble.groups.cnns"]
    done = alexnet_pl(*words, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"data.root: {folder} holds no prepared store" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("alexnet_pl:") == 1, done.stderr


def test_repeated_sweep_reuses_its_folders(folder: Path) -> None:
    """The networks exist; only the views differ."""
    members = folder / "made/members/cnns"
    where = [f"hydra.sweep.dir={members}", "hydra.sweep.subdir=seed${seed}"]
    done = alexnet_pl("reproduce", "-m", "-c", "toy.yaml", "seed=1,2", "test.views=center", *where, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training already finished") == 2
    for seed in (1, 2):
        found = {path.parent.name for path in members.glob(f"seed{seed}/results/*/result.json")}
        assert found == {"val-ten", "val-center"}


def test_run_with_other_settings_is_not_continued(config: Compose, tiny: list[str], tmp_path: Path) -> None:
    few = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2", "model.num_classes=null"]
    cfg = config("imagenette", *tiny, *few, "ckpt_path=auto")
    dispatch.run(cfg, tmp_path)
    cfg.optim.lr, cfg.ckpt_path = 0.02, "auto"
    with pytest.raises(UserError, match=r"optim.lr: the run in .* was started with other values"):
        dispatch.run(cfg, tmp_path)
