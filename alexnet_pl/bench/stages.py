"""Each stage of a training step by itself, in its turn, beside the floor that the machine sets for it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch.nn import functional as F

from alexnet_pl import recipe
from alexnet_pl.bench import floors
from alexnet_pl.data.loader import permutation
from alexnet_pl.data.store import Split
from alexnet_pl.module import Classifier
from alexnet_pl.optim import MomentumSGD, parameter_groups
from alexnet_pl.speed import precision, uncached_autocast


class Clock:
    """Seconds of each stage, a list a stage; on a GPU the work is waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.found = device, dict[str, list[float]]()

    def time(self, name: str, job: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = job()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.found.setdefault(name, []).append(time.perf_counter() - began)
        return result


def measure(cfg: DictConfig, splits: dict[str, Split], rounds: int) -> dict[str, Any]:
    """Milliseconds of each stage of a step on `cfg.data.batch_size` images, and its floor."""
    device = recipe.device(cfg)
    clock, module = Clock(device), made(cfg, splits["raw"], device)
    sgd = optimizer(module)
    for number in range(rounds + 2):
        if number == 2:  # two to warm up
            clock.found.clear()
        one_step(clock, cfg, module, sgd, splits, number)
    seconds = {name: statistics.median(found) for name, found in clock.found.items()}
    return {
        "batch_size": cfg.data.batch_size,
        "precision": precision(cfg.trainer.precision, device.type),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "milliseconds": {name: 1e3 * value for name, value in seconds.items()},
        "floors": {name: 1e3 * value for name, value in floors_of(cfg, module, device).items()},
    }


def made(cfg: DictConfig, split: Split, device: torch.device) -> Classifier:
    module = recipe.make_module(cfg).to(device).train()
    module.apply_performance(device)
    module.augment.set_statistics(np.full((3, *split.shape[1:]), 118.0), np.diag([400.0, 1400.0, 14800.0]))
    return module


def optimizer(module: Classifier) -> MomentumSGD:
    groups = parameter_groups(module.net, module.lr, module.weight_decay, module.bias_lr_scale, module.decay_biases)
    return MomentumSGD(groups, module.lr, module.momentum, module.weight_decay, fused=module.speed.optimized)


def one_step(
    clock: Clock, cfg: DictConfig, module: Classifier, sgd: MomentumSGD, splits: dict[str, Split], number: int
) -> None:
    count, device = cfg.data.batch_size, clock.device
    for name, split in splits.items():
        order = np.resize(permutation(len(split), 0, number), count)
        room = split.buffer(count, pinned=device.type == "cuda")
        clock.time("read" if name == "raw" else "decode", lambda s=split, r=room, o=order: s.read(o, r.numpy()))
    images = clock.time("transfer", lambda: room.to(device))
    draws = module.augment.draw(0, 0, number, count)
    draws = type(draws)(*(each.to(device) for each in draws))
    labels = torch.arange(count, device=device) % module.net.num_classes
    half = precision(cfg.trainer.precision, device.type).startswith("bf16")

    def augment() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return module.speed.lay_out(module.augment(images, draws))

    view = clock.time("augment", augment)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half), uncached_autocast(device.type):
            return F.cross_entropy(module.net(view).float(), labels)

    sgd.zero_grad()
    loss = clock.time("forward", forward)
    clock.time("backward", loss.backward)
    clock.time("update", sgd.step)


def floors_of(cfg: DictConfig, module: Classifier, device: torch.device) -> dict[str, float]:
    """Bytes over bandwidth, operations over the rate of a large product, both measured here and now."""
    count, bytes_a_second = cfg.data.batch_size, floors.bandwidth(device)
    half = precision(cfg.trainer.precision, device.type).startswith("bf16")
    rate = floors.peak(torch.bfloat16 if half else torch.float32, device)
    stored, seen = count * 3 * cfg.data.size**2, count * 3 * cfg.augment.crop**2
    weights = sum(weight.numel() for weight in module.net.parameters())
    host = bytes_a_second if device.type == "cpu" else floors.bandwidth(torch.device("cpu"))
    forward, whole = floors.operations(module.net, cfg.augment.crop)
    return {
        "read": 2 * stored / host,
        "augment": (seen + (2 if half else 4) * seen) / bytes_a_second,
        "forward": count * forward / rate,
        "backward": count * (whole - forward) / rate,
        "update": 20 * weights / bytes_a_second,  # gradient, weight and velocity read, the last two written
    }
