"""Learning rate schedules driven by an error (§6): drop when the validation error stops improving, or constant."""

from typing import Any

import lightning as L
from torch.optim import Optimizer

from alexnet_pl.config.sections import VALIDATION_METRICS
from alexnet_pl.training.optimizer import MomentumSGD

FIRST_LAYER = "conv1."
ALL_DIVISIONS = "all"


class Schedule(L.Callback):
    """Base of all schedules: sets learning rates, and may end the fit."""

    def is_complete(self, trainer: L.Trainer) -> bool:
        """Whether the schedule has ended; by default at `trainer.max_epochs`."""
        return has_reached_max_epochs(trainer)

    def ends_by_itself(self, trainer: L.Trainer) -> bool:
        """Whether the schedule has ended the fit, so that no larger limit of the trainer continues it."""
        return False


def count_completed_epochs(trainer: L.Trainer) -> int:
    """Number of epochs trained to their last batch. Lightning also counts one that `trainer.max_steps` ends before."""
    started = trainer.fit_loop.epoch_progress.current.ready
    return started if trainer.is_last_batch else max(started - 1, 0)


def has_reached_max_epochs(trainer: L.Trainer) -> bool:
    return trainer.max_epochs is not None and 0 <= trainer.max_epochs <= count_completed_epochs(trainer)


def find_schedules(trainer: L.Trainer) -> list[Schedule]:
    return [one for one in trainer.callbacks if isinstance(one, Schedule)]  # type: ignore[attr-defined]


def find_end_of_fit(trainer: L.Trainer) -> str:
    """What ended a fit: "schedule", "max_epochs", "max_steps", or "other"."""
    if any(schedule.is_complete(trainer) for schedule in find_schedules(trainer)):
        return "schedule"
    if has_reached_max_epochs(trainer):
        return "max_epochs"
    return "max_steps" if has_reached_max_steps(trainer) else "other"


def has_reached_max_steps(trainer: L.Trainer) -> bool:
    return 0 < trainer.max_steps <= trainer.global_step


def find_limit(trainer: L.Trainer) -> str:
    """Config key whose larger value continues a fit that has ended; "" if its schedule ended it."""
    if any(schedule.ends_by_itself(trainer) for schedule in find_schedules(trainer)):
        return ""
    return "trainer.max_steps" if has_reached_max_steps(trainer) else "trainer.max_epochs"


def optimizer_groups(trainer: L.Trainer) -> list[dict[str, Any]]:
    optimizer: Optimizer = trainer.optimizers[0]
    return optimizer.param_groups


class PlateauSchedule(Schedule):
    """Heuristic of §6: "divide the learning rate by 10 when the validation error rate stopped improving".

    The authors judged by eye, three times in about 90 epochs. Here the error has stopped improving after `patience`
    validations in a row that are not more than `min_delta` percentage points below the best. After `times` divisions,
    the next plateau ends the fit.

    `freeze_conv1`: freeze conv1 and end the color noise at the last division. The authors froze it then in two runs,
    147 and 137 on ILSVRC-2010, and 6 to 13 epochs earlier in others; the noise ended 4 to 17 epochs before the last
    division, in 147 at a time that is not logged.

    `bias_drop`: number of the division that also divides the rates of biases. By the last rates in the program's files,
    biases were divided once (145-2010, 147; scripted in run4.sh at the first division) or never (None; 145 on
    ILSVRC-2012, 148). "all" follows §6, with one rate for all layers.

    Acts at the end of validation, before the checkpoint is written, so that resumed and uninterrupted runs agree.
    Raises ValueError, naming the argument, for values out of range.
    """

    def __init__(
        self,
        monitor: str = "val/top1_error",
        patience: int = 5,
        min_delta: float = 0.0,
        times: int = 3,
        freeze_conv1: bool = True,
        bias_drop: int | str | None = ALL_DIVISIONS,
    ) -> None:
        if monitor not in VALIDATION_METRICS:
            raise ValueError(f"monitor={monitor}: one of {', '.join(VALIDATION_METRICS)}")
        if patience < 1 or times < 0:
            raise ValueError(f"patience={patience}: at least 1; times={times}: at least 0")
        if min_delta < 0:
            raise ValueError(f"min_delta={min_delta}: at least 0")
        if bias_drop not in (ALL_DIVISIONS, None, *range(1, times + 1)):
            raise ValueError(f"bias_drop={bias_drop}: a division from 1 to {times}, {ALL_DIVISIONS}, or null")
        self.monitor, self.patience, self.min_delta, self.times = monitor, patience, min_delta, times
        self.freeze_conv1, self.bias_drop = freeze_conv1, bias_drop
        self.best, self.validations_without_improvement, self.num_drops, self.done = float("inf"), 0, 0, False
        self.continues_at_plateau = False  # whether a resumed fit had ended with fewer `times`

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        error = float(trainer.callback_metrics[self.monitor])
        if error < self.best - self.min_delta:
            self.best, self.validations_without_improvement = error, 0
            return
        self.validations_without_improvement += 1
        if self.validations_without_improvement >= self.patience:
            self.validations_without_improvement = 0
            self.on_plateau(trainer, pl_module)

    def on_plateau(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.num_drops >= self.times:  # more, if a resumed fit has fewer `times`
            self.done = trainer.should_stop = True
            return
        self.num_drops += 1
        divides_biases = self.bias_drop in (ALL_DIVISIONS, self.num_drops)
        for group in optimizer_groups(trainer):
            if divides_biases or not group["name"].endswith(".bias"):
                group["lr"] /= 10
            if self.is_final_stage and group["name"].startswith(FIRST_LAYER):
                group["lr"] = 0.0
        self.end_noise(pl_module)

    def is_complete(self, trainer: L.Trainer) -> bool:
        """Whether the error has stopped improving after the last division, or `trainer.max_epochs` was reached
        before."""
        return self.done or (self.num_drops >= self.times and has_reached_max_epochs(trainer))

    def ends_by_itself(self, trainer: L.Trainer) -> bool:
        return self.done

    @property
    def is_final_stage(self) -> bool:
        return self.freeze_conv1 and 0 < self.num_drops >= self.times

    def end_noise(self, pl_module: L.LightningModule) -> None:
        if self.is_final_stage:
            pl_module.augment.noise = 0.0  # type: ignore[union-attr]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore noise and end of the fit, which checkpoints do not store; rates are restored with the optimizer.

        A fit that had ended, resumed with more `times`, makes the division that its last plateau asks for.
        """
        if self.continues_at_plateau:
            self.continues_at_plateau = False
            self.on_plateau(trainer, pl_module)
        self.set_first_layer(trainer.optimizers[0])  # type: ignore[arg-type]
        self.end_noise(pl_module)
        trainer.should_stop = trainer.should_stop or self.done

    def set_first_layer(self, sgd: MomentumSGD) -> None:
        """Freeze conv1 or not, as the present settings say: those of a resumed fit may have changed."""
        for group in sgd.param_groups:
            if group["name"].startswith(FIRST_LAYER) and self.is_final_stage:
                group["lr"] = 0.0
            elif group["name"].startswith(FIRST_LAYER) and group["lr"] == 0:
                group["lr"] = group["initial_lr"] * sgd.divided_to(group["name"])

    @property
    def state_key(self) -> str:
        """Fixed key of the state in checkpoints, so that the class can be renamed."""
        return "DivideByTen"

    def state_dict(self) -> dict[str, float]:
        stale = self.validations_without_improvement
        return {"best": self.best, "stale": stale, "divided": self.num_drops, "done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.validations_without_improvement = state_dict["best"], state_dict["stale"]
        self.num_drops = state_dict["divided"]
        self.done = bool(state_dict["done"]) and self.num_drops >= self.times
        self.continues_at_plateau = bool(state_dict["done"]) and not self.done


class ConstantSchedule(Schedule):
    """Constant learning rate, as for Figure 1. With `until`, the fit ends after the first epoch whose training error is
    at most `until` percent (25 in the figure).

    Acts before the checkpoint is written, so that the checkpoint records the end of the fit.
    """

    def __init__(self, until: float | None = None) -> None:
        if until is not None and not 0 <= until <= 100:
            raise ValueError(f"until={until}: a training error in percent, or null")
        self.until, self.done = until, False
        self.error: float | None = None  # that of the epoch which ended the fit

    def is_complete(self, trainer: L.Trainer) -> bool:
        return self.done if self.until is not None else has_reached_max_epochs(trainer)

    def ends_by_itself(self, trainer: L.Trainer) -> bool:
        return self.done

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.until is not None and (error := pl_module.epoch_error()) <= self.until:  # type: ignore[operator]
            self.error = float(error)
            self.done = trainer.should_stop = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.done

    @property
    def state_key(self) -> str:
        """Fixed key of the state in checkpoints, so that the class can be renamed."""
        return "Constant"

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "error": self.error}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the end of the fit, unless the error that ended it is above the present `until`. Older checkpoints do
        not have the error."""
        self.error = state_dict.get("error")
        reached = self.until is not None and (self.error is None or self.error <= self.until)
        self.done = bool(state_dict["done"]) and reached
