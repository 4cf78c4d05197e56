"""Learning rate schedules by epoch (§6, §7): the epochs at which the authors changed settings by hand."""

from dataclasses import dataclass, field, fields
from typing import Any

import lightning as L

from alexnet_pl.config.options import ALL
from alexnet_pl.json_records import NonNegative, parse_record
from alexnet_pl.training.schedules import FIRST_LAYER, Schedule, count_completed_epochs, optimizer_groups


class LoggedSchedule(Schedule):
    """Manual changes recorded in the program's parameter files; the defaults are those of the ILSVRC-2012 net (145).

    Epochs count from 1. A change takes effect at the start of its epoch:
      drop1, drop2   divide the rates of all weights by 10
      cool           divide the rate of conv1's weights by 10 again; end the color noise
      freeze         freeze conv1
      drop3          divide the rates of the other weights by 10
      stop           last epoch. A log ("epoch 91: killed") names the epoch in progress, trained to its end here
      bias_drop      divide the rates of all biases by 10; None: never. No log has an epoch for it. By their last rates,
                     145 (2012) and 148 never did, 145-half in conv1 and conv2 only, 145-2010 and 147 once

    The text's rule (§6) at these epochs, three divisions of all rates: `biases` divides the rates of biases with those
    of weights, whatever `bias_drop` is; without `freeze_conv1`, conv1 is treated as the other layers, and the color
    noise does not end.

    A function of the epoch, so no state is saved. Raises ValueError, naming the argument, if the epochs are not in this
    order (`drop3` may be any epoch from `drop2` to `stop`) or `bias_drop` is not among them.
    """

    def __init__(
        self,
        drop1: int = 25,
        drop2: int = 51,
        cool: int = 67,
        freeze: int = 72,
        drop3: int = 79,
        stop: int = 91,
        bias_drop: int | None = None,
        biases: bool = False,
        freeze_conv1: bool = True,
    ) -> None:
        if not 1 <= drop1 <= drop2 <= cool <= freeze <= stop:
            raise ValueError("drop1, drop2, cool, freeze, stop: epochs from 1, in this order")
        if not drop2 <= drop3 <= stop:
            raise ValueError(f"drop3={drop3}: an epoch from drop2, {drop2}, to stop, {stop}")
        if bias_drop is not None and not 1 <= bias_drop <= stop:
            raise ValueError(f"bias_drop={bias_drop}: an epoch from 1 to {stop}, or null")
        self.biases, self.freeze_conv1 = biases, freeze_conv1
        self.drop1, self.drop2, self.drop3, self.bias_drop = drop1, drop2, drop3, bias_drop
        self.cool, self.freeze, self.stop = cool, freeze, stop

    def is_complete(self, trainer: L.Trainer) -> bool:
        return count_completed_epochs(trainer) >= self.stop

    def ends_by_itself(self, trainer: L.Trainer) -> bool:
        return self.is_complete(trainer)

    def factor(self, name: str, epoch: int) -> float:
        """Rate of group `name` (`conv1.weight`, …) in `epoch`, counted from 1, divided by its first rate."""
        is_cooled = self.freeze_conv1 and name.startswith(FIRST_LAYER)
        if is_cooled and epoch >= self.freeze:
            return 0.0
        if name.endswith(".bias") and not self.biases:
            return 0.1 if self.bias_drop is not None and epoch >= self.bias_drop else 1.0
        drops = [self.drop1, self.drop2, self.cool if is_cooled else self.drop3]
        return 10.0 ** -sum(epoch >= drop for drop in drops)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for group in optimizer_groups(trainer):
            group["lr"] = group["initial_lr"] * self.factor(group["name"], trainer.current_epoch + 1)
        self.end_noise(trainer, pl_module)

    def end_noise(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.freeze_conv1 and trainer.current_epoch + 1 >= self.cool:
            pl_module.augment.noise = 0.0  # type: ignore[union-attr]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End noise and fit if their epochs have passed, since checkpoints do not store this."""
        self.end_noise(trainer, pl_module)
        trainer.should_stop = trainer.should_stop or trainer.current_epoch >= self.stop

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the fit. A validation within the epoch would be too early."""
        if trainer.current_epoch + 1 >= self.stop:
            trainer.should_stop = True


class StepSchedule(Schedule):
    """Divide the rates of weights by `divide_by` at the start of each epoch in `drops`, counted from 1.

    Biases keep their rates unless `biases`. The program trains its CIFAR-10 networks this way ("Lower learning rates
    (epsW)", layer-params-conv-local-11pct.cfg); the text divides all rates (§6). OverFeat halves all rates after 30,
    50, 60, 70 and 80 epochs (its §3.1): drops 31, 51, 61, 71, 81. The fit ends at `trainer.max_epochs`.

    Raises ValueError, naming the argument, for values out of range.
    """

    def __init__(self, drops: list[int], divide_by: float = 10.0, biases: bool = False) -> None:
        if sorted(drops) != drops or (drops and drops[0] < 1):
            raise ValueError(f"drops={drops}: epochs from 1, in their order")
        if divide_by < 1:
            raise ValueError(f"divide_by={divide_by}: at least 1")
        self.drops, self.divide_by, self.biases = drops, divide_by, biases

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        drops = sum(trainer.current_epoch + 1 >= drop for drop in self.drops)
        for group in optimizer_groups(trainer):
            if self.biases or not group["name"].endswith(".bias"):
                group["lr"] = group["initial_lr"] / self.divide_by**drops


@dataclass(frozen=True)
class Stage:
    """Rates from `epoch` on, by layer, and color noise; None: unchanged."""

    epoch: NonNegative
    weights: dict[str, NonNegative] = field(default_factory=dict)
    biases: dict[str, NonNegative] = field(default_factory=dict)
    noise: NonNegative | None = None


def parse_stage(given: Any, where: str) -> Stage:
    """Raises ValueError, naming the key, if it is unknown or its value has another type or is negative."""
    stage, known = parse_record(given, Stage, f"{where}."), [one.name for one in fields(Stage)]
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"{where}.{unknown[0]}: unknown key; one of {', '.join(known)}")
    return stage


class StagedSchedule(Schedule):
    """Rates by layer and epoch, as the authors set them by hand when fine-tuning (§7).

    Each stage starts at its `epoch`, counted from 1 as in the program's logs; 2.5 is the middle of the second epoch.
    `weights` and `biases` map layers to rates; `all` stands for all layers, and a rate of 0 freezes a layer. Biases
    that no stage mentions use `bias_lr_scale` times the rate of their weights. `noise`: color noise from this stage
    on.

    Raises ValueError for unknown keys and wrong values, or if the first stage does not start at epoch 1 with
    `weights.all`.
    """

    def __init__(self, stages: list[Any], bias_lr_scale: float = 2.0) -> None:
        self.stages = [parse_stage(stage, f"stages[{number}]") for number, stage in enumerate(stages)]
        self.bias_lr_scale = bias_lr_scale
        epochs = [stage.epoch for stage in self.stages]
        if not epochs or epochs[0] != 1 or epochs != sorted(epochs) or ALL not in self.stages[0].weights:
            raise ValueError("stages: the first is from epoch 1 and has weights.all, the others follow in order")

    def layers(self) -> dict[str, list[str]]:
        """Layers that the stages name, by key."""
        return {
            f"stages[{number}].{kind}": [layer for layer in getattr(stage, kind) if layer != ALL]
            for number, stage in enumerate(self.stages)
            for kind in ("weights", "biases")
        }

    def rates(self, position: float) -> tuple[dict[str, float], dict[str, float], float | None]:
        """(weights, biases, noise) at `position`, epochs from 1; rates by layer, with "all" for the other layers."""
        by_kind: dict[str, dict[str, float]] = {"weights": {}, "biases": {}}
        noise = None
        for stage in self.stages:
            if stage.epoch > position:
                break
            for kind, rates in by_kind.items():
                new = getattr(stage, kind)
                by_kind[kind] = dict(new) if ALL in new else {**rates, **new}
            noise = noise if stage.noise is None else stage.noise
        return by_kind["weights"], by_kind["biases"], noise

    def rate(self, name: str, weights: dict[str, float], biases: dict[str, float]) -> float:
        """Learning rate of the group `name` (`conv1.weight`, …)."""
        layer, _, kind = name.partition(".")
        weight = weights.get(layer, weights[ALL])
        if kind == "weight":
            return weight
        return biases.get(layer, biases.get(ALL, weight * self.bias_lr_scale))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the rates at the start of the epoch, before they are logged."""
        self.on_train_batch_start(trainer, pl_module, None, 0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        weights, biases, noise = self.rates(1 + trainer.current_epoch + batch_idx / trainer.num_training_batches)
        for group in optimizer_groups(trainer):
            group["lr"] = self.rate(group["name"], weights, biases)
        if noise is not None:
            pl_module.augment.noise = noise  # type: ignore[union-attr]
