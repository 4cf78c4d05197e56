"""Processes started by torchrun or srun, and the strategy for `trainer.devices`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from running import Compose

from alexnet_pl.commands import dispatch
from alexnet_pl.config.options import DistributedOptions
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.processes import (
    Launched,
    cluster_plugins,
    continuing_command,
    count_devices,
    launched_processes,
    make_strategy,
    set_processes,
)
from alexnet_pl.experiment.slurm import SlurmTasks
from alexnet_pl.training.strategies.data_parallel import check_number_of_processes
from alexnet_pl.training.strategies.towers import TowerStrategy

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "LOCAL_RANK": "1"}
SRUN = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "x"}
SRUN |= {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "8"}


@pytest.fixture(params=[("torchrun", TORCHRUN), ("srun", SRUN)], ids=["torchrun", "srun"])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name, environment = request.param
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    return name


def test_launchers_processes_are_the_default(launcher: str) -> None:
    assert launched_processes() == Launched(launcher, 4, 2)
    for given in ({"devices": 1}, {"devices": "auto", "num_nodes": 1}, {"devices": 4, "num_nodes": 2}, {}):
        options: dict[str, Any] = {**given}
        set_processes(options)
        assert options == {"devices": 4, "num_nodes": 2}
    chosen = {"devices": [0, 1, 2, 3]}
    set_processes(chosen)
    assert chosen == {"devices": [0, 1, 2, 3], "num_nodes": 2}


def test_command_that_continues_starts_as_many_processes(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    several = {"torchrun": "torchrun --nnodes=2 … --nproc-per-node=4 -m", "srun": "srun python -m"}
    assert continuing_command("fit", {"devices": 4}) == f"{several[launcher]} alexnet_pl fit"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    monkeypatch.setenv("SLURM_NNODES", "1")
    one = {"torchrun": "torchrun --nproc-per-node=8 -m", "srun": "srun python -m"}
    assert continuing_command("fit", {"devices": 8}) == f"{one[launcher]} alexnet_pl fit"


@pytest.mark.parametrize(("key", "given", "there"), [("devices", 2, 4), ("num_nodes", 3, 2)])
def test_other_number_of_devices_is_refused(launcher: str, key: str, given: int, there: int) -> None:
    said = rf"^trainer\.{key}={given}: {launcher} started {there}; leave trainer\.{key} out$"
    with pytest.raises(UserError, match=said):
        set_processes({key: given})


def test_single_process_of_a_launcher_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    options = {"devices": 1}
    set_processes(options)
    assert options == {"devices": 1}


def test_torchrun_restarts_require_a_separate_rendezvous_store(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in {**TORCHRUN, **shared}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^torchrun --max-restarts: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"):
        set_processes({})
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    set_processes({})


def test_lightnings_slurm_requeue_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_plugins() == []
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    (plugin,) = cluster_plugins()
    assert isinstance(plugin, SLURMEnvironment)
    assert plugin.auto_requeue is False


def test_tasks_in_an_interactive_job_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """salloc names its job so; Lightning then takes each task for a single process."""
    for name, value in {**SRUN, "SLURM_JOB_NAME": "interactive", "SLURM_STEP_NUM_TASKS": "8"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^srun: in a job named interactive, .*; SLURM_JOB_NAME=train srun …$"):
        set_processes({})
    monkeypatch.setenv("SLURM_JOB_NAME", "train")  # as the message says
    assert launched_processes() == Launched("srun", 4, 2)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # the shell of the job, which starts the other processes itself
    assert launched_processes() is None


def test_one_task_per_node_with_addresses_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an interactive job too; each starts the other processes of its node."""
    step = {"SLURM_JOB_NAME": "interactive", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}
    for name, value in {**SRUN, **step, "MASTER_ADDR": "node0", "NODE_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launched_processes() is None
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "1")  # two tasks on one node
    with pytest.raises(UserError, match=r"^srun: in a job named interactive, "):
        launched_processes()
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    monkeypatch.delenv("NODE_RANK")
    with pytest.raises(UserError, match=r"^srun: in a job named interactive, "):
        launched_processes()


def test_task_that_sees_its_own_gpu_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with srun --gpus-per-task=1; Lightning's own message lists numbers of GPUs only."""
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    said = r"^srun: each of 4 tasks sees 1 GPU; give --gpus-per-node=4, not --gpus-per-task$"
    with pytest.raises(UserError, match=said):
        set_processes({}, "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    set_processes({}, "cuda")


def test_single_task_of_slurm_starts_the_other_processes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SRUN, "SLURM_NTASKS": "1", "SLURM_NNODES": "1"}.items():
        monkeypatch.setenv(name, value)
    (plugin,) = cluster_plugins()
    assert not plugin.creates_processes_externally


@pytest.mark.parametrize(("tasks", "per_node"), [("8", "4"), ("8", "2"), ("4", "2")])
def test_processes_that_slurm_did_not_start_are_missed(
    tasks: str, per_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SRUN, "SLURM_NTASKS": tasks, "SLURM_NTASKS_PER_NODE": per_node}.items():
        monkeypatch.setenv(name, value)
    cluster = SlurmTasks()
    expected: Any = nullcontext()
    if tasks != "4":
        expected = pytest.raises(UserError, match=r"^trainer.devices=2, trainer.num_nodes=2: ")
    with expected:
        check_number_of_processes(cluster, 2, 2)


def test_torchrun_with_one_process_and_two_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^trainer.devices=2, trainer.num_nodes=1: "):
        check_number_of_processes(TorchElasticEnvironment(), 2, 1)


@pytest.mark.parametrize(
    ("devices", "count"), [(1, 1), (4, 4), ([0, 2, 3], 3), ("0,1", 2), ("auto", 1), (-1, 1), (None, 1)]
)
def test_devices_are_counted_as_lightning_does(devices: Any, count: int) -> None:
    assert count_devices(devices, "cpu") == count


def test_towers_take_an_even_number(tmp_path: Path) -> None:
    shared = DistributedOptions()
    assert make_strategy({"devices": 1}, "cpu", tmp_path, "fit", shared) == "auto"
    assert isinstance(
        make_strategy({"devices": 2, "strategy": "towers"}, "cpu", tmp_path, "fit", shared), TowerStrategy
    )
    with pytest.raises(UserError, match=r"^trainer\.strategy=towers: 3 devices are not an even number"):
        make_strategy({"devices": 3, "strategy": "towers"}, "cpu", tmp_path, "fit", shared)
    with pytest.raises(UserError, match=r"^distributed.compress_gradients: two towers average no gradients"):
        make_strategy(
            {"devices": 2, "strategy": "towers"}, "cpu", tmp_path, "fit", DistributedOptions(compress_gradients=True)
        )


@pytest.mark.parametrize(
    ("recipe", "command"),
    [
        *(("demo", command) for command in ("predict", "retrieve", "ensemble")),
        *((recipe, "test") for recipe in ("codes", "overfeat_localise", "overfeat_detect")),
        ("overfeat_detect", "detect"),
    ],
)
def test_single_process_commands_run_on_rank_0_only(
    config: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    command: str,
) -> None:
    monkeypatch.setenv("RANK", "1")
    cfg = config(recipe)
    cfg.command = command
    assert dispatch.run(cfg, tmp_path) is None
    assert capsys.readouterr().out == (f"{command}: runs on the first process only\n")
