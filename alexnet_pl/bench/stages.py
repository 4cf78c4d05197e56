"""Stages of a training step, timed separately, beside their rooflines on this machine."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.data.store.split import Split
from alexnet_pl.experiment import build
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.runtime.precision import choose_precision, set_tf32, uncached_autocast
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups

WAITED_CYCLES = 20_000_000  # GPU cycles, ten milliseconds


class StageTimer:
    """Stage → list of seconds."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict[str, list[float]]()

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Time work of the device."""
        return self.add(name, *time_on(self.device, work))

    def time_host(self, name: str, work: Callable[[], Any]) -> Any:
        return self.add(name, *time_on(torch.device("cpu"), work))

    def add(self, name: str, seconds: float, result: Any) -> Any:
        self.seconds.setdefault(name, []).append(seconds)
        return result


def time_on(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` takes on `device`, and its result.

    On a GPU only the kernels are timed: it first waits until the host has launched them, since launching most stages
    takes longer than running them.
    """
    if device.type != "cuda":
        start = time.perf_counter()
        result = work()
        return time.perf_counter() - start, result
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(WAITED_CYCLES)
    start.record()
    result = work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3, result


def measure_stages(cfg: DictConfig, splits: dict[str, Split], rounds: int) -> JsonObject:
    """Milliseconds of each stage of a step on `cfg.data.batch_size` images, and its roofline (`rooflines`)."""
    device = choose_device(cfg)
    clock, module = StageTimer(device), build_module(cfg, device)
    sgd = make_optimizer(module)
    for number in range(rounds + 2):
        if number == 2:  # after two rounds of warm-up
            clock.seconds.clear()
        time_stages(clock, cfg, module, sgd, splits, number)
    seconds = {name: statistics.median(found) for name, found in clock.seconds.items()}
    return {
        "batch_size": cfg.data.batch_size,
        "precision": choose_precision(cfg.trainer.precision, device.type),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "milliseconds": {name: 1e3 * value for name, value in seconds.items()},
        "rooflines": {name: 1e3 * value for name, value in rooflines(cfg, module, device).items()},
    }


def build_module(cfg: DictConfig, device: torch.device) -> Classifier:
    """The recipe's module on `device`, with a mean image and color statistics typical of photographs. From here on this
    process computes in TF32 only if the recipe does."""
    set_tf32(cfg)
    module = build.make_module(cfg).to(device).train()
    module.apply_performance(device)
    module.augment.set_statistics(np.full((3, cfg.data.size, cfg.data.size), 118.0), np.diag([400.0, 1400.0, 14800.0]))
    return module


def computes_in_bf16(cfg: DictConfig, device: torch.device) -> bool:
    return choose_precision(cfg.trainer.precision, device.type).startswith("bf16")


def make_optimizer(module: Classifier) -> MomentumSGD:
    groups = parameter_groups(module.net, module.lr, module.weight_decay, module.bias_lr_scale, module.decay_biases)
    return MomentumSGD(groups, module.lr, module.momentum, module.weight_decay, fused=module.performance.optimized)


def time_stages(
    clock: StageTimer, cfg: DictConfig, module: Classifier, sgd: MomentumSGD, splits: dict[str, Split], number: int
) -> None:
    count, device = cfg.data.batch_size, clock.device
    buffers = {name: time_read(clock, name, split, count, number) for name, split in splits.items()}
    images = clock.time("transfer", lambda: buffers["raw"].to(device))  # JPEGs are decoded to another memory layout
    draws = module.augment.draw(0, 0, number, count)
    draws = type(draws)(*(each.to(device) for each in draws))
    labels = torch.arange(count, device=device) % module.net.num_classes
    half = computes_in_bf16(cfg, device)

    def augment() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return module.in_memory_format(module.augment(images, draws))

    view = clock.time("augment", augment)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half), uncached_autocast(device.type):
            return F.cross_entropy(module.net(view).float(), labels)

    sgd.zero_grad()
    loss = clock.time("forward", forward)
    clock.time("backward", loss.backward)
    clock.time("update", sgd.step)


def time_read(clock: StageTimer, encoding: str, split: Split, count: int, number: int) -> torch.Tensor:
    """Time reading or decoding `count` images of a store with `encoding`, raw or jpeg, in the order of epoch `number`;
    returns them."""
    order = np.resize(epoch_order(len(split), 0, number), count)
    buffer = split.buffer(count, pinned=clock.device.type == "cuda")
    clock.time_host("read" if encoding == "raw" else "decode", lambda: split.read(order, buffer.numpy()))
    return buffer


def rooflines(cfg: DictConfig, module: Classifier, device: torch.device) -> dict[str, float]:
    """Compute each stage's roofline in seconds: bytes / bandwidth or operations / peak rate, both measured here."""
    count, bytes_a_second = cfg.data.batch_size, measure_bandwidth(device)
    half = computes_in_bf16(cfg, device)
    rate = measure_peak(torch.bfloat16 if half else torch.float32, device)
    stored, cropped = count * 3 * cfg.data.size**2, count * 3 * cfg.augment.crop**2
    weights = sum(weight.numel() for weight in module.net.parameters())
    host = bytes_a_second if device.type == "cpu" else measure_bandwidth(torch.device("cpu"))
    forward, total = count_operations(module.net, cfg.augment.crop)
    return {
        "read": 2 * stored / host,
        "augment": (cropped + (2 if half else 4) * cropped) / bytes_a_second,
        "forward": count * forward / rate,
        "backward": count * (total - forward) / rate,
        "update": 20 * weights / bytes_a_second,  # reads gradient, weight and velocity; writes weight and velocity
    }


def measure_bandwidth(device: torch.device) -> float:
    """Measure bytes per second, read plus written, of an addition in place, larger than the caches.

    Not of a copy: a CPU also reads the memory that a copy overwrites, so the update would be faster than its roofline.
    """
    source, target = (torch.ones(64 << 20, device=device) for _ in range(2))
    return 3 * 4 * source.numel() / fastest_run(lambda: target.add_(source), device)


def measure_peak(kind: torch.dtype, device: torch.device) -> float:
    """Measure operations per second of a matrix product: of the network's size on a CPU, larger on a GPU."""
    m, k, n = (4096, 2048, 1024) if device.type == "cpu" else (8192, 8192, 8192)
    a, b = (torch.randn(shape, device=device).to(kind) for shape in ((m, k), (k, n)))
    return 2 * m * k * n / fastest_run(lambda: a @ b, device)


def fastest_run(job: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of seven runs."""
    return min(time_on(device, job)[0] for _ in range(7))


def count_operations(net: nn.Module, crop: int) -> tuple[float, float]:
    """Count operations per image: (forward, forward and backward), without the gradient of the pixels. Two operations
    per multiplication in convolutions and fully connected layers; backward has two products for each one."""
    net = copy.deepcopy(net).to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, crop, crop, device="meta"))
    forward = counter.get_total_flops()
    first = sum(counter.get_flop_counts()[f"{type(net).__name__}.conv1"].values())
    return forward, 3 * forward - first
