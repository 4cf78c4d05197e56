"""GPU kernels of a training step by time, beside the rooflines of the stages."""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from alexnet_pl.bench import stages
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runtime.precision import uncached_autocast
from alexnet_pl.training.classifier import Classifier

STEPS, WARMUP_STEPS = 10, 5
KERNELS = 40  # number of slowest kernels to list


def profile_step(cfg: DictConfig) -> JsonObject:
    """Microseconds per step of each kernel, slowest first, and of all kernels; `rooflines`: milliseconds per stage."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = stages.build_module(cfg, device).train()
    step = make_step(cfg, module, device)
    for _ in range(WARMUP_STEPS):
        step()
    activities = [ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]
    with profile(activities=activities, acc_events=True) as profiler:
        for _ in range(STEPS):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()
    kernels = kernel_times(profiler.events() or [], device.type)
    slowest = dict(sorted(kernels.items(), key=lambda item: -item[1])[:KERNELS])
    rooflines = {name: 1e3 * value for name, value in stages.rooflines(cfg, module, device).items()}
    return {
        "batch_size": cfg.data.batch_size,
        "microseconds": {name: value / STEPS for name, value in slowest.items()},
        "all_kernels": sum(kernels.values()) / STEPS,
        "rooflines": rooflines,
    }


def make_step(cfg: DictConfig, module: Classifier, device: torch.device) -> Callable[[], None]:
    """Training step on random images, in the memory format and type in which the augmentation of a fit returns them."""
    sgd, half = stages.make_optimizer(module), stages.computes_in_bf16(cfg, device)
    size, crop = cfg.data.batch_size, cfg.augment.crop
    view = module.in_memory_format(60 * torch.randn(size, 3, crop, crop, device=device))
    if half and module.performance.rounds_images(device):
        view = view.bfloat16()
    labels = torch.arange(size, device=device) % module.net.num_classes

    def step() -> None:
        sgd.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half), uncached_autocast(device.type):
            loss = F.cross_entropy(module.net(view).float(), labels)
        loss.backward()
        sgd.step()

    return step


def kernel_times(events: Any, device: str) -> dict[str, float]:
    """Kernel → microseconds; on the CPU, operator → its own time without the operators it calls."""
    microseconds: dict[str, float] = {}
    for event in events:
        if event.device_type.name != device.upper() or getattr(event, "is_user_annotation", False):
            continue
        duration = event.self_cpu_time_total if device == "cpu" else event.time_range.elapsed_us()
        microseconds[event.name] = microseconds.get(event.name, 0.0) + duration
    return microseconds
