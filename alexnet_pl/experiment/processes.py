"""Processes of a run, including those started by torchrun or srun, and the strategy for training with them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import Strategy
from omegaconf import DictConfig

from alexnet_pl.config.options import DistributedOptions
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.slurm import SlurmTasks, count_tasks
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.strategies import peers
from alexnet_pl.training.strategies.data_parallel import DataParallelStrategy
from alexnet_pl.training.strategies.towers import TowerStrategy

STRATEGIES = {"ddp": DataParallelStrategy, "towers": TowerStrategy}


class Launched(NamedTuple):
    """Processes started by a launcher: its name, processes per node, nodes."""

    launcher: str
    devices: int
    nodes: int


def launched_processes() -> Launched | None:
    """Processes started by torchrun or srun; None for a single process. Raises UserError if Lightning would not notice
    that srun has started several: they would train alone, in the same folder."""
    found = None
    if TorchElasticEnvironment.detect():
        world, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        found = Launched("torchrun", here, world // here)
    elif SLURMEnvironment.detect():
        found = Launched("srun", *count_tasks())
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and not is_addressed_task_of_node():
        name = SLURMEnvironment.job_name()
        raise UserError(f"srun: in a job named {name}, each task would train alone; SLURM_JOB_NAME=train srun …")
    return found if found and found.devices * found.nodes > 1 else None


def is_addressed_task_of_node() -> bool:
    """Whether srun started one task per node, with the addresses by which the tasks meet without Lightning's SLURM
    plugin."""
    found = os.environ
    addressed = "MASTER_ADDR" in found and "NODE_RANK" in found
    return addressed and found.get("SLURM_STEP_NUM_TASKS") == found.get("SLURM_STEP_NUM_NODES")


def set_processes(options: dict[str, Any], kind: str = "cpu") -> None:
    """Set `devices` and `num_nodes` to the number of processes started by torchrun or srun, on devices of type `kind`.

    Raises UserError if `options` contradict it, since each process would then train alone on the same images.
    """
    launched = launched_processes()
    if not launched:
        return
    check_restarts()
    if launched.launcher == "srun" and kind == "cuda" and (visible := torch.cuda.device_count()) < launched.devices:
        raise UserError(
            f"srun: each of {launched.devices} tasks sees {pluralize(visible, 'GPU')}; give --gpus-per-node="
            f"{launched.devices}, not --gpus-per-task"
        )
    for key, started, neutral in (("devices", launched.devices, (1, -1, "auto")), ("num_nodes", launched.nodes, (1,))):
        given = options.get(key)
        count = len(given) if isinstance(given, list) else given
        if given is not None and given not in neutral and count != started:
            raise UserError(f"trainer.{key}={given}: {launched.launcher} started {started}; leave trainer.{key} out")
        options[key] = given if isinstance(given, list) else started


def check_restarts() -> None:
    """Raise UserError if torchrun is to restart processes with the address store of the first start. A process that
    restarts early would then connect to processes that have ended."""
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if shared and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0:
        raise UserError(
            "torchrun --max-restarts: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun, so that processes that it "
            "starts again do not look for the first ones"
        )


def make_strategy(options: dict[str, Any], kind: str, run: Path, command: str, shared: DistributedOptions) -> Any:
    """Strategy for the processes requested in `options`, on devices of type `kind`; "auto" for a single process."""
    name = options.get("strategy") or "auto"
    count = count_processes(options, kind)
    if name == "auto" and count == 1:
        return "auto"
    if name == "towers" and count % 2:
        raise UserError(f"trainer.strategy=towers: {count} devices are not an even number; trainer.devices=2")
    if name == "towers" and count == 2 and shared.compress_gradients:
        raise UserError("distributed.compress_gradients: two towers average no gradients; set it to false")
    strategy: type[Strategy] = STRATEGIES["ddp" if name == "auto" else name]
    return strategy(run, continuing_command(command, options), shared)  # type: ignore[call-arg]


def count_processes(options: Mapping[str, Any], kind: str) -> int:
    """Number of processes that the options of Lightning's Trainer ask for, on all nodes."""
    return count_devices(options.get("devices"), kind) * (options.get("num_nodes") or 1)


def count_devices(devices: Any, kind: str) -> int:
    """Number of devices per node requested by `trainer.devices`."""
    if isinstance(devices, int) and not isinstance(devices, bool) and devices >= 0:
        return devices
    if isinstance(devices, list):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([word for word in devices.split(",") if word.strip()])
    return torch.cuda.device_count() if kind == "cuda" else 1


def continuing_command(command: str, options: Mapping[str, object]) -> str:
    """Command that resumes a run, without the run folder."""
    name, _, nodes = launched_processes() or Launched("", 1, 1)
    several = f"--nnodes={nodes} … " if nodes > 1 else ""  # … for --rdzv-endpoint, which is not known here
    start = {"torchrun": f"torchrun {several}--nproc-per-node={options.get('devices')} -m", "srun": "srun python -m"}
    return f"{start.get(name, 'python -m')} alexnet_pl {command}"


def launch(cfg: DictConfig, run: Path) -> Fabric:
    """Start the processes requested by `trainer.devices`, or join those of torchrun or srun, for work other than
    training. Each process continues from here, with its `global_rank` and `device`, and ends when another has ended."""
    options = {key: cfg.trainer.get(key) for key in ("devices", "num_nodes")}
    kind = choose_device(cfg).type
    set_processes(options, kind)
    devices, nodes = options["devices"] or 1, options["num_nodes"] or 1
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, plugins=cluster_plugins())
    fabric.launch()
    if fabric.world_size > 1:
        watch = peers.join(run, continuing_command(cfg.command, options))
        watch.start()
        watch.exchange_ids()
    return fabric


def cluster_plugins() -> list[Any]:
    """Plugin for the tasks that srun has started.

    A single task of SLURM starts the other processes itself: with the plugin, it would wait for SLURM to do so, and
    train on its own share of the images alone.
    """
    if not SLURMEnvironment.detect() or TorchElasticEnvironment.detect():
        return []
    return [SlurmTasks() if launched_processes() else LightningEnvironment()]
