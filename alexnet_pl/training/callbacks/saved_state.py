"""State that Lightning's checkpoints leave out, for resuming a fit with bit-identical results and one log."""

from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor

from alexnet_pl.data.loading.datamodule import image_share
from alexnet_pl.training.metrics_file import MetricsFile


class RandomState(L.Callback):
    """Saves the states of torch's random generators, used by dropout, which Lightning's checkpoints leave out.

    The order of images, crops and color noise need no state: they are functions of (seed, epoch, batch). States are
    restored when training starts, after all other code that may draw random numbers.
    """

    def __init__(self) -> None:
        self.states: dict[str, list[Tensor]] = {}
        self.copies = 1  # number of processes with the same images and random numbers

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.copies = trainer.world_size // image_share(trainer)[1]

    @property
    def state_key(self) -> str:
        """Fixed key of the state in checkpoints, so that the class can be renamed."""
        return "RandomState"

    def state_dict(self) -> dict[str, list[Tensor]]:
        states = {"cpu": gather(torch.get_rng_state())[:: self.copies]}
        if torch.cuda.is_available():
            states["cuda"] = gather(torch.cuda.get_rng_state())[:: self.copies]
        return states

    def load_state_dict(self, state_dict: dict[str, list[Tensor]]) -> None:
        """Restore the states. Raises TypeError if they are not generator states."""
        shape = torch.get_rng_state().shape
        for state in state_dict["cpu"]:
            if not isinstance(state, Tensor) or (state.dtype, state.shape) != (torch.uint8, shape):
                raise TypeError("RandomState.cpu: not a generator state")
        self.states = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        (rank, _), states = image_share(trainer), self.states
        if rank and len(states.get("cpu", [])) <= rank:
            torch.manual_seed(torch.initial_seed() + rank)  # otherwise all processes would drop the same units
        if len(states.get("cpu", [])) > rank:
            torch.set_rng_state(states["cpu"][rank])
        if len(states.get("cuda", [])) > rank and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"][rank])
        self.states = {}


def gather(value: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Gather the values of all processes, in rank order. `group`: all of them with another time limit; None: the main
    one."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=group)
    return values


class MetricsPosition(L.Callback):
    """Saves the number of rows of metrics.csv in each checkpoint; a resumed fit drops later rows."""

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and trainer.is_global_zero:
                checkpoint["metrics_rows"] = logger.experiment.rows  # type: ignore[attr-defined]
