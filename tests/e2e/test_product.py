"""The installed program: in its own process, in several processes, in a sweep, as a wheel in an empty folder."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import ONE_THREAD, alexnet_pl

from alexnet_pl.evaluation.prediction_file import PredictionFile, concat_blocks

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def same(one: Path, other: Path) -> bool:
    there = weights(other)
    return all(torch.equal(value, there[name]) for name, value in weights(one).items())


def test_prepare_resumes_and_repairs(tmp_path: Path) -> None:
    words = ["prepare", "-c", "demo", "data.size=96", "prepare.images_per_shard=64", "prepare.workers=1"]
    assert alexnet_pl(*words, "data.root=whole", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "alexnet_pl", *words, "data.root=cut"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    for _ in range(1200):
        if len(list(tmp_path.glob("cut.partial/*.npz"))) > 2 or started.poll() is not None:
            break
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "shards are finished; the same command resumes" in said
    done = alexnet_pl(*words, "data.root=cut", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resuming: " in done.stdout
    whole, cut = (json.loads((tmp_path / name / "store.json").read_text()) for name in ("whole", "cut"))
    assert whole == cut

    corrupt = tmp_path / "cut/train-000001.u8"
    corrupt.write_bytes(corrupt.read_bytes()[:-1] + b"?")
    told = alexnet_pl("verify", "data.root=cut", cwd=tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert (
        "train-000001.u8: corrupt (images 64 to 127); prepare … prepare.repair=true repairs files from their source"
        in told.stderr
    )
    mended = alexnet_pl(*words, "data.root=cut", "prepare.repair=true", cwd=tmp_path)
    assert "train-000001.u8 repaired; complete: " in mended.stdout
    assert corrupt.read_bytes() == (tmp_path / "whole/train-000001.u8").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_resumes_from_its_folder(tiny: list[str], tmp_path: Path, number: signal.Signals) -> None:
    words = ["fit", "-c", "imagenette", *tiny, "trainer.max_epochs=5", "trainer.precision=32-true"]
    assert alexnet_pl(*words, "hydra.run.dir=whole", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "alexnet_pl", *words, "hydra.run.dir=cut"]
    with (tmp_path / "output.txt").open("w") as output:
        started = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **ONE_THREAD}, stdout=output)
    for _ in range(600):
        if (tmp_path / "cut/metrics.csv").exists() or started.poll() is not None:
            break
        time.sleep(0.1)
    started.send_signal(number)
    assert started.wait(120) == 128 + number
    said = [line for line in (tmp_path / "output.txt").read_text().splitlines() if line.strip()]
    assert said[-1].startswith("stopped after step "), "below the progress bar"
    asked = next(line for line in said if line.startswith("finishing this step, then saving; "))
    assert ("Ctrl-C again quits without saving" in asked) == (number == signal.SIGINT)
    moved = (tmp_path / "cut").rename(tmp_path / "moved")
    done = alexnet_pl("fit", "-c", "moved", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\n→ moved\n" in done.stdout
    assert same(tmp_path / "whole", moved)


def test_two_processes_count_each_image_once_and_match_a_single_process(tiny: list[str], tmp_path: Path) -> None:
    """40 validation images on 2 processes in batches of 8; without dropout, since each process has its own masks."""
    words = ["fit", "-c", "imagenette", *tiny, "trainer.precision=32-true", "model.dropout=0", "trainer.max_epochs=1"]
    words.append("trainer.limit_train_batches=2")
    assert alexnet_pl(*words, "hydra.run.dir=one", cwd=tmp_path).returncode == 0
    two = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu"]
    done = alexnet_pl(*words, *two, "hydra.run.dir=two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, rtol=1e-3, atol=1e-4)
    done = alexnet_pl("test", "-c", "two", "trainer.precision=32-true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two/result.json").read_text())["images"] == 40
    (tmp_path / "two/results").rename(tmp_path / "results_of_two")
    done = alexnet_pl("test", "-c", "two", "trainer.precision=32-true", "trainer.devices=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = (next(tmp_path.glob(f"{place}/*/probabilities.parquet")) for place in ("two/results", "results_of_two"))
    first, second = (concat_blocks(list(PredictionFile(path).blocks())) for path in (one, two))
    assert first.images == second.images
    assert len(set(second.images)) == 40
    np.testing.assert_allclose(first.probabilities, second.probabilities, atol=2e-3)


def test_sweep_runs_its_jobs_in_separate_folders(tiny: list[str], tmp_path: Path) -> None:
    words = ["fit", "-m", "-c", "imagenette", *tiny, "seed=1,2", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    done = alexnet_pl(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = sorted(path.parent.parent for path in tmp_path.glob("sweep/*/checkpoints/last.ckpt"))
    assert len(runs) == 2
    assert not same(*runs)
    assert not [name for run in runs for name in run.name if name in "=,"]
    assert alexnet_pl("test", "-c", str(runs[1]), cwd=tmp_path).returncode == 0
    assert (runs[1] / "result.json").exists()


def test_wheel_runs_the_demo_from_an_empty_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "wheel"), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    few = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "logger=wandb"]
    done = alexnet_pl("fit", "-c", "demo", *few, cwd=empty, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    (run,) = empty.glob("runs/demo/2*")
    assert {path.name for path in run.iterdir()} >= {"kernels.png", "metrics.csv", "wandb", "wandb_id.txt"}
    done = alexnet_pl(
        "test", "-c", "demo", "trainer.limit_test_batches=1", cwd=empty, PYTHONPATH=str(tmp_path / "site")
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "result.json").read_text())["images"] == 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fit", "-c", "demo", "trainer.accelerator=gpu"], "trainer.accelerator=gpu: not available; one of auto, cpu"),
        (["fit", "-c", "imagenette", "data.root=nowhere"], "data.root: nowhere does not exist; make one"),
        (["fit", "-c", "imagenette"], "data.root is required"),
        (["prepare", "-c", "imagenette", "data.root=s"], "prepare.source is required"),
        (["prepare", "-c", "imagenette", "data.root=s", "prepare.source=away"], "prepare.source: away does not exist"),
        (["test", "-c", "demo", "ckpt_path=text.ckpt"], "text.ckpt is not a checkpoint of alexnet_pl"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the first mistake is none on a machine with a GPU")
def test_bad_input_gets_one_line_and_exit_code_2(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    done = alexnet_pl(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert not list(tmp_path.glob("runs/*/*")), "a run folder of a run that never was"
