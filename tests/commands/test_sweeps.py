"""Sweeps by W&B agents and by Hydra's launchers joblib and submitit on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import ONE_THREAD
from hydra import compose, initialize_config_dir
from processes import end_all, start_command, wait_for

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config.recipes import SHIPPED

PAGE = Path(__file__).parents[2] / "docs/how-to/sweeps.md"


def test_command_line_of_a_wandb_agent_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the sweep of the documentation with W&B's own agent, up to starting the process."""
    from wandb import wandb_agent

    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    for name in ("WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, str(tmp_path))  # restored after the test
    agent = wandb_agent.Agent(api=None, queue=None)
    agent._sweep_command = yaml.safe_load(text)["command"]
    agent._command_run({"run_id": "one", "program": "", "args": {"optim.lr": {"value": 0.004}, "seed": {"value": 3}}})

    (line,) = started
    assert line[:3] == ["python", "-m", "alexnet_pl"]
    words = to_hydra(line[3:])
    with initialize_config_dir(words[0].partition("=")[2], version_base="1.3"):
        cfg = compose("imagenette", [f"hydra.searchpath=[file://{SHIPPED}]", *words[3:]])
    assert (cfg.command, cfg.optim.lr, cfg.seed, cfg.data.root) == ("fit", 0.004, 3, "/fast/imagenette")


@pytest.mark.slow
def test_submitit_jobs_prepare_parts_of_a_store(tmp_path: Path) -> None:
    """Submitit's local executor runs jobs as SLURM would; the store equals that of one process."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    words = ["prepare", "-m", "-c", "demo", "data.root=parts", "prepare.part=1/2,2/2", "prepare.workers=1"]
    command = [sys.executable, "-m", "alexnet_pl", *words, "hydra/launcher=submitit_local", "hydra.sweep.dir=jobs"]
    environment = {**os.environ, **ONE_THREAD}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    assert len(list((tmp_path / "jobs/.submitit").rglob("*_result.pkl"))) == 2
    assert not (tmp_path / "parts").exists()
    single = [["prepare", "-c", "demo", f"data.root={root}", "prepare.workers=1"] for root in ("parts", "one")]
    logs = [tmp_path / "parts.txt", tmp_path / "one.txt"]
    assert end_all([start_command(*both) for both in zip(single, logs, strict=True)]) == [0, 0], logs[0].read_text()
    assert "resuming: 5,000 of 5,000 images done" in logs[0].read_text()
    parts, one = (json.loads((tmp_path / root / "store.json").read_text()) for root in ("parts", "one"))
    assert parts["fingerprint"] == one["fingerprint"]
    assert parts["splits"] == one["splits"]  # includes checksums of all shards


@pytest.mark.slow
@pytest.mark.parametrize(("number", "to_all", "code"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)])
def test_jobs_of_joblib_are_saved_before_a_signal_ends_the_sweep(
    number: int, to_all: bool, code: int, tmp_path: Path
) -> None:
    """A terminal sends Ctrl-C to the workers as well; others signal the command only. The third job has not begun. The
    first two draw the demo's images before, in processes started by a worker."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher (extra `sweep`)")
    words = ["fit", "-m", "-c", "demo", "seed=1,2,3", "trainer.accelerator=cpu", "hydra.sweep.dir=jobs"]
    command = [sys.executable, "-m", "alexnet_pl", *words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    environment = {**os.environ, **ONE_THREAD}
    with (tmp_path / "log.txt").open("w+") as log:
        sweep = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            logs = (tmp_path / "jobs").glob
            wait_for(lambda: sum(path.read_text().count("\n") > 1 for path in logs("*/metrics.csv")) == 2, 300)
            (os.killpg if to_all else os.kill)(sweep.pid, number)
            assert sweep.wait(120) == code
        finally:
            sweep.kill()
        printed = (tmp_path / "log.txt").read_text()
    runs = {path.parents[1].name for path in (tmp_path / "jobs").glob("*/checkpoints/last.ckpt")}
    assert runs == {"0-seed-1", "1-seed-2"}, printed
    assert not (tmp_path / "jobs/2-seed-3").exists()
    assert printed.count("continue: python -m alexnet_pl fit jobs/") == 2
    assert "Traceback" not in printed
