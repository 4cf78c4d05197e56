"""End-to-end timing of `fit`: seconds by part, joules per image, idle share of the GPU."""

import contextlib
import io
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from torch.profiler import ProfilerActivity, profile, schedule

from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.loading.loaders import TrainLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.cuda_graph import CudaGraphStep
from alexnet_pl.training.energy import EnergyMeter

WARMUP_STEPS = 6  # untimed steps: compilation, graph capture, first use of memory
TRACED_BATCHES, UNTRACED_BATCHES = 20, 5  # those before the traced ones, while the profiler attaches, do not count
TRACE = "trace.json"
STEPS = {"cuda": 5_000, "cpu": 24}  # timed steps; on a GPU half an epoch of ILSVRC-2012
LONGEST = 45.0  # seconds after which a fit ends early, on a slow GPU
NO_WORK = ("Memcpy HtoD", "Memcpy DtoH", "ProfilerStep")  # beginnings of names of events on a GPU


class LongEpoch(ImageStore):
    """Store whose training epoch has `steps` batches, repeating images: an epoch of a small store ends every second on
    a GPU, and each end waits for the queued work."""

    steps: int

    def train_dataloader(self) -> TrainLoader:
        loader = super().train_dataloader()
        loader.batches = self.steps
        return loader


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


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


class ProfilerTrace(L.Callback):
    """Runs a few batches under torch's profiler: a trace for chrome://tracing or Perfetto, and the GPU's idle share."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.idle, self.batches = path, None, 0
        gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        host = [ProfilerActivity.CPU] if path or not gpu else []  # records each operator, which delays the GPU
        parts = schedule(wait=0, warmup=UNTRACED_BATCHES, active=TRACED_BATCHES, repeat=1)
        self.profiler = profile(activities=[*host, *gpu], schedule=parts, acc_events=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if trainer.global_step < WARMUP_STEPS:
            return
        if self.batches == 0:
            self.profiler.start()
        elif self.batches < UNTRACED_BATCHES + TRACED_BATCHES:
            self.profiler.step()
        elif self.batches == UNTRACED_BATCHES + TRACED_BATCHES:
            synchronize(pl_module.device)
            self.profiler.stop()
            if self.path:
                self.profiler.export_chrome_trace(str(self.path))
            spans = [event_span(event) for event in self.profiler.events() or [] if is_gpu_event(event)]
            self.idle = idle_share(spans)
            trainer.should_stop = True
        self.batches += 1


def is_gpu_event(event: Any) -> bool:
    """Whether an event is work of a GPU's multiprocessors: neither a copy from or to the host, which overlaps with
    kernels, nor a user annotation."""
    on_gpu = event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
    return on_gpu and not event.name.startswith(NO_WORK)


def event_span(event: Any) -> tuple[float, float]:
    return event.time_range.start, event.time_range.end


def idle_share(spans: list[tuple[float, float]]) -> float | None:
    """Share of the time between the first and the last span that no span covers; None without spans."""
    if not spans:
        return None
    busy, reached = 0.0, min(spans)[0]
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return 1 - busy / (reached - min(spans)[0])


def measure_fit(cfg: DictConfig, root: Path, trace: Path | None) -> JsonObject:
    """Time a fit on the store at `root`; on a GPU or with a path for the trace, also profile some batches."""
    fit = time_fit(cfg, root)
    if trace or choose_device(cfg).type == "cuda":
        fit["idle_share"] = measure_idle_share(cfg, root, trace)
    return fit


def measure_idle_share(cfg: DictConfig, root: Path, trace: Path | None) -> float | None:
    """Profile some batches of a fit: the GPU's idle share, None on a CPU; also writes the trace to a path."""
    fit_cfg, callback = fit_config(cfg, Store(root)), ProfilerTrace(trace)
    run_fit(fit_cfg, callback, make_long_epoch(fit_cfg, WARMUP_STEPS + UNTRACED_BATCHES + TRACED_BATCHES))
    return callback.idle


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


def make_long_epoch(cfg: DictConfig, steps: int) -> ImageStore:
    data = build.make_data(cfg, LongEpoch)
    assert isinstance(data, LongEpoch)
    data.steps = steps
    return data


def percent_shares(seconds: dict[str, float], total: float) -> dict[str, float]:
    """Percent of the total by part; `outside`: time in neither augmentation nor forward, backward or update."""
    work = sum(seconds.get(name, 0.0) for name in ("augment", "forward", "backward", "update"))
    return {name: 100 * part / total for name, part in seconds.items()} | {"outside": 100 * (1 - work / total)}


def fit_config(cfg: DictConfig, store: Store) -> DictConfig:
    """Compose a fit of one epoch on this store, with a validation and a checkpoint at the end.

    A store made by `bench` is not cached on the GPU, because ILSVRC-2012 would not fit.
    """
    section = {"root": str(store.root), "name": store.name, "size": store.size, "batch_size": cfg.data.batch_size}
    overrides = {
        "command": "fit",
        "data": section,
        "model": {"num_classes": len(store.classes)},
        "logger": "csv",
        "schedule": {"name": "constant"},
        "trainer": {"max_epochs": 1, "check_val_every_n_epoch": 1},
        "performance": {"cache_on_gpu": cfg.performance.cache_on_gpu and not OmegaConf.is_missing(cfg.data, "root")},
    }
    unguarded = OmegaConf.create(OmegaConf.to_container(cfg))  # disable Hydra's check for new keys
    return OmegaConf.merge(unguarded, overrides)  # type: ignore[return-value]


def run_fit(cfg: DictConfig, callback: L.Callback, data: ImageStore | None = None, module: Any = None) -> None:
    with tempfile.TemporaryDirectory() as run, hidden_terminal(), warnings.catch_warnings(action="ignore"):
        trainer = make_trainer(cfg, Path(run), build.classifier_callbacks(cfg, Path(run)))
        trainer.callbacks.append(callback)  # type: ignore[attr-defined]
        trainer.fit(module or build.make_module(cfg), datamodule=data or build.make_data(cfg))


@contextlib.contextmanager
def hidden_terminal() -> Iterator[None]:
    """Discard stdout, with the progress bar rendered as on a terminal, so that its cost is measured."""
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with mock.patch.dict(os.environ, terminal), contextlib.redirect_stdout(io.StringIO()):
        yield
