"""Learning rate schedules (§6): by the validation error, as printed; at given epochs; or constant."""

from typing import Any

import lightning as L
from torch.optim import Optimizer

FIRST_LAYER = "conv1."


class Schedule(L.Callback):
    """Base of all schedules: sets the rates of a fit and knows when it is over."""

    def is_complete(self, trainer: L.Trainer) -> bool:
        """Whether the fit came to the schedule's end; without an end of its own, that is `trainer.max_epochs`."""
        return reached_max_epochs(trainer)


def reached_max_epochs(trainer: L.Trainer) -> bool:
    return trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch


def end_of_fit(trainer: L.Trainer) -> str:
    """What ended a fit: schedule, max_epochs, max_steps or max_time."""
    if any(one.is_complete(trainer) for one in trainer.callbacks if isinstance(one, Schedule)):  # type: ignore[attr-defined]
        return "schedule"
    if reached_max_epochs(trainer):
        return "max_epochs"
    return "max_steps" if 0 < trainer.max_steps <= trainer.global_step else "max_time"


class PlateauSchedule(Schedule):
    """The heuristic of §6: "divide the learning rate by 10 when the validation error rate stopped improving".

    The authors judged that by eye, three times in about 90 epochs. Here an error has stopped improving once `patience`
    validations in a row bring no error lower than the best by more than `min_delta` percentage points. The plateau
    after the last division ends the run.

    `freeze_conv1`: with the last division conv1 stops learning and the colour noise ends, which the program's runs
    147 and 137 did at that moment and others a few epochs before.

    Acts when validation ends, before the checkpoint is written, so that a resumed run decides as an uninterrupted one.
    """

    def __init__(
        self,
        monitor: str = "val/top1_error",
        patience: int = 5,
        min_delta: float = 0.0,
        times: int = 3,
        freeze_conv1: bool = True,
    ) -> None:
        if patience < 1 or times < 0:
            raise ValueError(f"patience={patience}, times={times}: at least 1, and not negative")
        self.monitor, self.patience, self.min_delta, self.times = monitor, patience, min_delta, times
        self.freeze_conv1 = freeze_conv1
        self.best, self.validations_without_improvement, self.num_drops, self.done = float("inf"), 0, 0, False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        error = float(trainer.callback_metrics[self.monitor])
        if error < self.best - self.min_delta:
            self.best, self.validations_without_improvement = error, 0
            return
        self.validations_without_improvement += 1
        if self.validations_without_improvement >= self.patience:
            self.validations_without_improvement = 0
            self.on_plateau(trainer, pl_module)

    def on_plateau(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.num_drops == self.times:
            self.done = trainer.should_stop = True
            return
        self.num_drops += 1
        for group in groups(trainer):
            group["lr"] /= 10
            if self.last and group["name"].startswith(FIRST_LAYER):
                group["lr"] = 0.0
        self.end_noise(pl_module)

    def is_complete(self, trainer: L.Trainer) -> bool:
        """After the last division, whether or not its plateau came before `trainer.max_epochs`."""
        return self.num_drops == self.times

    @property
    def last(self) -> bool:
        return self.freeze_conv1 and 0 < self.num_drops == self.times

    def end_noise(self, pl_module: L.LightningModule) -> None:
        if self.last:
            pl_module.augment.noise = 0.0  # type: ignore[union-attr]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore what a checkpoint does not hold; the rates come back with the optimizer."""
        self.end_noise(pl_module)
        trainer.should_stop = trainer.should_stop or self.done

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, kept whatever the class is called."""
        return "DivideByTen"

    def state_dict(self) -> dict[str, Any]:
        stale = self.validations_without_improvement
        return {"best": self.best, "stale": stale, "divided": self.num_drops, "done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.validations_without_improvement = state_dict["best"], state_dict["stale"]
        self.num_drops, self.done = state_dict["divided"], state_dict["done"]


class LoggedSchedule(Schedule):
    """The hand-timed epochs that the program's parameter files note, here those of the ILSVRC-2012 net (145).

    Epochs count from 1, and a change holds from the start of the epoch in which it was made:
      drop1, drop2   all weights to a tenth, twice; with drop1 the biases too, which then keep their rate (as the 2010
                     run of the same net and the scripted one; the 2012 run's file still has its biases at the first)
      cool           conv1's weights to a tenth once more, and the colour noise ends
      freeze         conv1 stops learning
      drop3          the other weights to a tenth
      stop           the last epoch

    A function of the epoch alone, so there is nothing to save.
    """

    def __init__(
        self, drop1: int = 25, drop2: int = 51, cool: int = 67, freeze: int = 72, drop3: int = 79, stop: int = 91
    ) -> None:
        if not 1 <= drop1 <= drop2 <= cool <= freeze <= stop or not drop2 <= drop3 <= stop:
            raise ValueError("drop1, drop2, cool, freeze, drop3, stop: epochs from 1, in this order")
        self.drop1, self.drop2, self.drop3 = drop1, drop2, drop3
        self.cool, self.freeze, self.stop = cool, freeze, stop

    def is_complete(self, trainer: L.Trainer) -> bool:
        return trainer.current_epoch >= self.stop

    def factor(self, name: str, epoch: int) -> float:
        """Rate of the group `name` (`conv1.weight`, …) in `epoch`, counted from 1, over its rate in the first."""
        if name.startswith(FIRST_LAYER) and epoch >= self.freeze:
            return 0.0
        if name.endswith(".bias"):
            return 0.1 if epoch >= self.drop1 else 1.0
        drops = [self.drop1, self.drop2, self.cool if name.startswith(FIRST_LAYER) else self.drop3]
        return 10.0 ** -sum(epoch >= drop for drop in drops)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for group in groups(trainer):
            group["lr"] = group["initial_lr"] * self.factor(group["name"], trainer.current_epoch + 1)
        self.end_noise(trainer, pl_module)

    def end_noise(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch + 1 >= self.cool:
            pl_module.augment.noise = 0.0  # type: ignore[union-attr]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the end of the noise and of the run, which a checkpoint does not hold."""
        self.end_noise(trainer, pl_module)
        trainer.should_stop = trainer.should_stop or trainer.current_epoch >= self.stop

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.current_epoch + 1 >= self.stop:
            trainer.should_stop = True


class StepSchedule(Schedule):
    """The weights' rate divided by `divide_by` at the start of each epoch in `drops`, counted from 1; the biases keep
    theirs unless `biases`.

    So the program trains its CIFAR-10 nets ("Lower learning rates (epsW)", layer-params-conv-local-11pct.cfg), with
    `trainer.max_epochs` for an end. OverFeat halves all rates after 30, 50, 60, 70 and 80 epochs (its §3.1): drops 31,
    51, 61, 71, 81. A function of the epoch alone.
    """

    def __init__(self, drops: list[int], divide_by: float = 10.0, biases: bool = False) -> None:
        if sorted(drops) != drops or (drops and drops[0] < 1):
            raise ValueError(f"drops={drops}: epochs from 1, in their order")
        if divide_by < 1:
            raise ValueError(f"divide_by={divide_by}: at least 1")
        self.drops, self.divide_by, self.biases = drops, divide_by, biases

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        done = sum(trainer.current_epoch + 1 >= drop for drop in self.drops)
        for group in groups(trainer):
            if self.biases or not group["name"].endswith(".bias"):
                group["lr"] = group["initial_lr"] / self.divide_by**done


class ConstantSchedule(Schedule):
    """One rate from first to last, as for Figure 1; the run ends with the first epoch whose training error is at most
    `until` percent, the figure's 25, where one is given.

    Acts before the checkpoint is written, so that a finished run is known to be one when it is resumed.
    """

    def __init__(self, until: float | None = None) -> None:
        if until is not None and not 0 <= until <= 100:
            raise ValueError(f"until={until}: a training error in percent, or null")
        self.until, self.done = until, False

    def is_complete(self, trainer: L.Trainer) -> bool:
        return self.done if self.until is not None else reached_max_epochs(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.until is not None and pl_module.epoch_error() <= self.until:  # type: ignore[operator]
            self.done = trainer.should_stop = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.done

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, kept whatever the class is called."""
        return "Constant"

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done = state_dict["done"]


class StagedSchedule(Schedule):
    """Rates by layer and epoch, as the authors set them by hand when they went on from an earlier network (§7).

    Each stage holds from its `epoch` on, counted from 1 as in the program's logs; 2.5 is the middle of the second.
    `weights` and `biases` give rates by layer, `all` the rates of all layers; a rate of 0 freezes. Biases that no stage
    mentions learn at `bias_lr_scale` times their weights' rate. `noise`: the colour noise from then on.
    """

    def __init__(self, stages: list[Any], bias_lr_scale: float = 2.0) -> None:
        known = {"epoch", "weights", "biases", "noise"}
        for number, stage in enumerate(stages):
            if wrong := sorted(set(stage) - known):
                raise ValueError(f"stages[{number}].{wrong[0]}: unknown key; one of {', '.join(sorted(known))}")
        epochs = [stage.get("epoch", 0) for stage in stages]
        if not stages or epochs[0] != 1 or epochs != sorted(epochs) or "all" not in stages[0].get("weights", {}):
            raise ValueError("stages: the first is from epoch 1 and has weights.all, the others follow in order")
        self.stages, self.bias_lr_scale = stages, bias_lr_scale

    def rates(self, position: float) -> tuple[dict[str, float], dict[str, float], float | None]:
        """(weights, biases, noise) at `position`, 1 being the start: rates by layer, those of `all` under "all"."""
        found: dict[str, dict[str, float]] = {"weights": {}, "biases": {}}
        noise = None
        for stage in self.stages:
            if stage["epoch"] > position:
                break
            for kind, rates in found.items():
                new = stage.get(kind) or {}
                found[kind] = dict(new) if "all" in new else {**rates, **new}
            noise = stage.get("noise", noise)
        return found["weights"], found["biases"], noise

    def rate(self, name: str, weights: dict[str, float], biases: dict[str, float]) -> float:
        """Rate of the group `name`: `conv1.weight`, …"""
        layer, _, kind = name.partition(".")
        weight = weights.get(layer, weights["all"])
        if kind == "weight":
            return weight
        return biases.get(layer, biases.get("all", weight * self.bias_lr_scale))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Before the epoch's rates are logged."""
        self.on_train_batch_start(trainer, pl_module, None, 0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        weights, biases, noise = self.rates(1 + trainer.current_epoch + batch_idx / trainer.num_training_batches)
        for group in groups(trainer):
            group["lr"] = self.rate(group["name"], weights, biases)
        if noise is not None:
            pl_module.augment.noise = noise  # type: ignore[union-attr]


def groups(trainer: L.Trainer) -> list[dict[str, Any]]:
    optimizer: Optimizer = trainer.optimizers[0]
    return optimizer.param_groups
