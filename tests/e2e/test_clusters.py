"""torchrun and SLURM restart a killed or timed-out job, which ends with the same network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import ONE_THREAD
from processes import end_all, start_command, start_ranks
from running import VAL, fit_in_seconds
from simulated_slurm import JOB, SimulatedSlurm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def words(store: Path) -> list[str]:
    return ["reproduce", "-c", "imagenette", *fit_in_seconds(store), "hydra.run.dir=run"]


@pytest.fixture(scope="module")
def undisturbed(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert end_all(start_ranks(words(tiny_store), folder)) == [0, 0], (folder / "rank0.txt").read_text()
    return folder / "run"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


def assert_identical(run: Path, other: Path) -> None:
    """Bit-identical weights and errors of the test."""
    here, there = weights(run), weights(other)
    assert list(here) == list(there)
    for name, value in here.items():
        assert torch.equal(value, there[name]), name
    errors = [
        {key: value for key, value in result(one).items() if "error" in key or key in ("images", "views")}
        for one in (run, other)
    ]
    assert errors[0] == errors[1]
    assert errors[0]["images"] == VAL


def test_job_restarted_by_torchrun_resumes(tiny_store: Path, undisturbed: Path, tmp_path: Path) -> None:
    script = ROOT / "tests/support/killed_once.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    ended = subprocess.run(
        [*command, str(script), *words(tiny_store)],
        cwd=tmp_path,
        env={**os.environ, **ONE_THREAD, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "signaled").is_file()
    sessions = json.loads((tmp_path / "run/provenance.json").read_text())["sessions"]
    assert [session["command"].split()[0] for session in sessions] == ["fit", "fit", "test"]
    assert_identical(tmp_path / "run", undisturbed)
    ended_report = start_command(["report", "report.runs=run"], tmp_path / "report.txt")
    assert end_all([ended_report]) == [0], (tmp_path / "report.txt").read_text()


def test_job_requeued_by_slurm_resumes(tiny_store: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The batch script as submitit runs it on this machine, with simulated srun and scontrol."""
    submitit = pytest.importorskip("submitit", reason="submitit (extra `sweep`) runs the batch script")
    slurm = SimulatedSlurm(tmp_path)
    executor = submitit.AutoExecutor(tmp_path / "submitit", cluster="local")
    executor.update_parameters(timeout_min=10)
    batch = ["bash", str(ROOT / "scripts/slurm.sbatch"), *words(tiny_store)[1:]]
    script = submitit.helpers.CommandFunction(batch, verbose=False, cwd=str(tmp_path), env=slurm.environment)

    first = executor.submit(script)
    codes = slurm.run_step(interrupted=True)
    assert 138 in codes, (tmp_path / "task0.txt").read_text()  # SIGTERM for the other, if it ends later
    assert first.exception() is not None
    assert slurm.requeued == [f"requeue {JOB}"]
    assert (tmp_path / "wandb_closed").is_file()
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3

    again = executor.submit(script)
    assert slurm.run_step() == [0, 0], (tmp_path / "task0.txt").read_text()
    assert again.exception() is None
    assert slurm.requeued == [f"requeue {JOB}"]
    assert_identical(tmp_path / "run", undisturbed)
