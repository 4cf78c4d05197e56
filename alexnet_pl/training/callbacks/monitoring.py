"""Callbacks that log learning rates, norms of gradients, weights and updates (§6), throughput and GPU idle time."""

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor

from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.loggers import logs_now, write_metrics
from alexnet_pl.training.metric_names import GRADIENT, IDLE, RATE, UPDATE, WEIGHT
from alexnet_pl.training.optimizer import MomentumSGD
from alexnet_pl.training.strategies.towers import TowerStrategy

TINY = torch.finfo(torch.float32).tiny


class LearningRates(L.Callback):
    """Logs `lr-MomentumSGD/conv1.weight`, …: the rate of every group at the start of an epoch.

    Lightning's LearningRateMonitor warns where there is no scheduler of torch's, as here.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        write_metrics(trainer, {f"{RATE}/{group['name']}": group["lr"] for group in pl_module.sgd.param_groups})


class WeightAndGradientNorms(L.Callback):
    """Logs `norms` at each line of the log, when the host waits for the device anyway."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not logs_now(trainer):
            return
        assert isinstance(pl_module, Classifier)
        if isinstance(trainer.strategy, TowerStrategy):
            write_metrics(trainer, norms(pl_module.sgd, trainer.strategy.whole_norms))
        elif trainer.is_global_zero:
            write_metrics(trainer, norms(pl_module.sgd))


@torch.no_grad()
def norms(sgd: MomentumSGD, whole: Callable[[Tensor], Tensor] = lambda rows: rows) -> dict[str, float]:
    """After a step, for the weights w of every layer: `gradient_norm/conv1` ‖∂L/∂w‖, `weight_norm/conv1` ‖w‖, and
    `update_ratio/conv1` ‖Δw‖ / ‖w‖. Biases, which begin at 0, have no useful ratio.

    Δw is the velocity of §6, kept as u with Δw = −ε · u, so nothing has to be remembered from before the step. The
    device computes them all, and they are read at once. `whole`: from norms of a process's part to those of a layer.
    """
    groups = [group for group in sgd.param_groups if group["name"].endswith(".weight")]
    rows = [sizes(group["params"][0], sgd.state[group["params"][0]].get("u")) for group in groups]
    found: dict[str, float] = {}
    for group, (gradient, weight, velocity) in zip(groups, whole(torch.stack(rows)).tolist(), strict=True):
        layer = group["name"].removesuffix(".weight")
        found[f"{GRADIENT}/{layer}"], found[f"{WEIGHT}/{layer}"] = gradient, weight
        found[f"{UPDATE}/{layer}"] = group["lr"] * velocity / max(weight, TINY)
    return found


def sizes(weight: Tensor, velocity: Tensor | None) -> Tensor:
    """(3,) norms of gradient, weight and u; a layer whose rate was 0 from the start has no velocity."""
    nothing = weight.new_zeros(())
    parts = [weight.grad, weight, velocity]
    return torch.stack([nothing if part is None else part.norm().float() for part in parts])


class GpuIdle(L.Callback):
    """Logs `train/gpu_idle_percent` at each line of the log: the share of the last second or so in which no kernel ran
    on the GPU, by the driver's own count (NVML); of several devices, on the first. Not where the driver does not tell,
    as of a part of a GPU (MIG)."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.is_global_zero and logs_now(trainer) and pl_module.device.type == "cuda":
            busy = utilisation(pl_module.device)
            if busy is not None:
                write_metrics(trainer, {IDLE: 100.0 - busy})


def utilisation(device: torch.device) -> float | None:
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # no NVML, no permission, no such count: each version of it says so in another way
        return None


NAME = "train/images_per_second"


class Throughput(L.Callback):
    """Logs `train/images_per_second`, over all devices, since the last line of the log; validation is left out."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.since, self.steps = batch_size, 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An epoch that is resumed in its middle has no start."""
        self.since, self.steps = time.perf_counter(), trainer.global_step

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not logs_now(trainer):
            return
        now, steps = time.perf_counter(), trainer.global_step - self.steps
        rate = steps * self.batch_size / (now - self.since)
        write_metrics(trainer, {NAME: rate})
        pl_module.progress_metrics[NAME] = rate  # type: ignore[index, operator]
        self.since, self.steps = now, trainer.global_step


class EpochTrainError(L.Callback):
    """Logs `train/epoch_top1_error`, percent, of the epoch's training images (Figure 1), for `monitor=` too.

    Written at once: an interruption at the epoch's end would otherwise come before Lightning's own writing.
    """

    NAME = "train/epoch_top1_error"

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        error = pl_module.epoch_error()
        # for checkpoints and schedules that monitor it; every process has the same
        pl_module.log(self.NAME, error, logger=False, sync_dist=True, reduce_fx="max")
        write_metrics(trainer, {self.NAME: error})


class ProgressBar(RichProgressBar):
    """Lightning's progress bar with names that fit beside it; a finished epoch's line stays."""

    SHORT = {  # noqa: RUF012
        "train/loss": ("loss", "{:.3f}"),
        "val/top1_error": ("val", "{:.1f}%"),
        "train/images_per_second": ("img/s", "{:,.0f}"),
    }

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        """Without steps a second, which images a second say too."""
        return [c for c in super().configure_columns(trainer) if type(c).__name__ != "ProcessingSpeedColumn"]

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        found = super().get_metrics(trainer, pl_module) | pl_module.progress_metrics  # type: ignore[operator]
        return {name: how.format(found[key]) for key, (name, how) in self.SHORT.items() if key in found}
