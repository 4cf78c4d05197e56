"""Tasks of a job step, with the variables that SLURM 22.05 set in jobs of two nodes."""

import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.processes import Launched, cluster_plugins, launched_processes
from alexnet_pl.experiment.trainer_checks import check_trainer_options
from alexnet_pl.training.strategies.data_parallel import check_number_of_processes

JOB = {"JOB_ID": "13", "JOB_NAME": "train", "NODELIST": "n[1-2]", "NTASKS_PER_NODE": "2", "NTASKS": "4", "NNODES": "2"}
STEP = {"STEP_ID": "0", "STEP_NUM_TASKS": "4", "STEP_NUM_NODES": "2", "STEP_TASKS_PER_NODE": "2(x2)"}
STEP |= {"STEP_NODELIST": "n[1-2]", "PROCID": "3", "LOCALID": "1", "NODEID": "1"}


def enter_step(patch: pytest.MonkeyPatch, **changes: str) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        patch.setenv(name, "")  # Lightning sets them; removed after the test
        patch.delenv(name)
    for name, value in {**JOB, **STEP, **changes}.items():
        patch.setenv(f"SLURM_{name}", value)


def test_step_on_one_node_meets_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """`srun --nodes=1 --ntasks=2 --nodelist=n2` in a job of two nodes: at n1, both would wait. Lightning refused two
    tasks where the job was given --ntasks-per-node=4."""
    here = {"NTASKS": "2", "NNODES": "1", "STEP_NODELIST": "n2", "STEP_NUM_TASKS": "2", "STEP_TASKS_PER_NODE": "2"}
    enter_step(monkeypatch, **here, NTASKS_PER_NODE="4")
    assert launched_processes() == Launched("srun", 2, 1)
    (plugin,) = cluster_plugins()
    assert plugin.main_address == "n2"
    check_number_of_processes(plugin, 2, 1)


def test_steps_of_a_job_meet_at_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = []
    for step in ("0", "1", "2"):
        enter_step(monkeypatch, STEP_ID=step)
        (plugin,) = cluster_plugins()
        assert plugin.main_address == "n1"
        ports.append(plugin.main_port)
    assert ports[0] == 15013  # as Lightning's, which a firewall may let through
    assert len(set(ports)) == 3


def test_addresses_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    enter_step(monkeypatch)
    monkeypatch.setenv("MASTER_ADDR", "login")
    monkeypatch.setenv("MASTER_PORT", "4711")
    (plugin,) = cluster_plugins()
    assert (plugin.main_address, plugin.main_port) == ("login", 4711)


def test_number_of_tasks_alone_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`srun --ntasks=4` sets no SLURM_NTASKS_PER_NODE; Lightning would refuse it."""
    enter_step(monkeypatch)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    (plugin,) = cluster_plugins()
    check_number_of_processes(plugin, 2, 2)
    with pytest.raises(UserError, match=r"^trainer.devices=4, trainer.num_nodes=2: 4 were started$"):
        check_number_of_processes(plugin, 4, 2)


@pytest.mark.parametrize(("tasks", "shares"), [("3", "2,1"), ("4", "3,1"), ("5", "2(x2),1")])
def test_unequal_shares_of_nodes_are_refused(monkeypatch: pytest.MonkeyPatch, tasks: str, shares: str) -> None:
    """Lightning would look for a device that a node with fewer tasks does not use."""
    enter_step(monkeypatch, NTASKS=tasks, STEP_NUM_TASKS=tasks, STEP_TASKS_PER_NODE=shares)
    with pytest.raises(UserError, match=r"^srun: the nodes have .* tasks; give each as many, by --nodes and --ntasks-"):
        launched_processes()


@pytest.mark.parametrize("in_shell", [False, True])
def test_process_that_srun_did_not_start_is_refused(monkeypatch: pytest.MonkeyPatch, in_shell: bool) -> None:
    """`python -m alexnet_pl` in a batch script, whose job has several tasks, would wait for the others. `in_shell`: in
    the shell of a job, which may be a step of one task."""
    enter_step(monkeypatch)
    for name in STEP:
        monkeypatch.delenv(f"SLURM_{name}")
    if in_shell:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    with pytest.raises(UserError, match=r"^SLURM_NTASKS=4, but srun has not started this process; write `srun python"):
        launched_processes()
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert launched_processes() is None


def test_one_task_starts_no_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for them for half an hour."""
    here = {"NTASKS": "1", "NNODES": "1", "STEP_NODELIST": "n1", "STEP_NUM_TASKS": "1", "STEP_TASKS_PER_NODE": "1"}
    enter_step(monkeypatch, **here)
    with pytest.raises(UserError, match=r"^trainer.num_nodes=2: nothing starts the other nodes; use srun or torchrun"):
        check_trainer_options({"num_nodes": 2})
    enter_step(monkeypatch)
    check_trainer_options({"num_nodes": 2})
