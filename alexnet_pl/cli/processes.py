"""Processes that a job is started on: checks before it begins, and what they need to repeat one job of a sweep."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.console import is_first_process
from alexnet_pl.errors import UserError

if TYPE_CHECKING:
    from alexnet_pl.experiment.processes import Launched


def check_slurm(words: list[str]) -> None:
    """Raise UserError if jobs should be queued where SLURM is not installed."""
    if "hydra/launcher=submitit_slurm" in words and not shutil.which("srun"):
        raise UserError(
            "hydra/launcher=submitit_slurm: no srun on this machine; start the sweep on a login node of the cluster, "
            "or try it here with hydra/launcher=submitit_local"
        )


def find_launched() -> "Launched | None":
    from alexnet_pl.experiment.processes import launched_processes  # imports Lightning, which `prepare` does not need

    return launched_processes()


def count_nodes(cfg: DictConfig) -> Any:
    """`trainer.num_nodes`, which is checked only when the trainer is built; 1 where it is left out or null."""
    nodes = OmegaConf.select(cfg, "trainer.num_nodes")
    return 1 if nodes is None else nodes


def check_rank(cfg: DictConfig) -> None:
    """Raise UserError if a variable, left over from another command or shell, makes the only process or machine another
    than the first: the command would keep neither lock nor config nor metrics, while Lightning trains as rank 0."""
    node = "NODE_RANK" if "NODE_RANK" in os.environ else "GROUP_RANK"  # Lightning reads them in this order
    if os.environ.get(node, "0") != "0" and count_nodes(cfg) == 1 and not find_launched():
        raise UserError(f"{node}={os.environ[node]} is set, but trainer.num_nodes=1: unset {node}")
    if not is_first_process() and is_single(cfg) and not find_launched():
        name = next(name for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ)
        raise UserError(f"{name}={os.environ[name]} is set, but no launcher has started this process: unset {name}")


def is_single(cfg: DictConfig) -> bool:
    """Whether the config asks for one process. Otherwise Lightning may have started this one and given it its rank."""
    devices = OmegaConf.select(cfg, "trainer.devices")
    one = len(devices) == 1 if OmegaConf.is_list(devices) else devices in (None, 1, "1")
    return one and count_nodes(cfg) == 1


def check_sweep_launcher(started_by: str, launcher: str) -> None:
    """Raise UserError if processes started by torchrun or srun would run several jobs of a sweep: jobs after the first
    would meet at the same addresses. With submitit, processes run only one job."""
    if "submitit" not in launcher:
        raise UserError(f"-m: processes of {started_by} train one network; start {started_by} once for each job")


def check_sweep_nodes(cfg: DictConfig) -> None:
    """Raise UserError for a sweep on several nodes that no launcher starts: the other nodes write no config from which
    their processes could repeat one job."""
    if (nodes := count_nodes(cfg)) != 1:
        raise UserError(f"-m: trainer.num_nodes={nodes}: a sweep runs on one node; give each job a command of its own")


def prepare_job(cfg: DictConfig, folder: Path, job: Any) -> None:
    """Pin `sys.argv` for the DDP ranks of a sweep's job, which must not start the sweep again. Raises UserError if a
    launcher's processes would run several jobs."""
    if launched := find_launched():
        check_sweep_launcher(launched.launcher, job.launcher._target_)
    else:
        check_sweep_nodes(cfg)
    if not job.output_subdir or not is_first_process():
        return  # without a config that Hydra wrote
    config = f"{job.output_subdir}/config.yaml"
    if not launched:
        pin_argv_for_ddp_ranks([], isolated_config(folder, config))
