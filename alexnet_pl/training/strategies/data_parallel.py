"""Data parallel training (DistributedDataParallel): processes share each batch and average gradients."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from alexnet_pl.config.options import DistributedOptions
from alexnet_pl.errors import UserError, reason
from alexnet_pl.training.strategies import peers
from alexnet_pl.training.strategies.peers import START, PeerWatch, set_timeout

PARENT = "ALEXNET_PL_PARENT"  # id of the process that started this one


class WatchedLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher with a `PeerWatch` in every process. Lightning itself monitors only child processes, and
    ends the parent without a message."""

    def __init__(self, *args: Any, watch: PeerWatch) -> None:
        super().__init__(*args)
        self.watch = watch

    def launch(self, function: Callable, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        cluster = self.cluster_environment
        self.watch.world = self.num_processes * self.num_nodes
        self.watch.rank = cluster.node_rank() * self.num_processes + cluster.local_rank()
        check_number_of_processes(cluster, self.num_processes, self.num_nodes)
        if not cluster.creates_processes_externally:
            os.environ[PARENT] = str(os.getpid())
            self._call_children_scripts()
            first = cluster.node_rank() * self.num_processes
            self.watch.start(children={first + i: child for i, child in enumerate(self.procs, 1)})
        elif isinstance(cluster, LightningEnvironment) and (parent := int(os.environ.get(PARENT, 0))) != os.getpid():
            self.watch.start(parent=parent or None)
        else:
            self.watch.start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)


def check_number_of_processes(cluster: ClusterEnvironment, devices: int, nodes: int) -> None:
    """Raise UserError if torchrun or srun has started another number of processes than the config asks for: each would
    train on a share of the images that leaves some out."""
    try:
        cluster.validate_settings(num_devices=devices, num_nodes=nodes)
    except ValueError as error:
        raise UserError(f"trainer.devices={devices}, trainer.num_nodes={nodes}: {reason(error)}") from error
    if isinstance(cluster, LightningEnvironment):  # starts the processes itself
        return
    if (started := cluster.world_size()) != devices * nodes:
        raise UserError(f"trainer.devices={devices}, trainer.num_nodes={nodes}: {started} were started")


class DataParallelStrategy(DDPStrategy):
    """Lightning's DDPStrategy with the options of section `distributed`; if one process ends, all end.

    Buffers are not broadcast: each process uses its own as counters (`RunningSums`), and training changes no
    buffers of the network.
    """

    kind = "ddp"  # name in trainer.strategy

    def __init__(self, run: Path, command: str, options: DistributedOptions, **kwargs: Any) -> None:
        super().__init__(timeout=START, **kwargs)
        self.options, self.watch = options, peers.join(run, command)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = WatchedLauncher(self.cluster_environment, self.num_processes, self.num_nodes, watch=self.watch)

    def setup_environment(self) -> None:
        super().setup_environment()
        self.watch.exchange_ids()
        set_timeout(timedelta(seconds=self.options.timeout))

    def configure_ddp(self) -> None:
        assert self.model is not None
        own = [name for name, _ in self.model.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.model, own)
        super().configure_ddp()

    def _register_ddp_hooks(self) -> None:
        """Register hooks on CPUs too: Lightning does so only on GPUs, though torch supports both."""
        if self.options.compress_gradients and isinstance(self.model, DistributedDataParallel):
            group = self._ddp_kwargs.get("process_group")  # None would average over all processes, across towers too
            self.model.register_comm_hook(group, bf16_compress_hook)

    def on_exception(self, exception: BaseException) -> None:
        super().on_exception(exception)
        self.watch.fail(exception)
