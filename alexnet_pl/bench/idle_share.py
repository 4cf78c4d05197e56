"""Idle share of the GPU in a fit: the time that no kernel covers, by torch's profiler; also its trace."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig
from torch.profiler import ProfilerActivity, profile, schedule

from alexnet_pl.bench.short_fits import WARMUP_STEPS, fit_config, make_long_epoch, run_fit, synchronize
from alexnet_pl.data.store.store import Store

TRACED_BATCHES, UNTRACED_BATCHES = 20, 5  # those before the traced ones, while the profiler attaches, do not count
TRACE = "trace.json"
NO_WORK = ("Memcpy HtoD", "Memcpy DtoH", "ProfilerStep")  # beginnings of names of events on a GPU


def measure_idle_share(cfg: DictConfig, root: Path, trace: Path | None) -> float | None:
    """Profile some batches of a fit: the GPU's idle share, None on a CPU; also writes the trace to a path."""
    fit_cfg, callback = fit_config(cfg, Store(root)), ProfilerTrace(trace)
    run_fit(fit_cfg, callback, make_long_epoch(fit_cfg, WARMUP_STEPS + UNTRACED_BATCHES + TRACED_BATCHES))
    return callback.idle


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
            self.finish()
            trainer.should_stop = True
        self.batches += 1

    def finish(self) -> None:
        """Stop the profiler; write the trace and compute the idle share."""
        self.profiler.stop()
        if self.path:
            self.profiler.export_chrome_trace(str(self.path))
        self.idle = idle_share([event_span(event) for event in self.profiler.events() or [] if is_gpu_event(event)])


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
