"""Minimal Trainer objects for tests of schedules."""

from types import SimpleNamespace
from typing import Any

import torch

from alexnet_pl.training.optimizer import MomentumSGD

LAYERS = ("conv1", "conv2", "fc8")


def sgd(bias_lr: float = 0.02) -> MomentumSGD:
    """Rates of 0.01 for weights, and by default the program's for biases."""
    groups = []
    for layer in LAYERS:
        for kind, rate in (("weight", 0.01), ("bias", bias_lr)):
            group = {
                "params": [torch.nn.Parameter(torch.ones(1))],
                "name": f"{layer}.{kind}",
                "lr": rate,
                "initial_lr": rate,
            }
            groups.append(group)
    return MomentumSGD(groups)


def fake_trainer(optimizer: MomentumSGD | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        optimizers=[optimizer or sgd()],
        callback_metrics={},
        state=SimpleNamespace(fn="fit"),
        should_stop=False,
        current_epoch=0,
    )


def trained_epochs(number: int, is_last_batch: bool = True) -> dict[str, Any]:
    """Attributes of a Trainer after so many epochs, and further steps unless the last was an epoch's last."""
    current = SimpleNamespace(ready=number + (not is_last_batch))
    loop = SimpleNamespace(epoch_progress=SimpleNamespace(current=current))
    return {"fit_loop": loop, "is_last_batch": is_last_batch, "current_epoch": number}


def fake_module() -> SimpleNamespace:
    return SimpleNamespace(augment=SimpleNamespace(noise=0.1))


def rates(trainer: SimpleNamespace) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in trainer.optimizers[0].param_groups}
