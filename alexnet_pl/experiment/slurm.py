"""Tasks of one job step of SLURM."""

import os

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from typing_extensions import override

from alexnet_pl.errors import UserError

PORTS = 10_000  # numbers that Lightning chooses from, from `FIRST_PORT` on
FIRST_PORT = 15_000
STEP_DISTANCE = 997  # between the ports of a job's steps, so that they rarely meet those of the next jobs


class SlurmTasks(SLURMEnvironment):
    """Lightning's plugin for the tasks of a job step. Lightning reads what was asked for the job, which a step does not
    have to use: `srun` may start fewer tasks, on other nodes than the first, or several steps side by side.

    Without Lightning's requeue, whose checkpoint a new run folder would not find.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    @property
    @override
    def main_address(self) -> str:
        if nodes := os.environ.get("SLURM_STEP_NODELIST"):
            os.environ.setdefault("MASTER_ADDR", self.resolve_root_node_address(nodes))
        return super().main_address

    @property
    @override
    def main_port(self) -> int:
        job, step = int(os.environ.get("SLURM_JOB_ID", "0")), int(os.environ.get("SLURM_STEP_ID", "0"))
        os.environ.setdefault("MASTER_PORT", str(FIRST_PORT + (job + STEP_DISTANCE * step) % PORTS))
        return super().main_port

    @override
    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Nothing: devices and nodes are counted by `count_tasks`."""

    @staticmethod
    @override
    def _validate_srun_variables() -> None:
        """Nothing: tasks may be requested by --ntasks too, since `count_tasks` refuses those that nodes share
        unevenly."""


def count_tasks() -> tuple[int, int]:
    """Tasks per node, and nodes, of this job step. Raises UserError if srun did not start this process, which would
    wait for the others, or if nodes have different numbers of tasks."""
    found = os.environ
    tasks, nodes = int(found["SLURM_NTASKS"]), int(found.get("SLURM_NNODES", "1"))
    if tasks > 1 and found.get("SLURM_STEP_NUM_TASKS", "1") == "1":  # the shell of a job may be a step of one task
        raise UserError(
            f"SLURM_NTASKS={tasks}, but srun has not started this process; write `srun python -m alexnet_pl …`, or ask "
            "for one task (--ntasks=1) and set trainer.devices"
        )
    if "," in (shares := found.get("SLURM_STEP_TASKS_PER_NODE", "")):
        raise UserError(f"srun: the nodes have {shares} tasks; give each as many, by --nodes and --ntasks-per-node")
    return tasks // nodes, nodes
