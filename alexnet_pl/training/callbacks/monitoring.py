"""Monitoring callbacks: learning rates, norms of gradients, weights and updates (§6), throughput, GPU idle time."""

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from rich import get_console
from torch import Tensor

from alexnet_pl.progress import ProgressLines, TimeColumn
from alexnet_pl.runs.metric_names import EPOCH_ERROR, GRADIENT, IDLE, RATE, THROUGHPUT, UPDATE, WEIGHT
from alexnet_pl.training.adam_module import AdamModule
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.loggers import should_log, write_metrics
from alexnet_pl.training.optimizer import MomentumSGD
from alexnet_pl.training.strategies.towers import TowerStrategy

WIDTH_BESIDE_BAR = 75  # characters of the other columns at 99 epochs of 99,999 steps
TINY = torch.finfo(torch.float32).tiny


class LearningRates(L.Callback):
    """Logs the learning rate of every parameter group at the start of each epoch, `lr-MomentumSGD/conv1.weight`, …

    Replaces Lightning's LearningRateMonitor, which warns if there is no torch scheduler.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        write_metrics(trainer, {f"{RATE}/{group['name']}": group["lr"] for group in pl_module.sgd.param_groups})


class TrainingLosses(L.Callback):
    """Logs the losses of an `AdamModule` every `log_every_n_steps` steps.

    `LightningModule.log` writes its row after `last.ckpt` may be saved for the step: a fit that is killed and resumed
    would not have that row.
    """

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not should_log(trainer):
            return
        assert isinstance(pl_module, AdamModule)
        pl_module.check_finite()
        values = {name: float(loss) for name, loss in pl_module.train_losses.items()}
        pl_module.progress_metrics |= values
        write_metrics(trainer, values)


class WeightAndGradientNorms(L.Callback):
    """Logs `measure_norms` every `log_every_n_steps` steps, when the host waits for the device anyway."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not should_log(trainer):
            return
        assert isinstance(pl_module, Classifier)
        if isinstance(trainer.strategy, TowerStrategy):
            write_metrics(trainer, measure_norms(pl_module.sgd, trainer.strategy.whole_norms))
        elif trainer.is_global_zero:
            write_metrics(trainer, measure_norms(pl_module.sgd))


@torch.no_grad()
def measure_norms(sgd: MomentumSGD, whole: Callable[[Tensor], Tensor] = lambda rows: rows) -> dict[str, float]:
    """Norms of the weights w of each layer after a step: `gradient_norm/conv1` ‖∂L/∂w‖, `weight_norm/conv1` ‖w‖, and
    `update_ratio/conv1` ‖Δw‖ / ‖w‖. Biases are left out: they start at 0, so their ratio means nothing.

    Δw is the velocity of §6, stored as u with Δw = −ε · u. All norms are computed on the device and copied at once.
    `whole`: combines the norms of a process's shards into those of complete layers.
    """
    groups = [group for group in sgd.param_groups if group["name"].endswith(".weight")]
    rows = [stack_norms(group["params"][0], sgd.state.get(group["params"][0], {}).get("u")) for group in groups]
    values: dict[str, float] = {}
    for group, (gradient, weight, velocity) in zip(groups, whole(torch.stack(rows)).tolist(), strict=True):
        layer = group["name"].removesuffix(".weight")
        values[f"{GRADIENT}/{layer}"], values[f"{WEIGHT}/{layer}"] = gradient, weight
        values[f"{UPDATE}/{layer}"] = group["lr"] * velocity / max(weight, TINY)
    return values


def stack_norms(weight: Tensor, velocity: Tensor | None) -> Tensor:
    """(3,) norms of gradient, weight and u; the last is 0 for a layer frozen from the start, which has no velocity."""
    zero = weight.new_zeros(())
    tensors = [weight.grad, weight, velocity]
    return torch.stack([zero if part is None else part.norm().float() for part in tensors])


class GpuIdle(L.Callback):
    """Logs `train/gpu_idle_percent`: the share of about the last second in which no kernel ran on the GPU (NVML).

    Logged every `log_every_n_steps` steps, for the first device. Nothing is logged if the driver has no such counter,
    as for a MIG slice.
    """

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.is_global_zero and should_log(trainer) and pl_module.device.type == "cuda":
            busy = read_gpu_utilization(pl_module.device)
            if busy is not None:
                write_metrics(trainer, {IDLE: 100.0 - busy})


def read_gpu_utilization(device: torch.device) -> float | None:
    """Percent of time in which a kernel ran, from NVML; None if unknown."""
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # no NVML, no permission, or no such counter; the exception depends on NVML's version
        return None


class Throughput(L.Callback):
    """Logs `train/images_per_second` over all devices since the last log; validations and checkpoints do not count."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.since, self.steps, self.has_saved = batch_size, 0.0, 0, False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; `on_train_epoch_start` is not called for a resumed epoch."""
        self.since, self.steps, self.has_saved = time.perf_counter(), trainer.global_step, False

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_start(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start again after a validation within an epoch (`trainer.val_check_interval`)."""
        self.on_train_start(trainer, pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Called before a checkpoint is written; there is no hook afterwards."""
        self.has_saved = True

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Start again after a checkpoint within an epoch."""
        if self.has_saved:
            self.on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not should_log(trainer):
            return
        now, steps = time.perf_counter(), trainer.global_step - self.steps
        rate = steps * self.batch_size / (now - self.since)
        write_metrics(trainer, {THROUGHPUT: rate})
        pl_module.progress_metrics[THROUGHPUT] = rate  # type: ignore[index, operator]
        self.since, self.steps = now, trainer.global_step


class EpochTrainError(L.Callback):
    """Logs `train/epoch_top1_error`, the running training error of each epoch in percent (Figure 1).

    Checkpoints and schedules can monitor it. It is written to the loggers at once, because an interruption at the end
    of the epoch comes before Lightning writes.
    """

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        error = pl_module.epoch_error()
        # for checkpoints and schedules that monitor it; the value is the same in all processes
        pl_module.log(EPOCH_ERROR, error, logger=False, sync_dist=True, reduce_fx="max")
        write_metrics(trainer, {EPOCH_ERROR: error})


class ProgressBar(RichProgressBar):
    """Progress bar with short metric names. Epochs count from 1, as in messages and schedules."""

    SHORT = {  # noqa: RUF012
        "train/loss": ("loss", "{:.3f}"),
        "val/top1_error": ("val", "{:.1f}%"),
        THROUGHPUT: ("img/s", "{:,.0f}"),
    }

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        """Columns that fit on a line of 80 characters with the metrics, which rich would break into two lines.

        Images per second are shown, so steps per second are left out.
        """
        name, bar, batches, *_ = super().configure_columns(trainer)
        bar.bar_width = min(40, max(5, get_console().width - WIDTH_BESIDE_BAR))
        return [name, bar, batches, TimeColumn()]

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_test_start(trainer, pl_module)
        self.test_lines = ProgressLines("test batches", int(sum(trainer.num_test_batches)))

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *more: Any
    ) -> None:
        super().on_test_batch_end(trainer, pl_module, outputs, batch, batch_idx, *more)
        if trainer.is_global_zero:
            self.test_lines.update(batch_idx + 1)

    def _get_train_description(self, current_epoch: int) -> str:
        last = self.trainer.max_epochs
        return f"Epoch {current_epoch + 1}" + (f"/{last}" if last is not None and last > 0 else "")

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, str]:
        metrics = super().get_metrics(trainer, pl_module) | pl_module.progress_metrics  # type: ignore[operator]
        return {name: form.format(metrics[key]) for key, (name, form) in self.SHORT.items() if key in metrics}
