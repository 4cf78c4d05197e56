"""Sweeps by W&B agents and by Hydra's submitit launcher on this machine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import ONE_THREAD
from hydra import compose, initialize_config_dir
from processes import end_all, start_command

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
