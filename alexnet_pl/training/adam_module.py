"""AdamModule: base LightningModule of networks trained by Adam, with a learning rate that decays linearly to zero."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from alexnet_pl.data.loading.loaders import check_batch_size
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import JsonObject


class AdamModule(L.LightningModule):
    """Trains its trainable parameters; the learning rate decays from `lr` to zero over `epochs`, once per epoch."""

    fused: bool | None = None  # torch's implementation of Adam; None: its default

    def __init__(self, lr: float, epochs: int, weight_decay: float = 0.0) -> None:
        super().__init__()
        for name, value in {"lr": lr, "weight_decay": weight_decay}.items():
            if value < 0:
                raise ValueError(f"{name}={value}: at least 0")
        self.lr, self.epochs, self.weight_decay = lr, epochs, weight_decay
        self.progress_metrics: dict[str, float] = {}  # shown beside the progress bar
        self.train_losses: dict[str, Tensor] = {}  # of the last step, by metric; `TrainingLosses` logs them

    def configure_optimizers(self) -> Any:
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        adam = torch.optim.Adam(trainable, self.lr, weight_decay=self.weight_decay, fused=self.fused)
        falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda epoch: max(0.0, 1 - epoch / self.epochs))
        return {"optimizer": adam, "lr_scheduler": falling}

    def on_fit_start(self) -> None:
        check_batch_size(self.trainer.datamodule.batch_size, self.trainer.world_size)  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        """Apply the present settings to the optimizer, which a checkpoint restores with the settings that it was saved
        with.

        The epoch is that of the scheduler: it steps at the last batch of an epoch, when Lightning still counts the
        epoch as the current one.
        """
        scheduler: Any = self.lr_schedulers()
        scheduler.base_lrs = [self.lr] * len(scheduler.base_lrs)
        for group, factor in zip(scheduler.optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["initial_lr"], group["weight_decay"] = self.lr, self.weight_decay
            group["lr"] = self.lr * factor(scheduler.last_epoch)

    def keep_losses(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Keep the losses of a step for the log, and return `loss`, which is minimized."""
        self.train_losses = {f"train/{name}": value.detach() for name, value in losses.items()}
        return losses["loss"]

    def check_finite(self) -> None:
        """Raise UserError if the last step's loss is not finite. Waits for the device; called when losses are logged
        and before a checkpoint is saved, since a loss that is not finite stays so."""
        loss = float(self.train_losses.get("train/loss", 0.0))
        if not math.isfinite(loss):
            raise UserError(f"the training loss is {loss} by step {self.global_step}; try a smaller optim.lr")

    def on_validation_epoch_end(self) -> None:
        self.log("step", float(self.global_step), sync_dist=True)

    @property
    def course(self) -> JsonObject:
        """Settings in a checkpoint that a resumed fit must share."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return {"seed": data.seed, "batch_size": data.batch_size}
