"""End-to-end timing of `fit`: seconds by part, joules per image, idle share of the GPU."""

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from alexnet_pl.bench.idle_share import measure_idle_share
from alexnet_pl.bench.short_fits import WARMUP_STEPS, fit_config, make_long_epoch, run_fit, synchronize
from alexnet_pl.data.store.store import Store
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.cuda_graph import CudaGraphStep
from alexnet_pl.training.energy import EnergyMeter

STEPS = {"cuda": 5_000, "cpu": 24}  # timed steps; on a GPU half an epoch of ILSVRC-2012
LONGEST = 45.0  # seconds after which a fit ends early, on a slow GPU


class PartTimer:
    """Times wrapped functions; the time of a nested wrapped call counts for the outermost one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.is_timing = False

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            if self.is_timing:
                return function(*args, **kwargs)
            self.is_timing, start = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.is_timing = False
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

        return inner


class FitTimer(L.Callback):
    """Times a fit from the end of the warm-up to the end of the fit, including validation and checkpoints.

    On a CPU, where calls are synchronous, it also times the parts of a step.
    """

    def __init__(self, shares: PartTimer | None) -> None:
        self.shares, self.start, self.since, self.steps = shares, 0.0, 0, 0
        self.meter: EnergyMeter | None = None
        self.joules: dict[str, float] = {}
        self.paths: JsonObject = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if self.shares is not None:
            instrument_parts(self.shares, pl_module, trainer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if self.meter is None and trainer.global_step >= WARMUP_STEPS:
            synchronize(pl_module.device)
            if self.shares is not None:
                self.shares.seconds.clear()
            self.start, self.since, self.meter = time.perf_counter(), trainer.global_step, EnergyMeter()
        elif self.meter and time.perf_counter() - self.start > LONGEST:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        synchronize(pl_module.device)
        assert self.meter is not None
        self.seconds, self.joules = time.perf_counter() - self.start, self.meter.joules()
        self.steps = trainer.global_step - self.since
        self.paths = paths_taken(trainer, pl_module)


def paths_taken(trainer: L.Trainer, module: L.LightningModule) -> JsonObject:
    """Optional fast paths that a fit used; each falls back without a message."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(module, Classifier)
    graph = module.step_function if isinstance(module.step_function, CudaGraphStep) else None
    return {
        "compiled": module.performance.uses_compile(module.device),
        "cached_on_gpu": data.store.split("train").on_device is not None,
        "replayed_steps": graph.replays if graph else 0,
        "eager_steps": graph.eager_steps if graph else trainer.global_step,
    }


def instrument_parts(shares: PartTimer, module: Classifier, trainer: L.Trainer) -> None:
    def time_method(owner: Any, name: str, stage: str) -> None:
        setattr(owner, name, shares.timed(stage, getattr(owner, name)))

    time_method(module.augment, "forward", "augment")
    time_method(module.augment, "view", "augment")
    time_method(module.net, "forward", "forward")
    time_method(module, "manual_backward", "backward")
    time_method(module.sgd, "step", "update")
    time_method(trainer, "save_checkpoint", "checkpoints")


def measure_fit(cfg: DictConfig, root: Path, trace: Path | None) -> JsonObject:
    """Time a fit on the store at `root`; on a GPU or with a path for the trace, also profile some batches."""
    fit = time_fit(cfg, root)
    if trace or choose_device(cfg).type == "cuda":
        fit["idle_share"] = measure_idle_share(cfg, root, trace)
    return fit


def time_fit(cfg: DictConfig, root: Path) -> JsonObject:
    """Time a fit on the store at `root`. On a GPU, a short fit is run first to compile all kernels, including those of
    validation."""
    store, device = Store(root), choose_device(cfg)
    shares = PartTimer() if device.type == "cpu" else None
    timer, fit_cfg = FitTimer(shares), fit_config(cfg, store)
    if device.type == "cuda":
        run_fit(fit_cfg, L.Callback(), make_long_epoch(fit_cfg, WARMUP_STEPS))
    run_fit(fit_cfg, timer, make_long_epoch(fit_cfg, WARMUP_STEPS + STEPS.get(device.type, STEPS["cpu"])))
    images = timer.steps * cfg.data.batch_size
    return {
        "images": f"{store.name}, {len(store.split('train')):,} training images",
        "steps": timer.steps,
        **timer.paths,
        "images_per_second": images / timer.seconds,
        "seconds": timer.seconds,
        "shares": percent_shares(shares.seconds, timer.seconds) if shares else None,
        "joules_per_image": {name: joules / images for name, joules in timer.joules.items()},
        "idle_share": None,
    }


def percent_shares(seconds: dict[str, float], total: float) -> dict[str, float]:
    """Percent of the total by part; `outside`: time in neither augmentation nor forward, backward or update."""
    work = sum(seconds.get(name, 0.0) for name in ("augment", "forward", "backward", "update"))
    return {name: 100 * part / total for name, part in seconds.items()} | {"outside": 100 * (1 - work / total)}
