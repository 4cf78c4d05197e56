"""Learning curves of both variants in two precisions: fits that stop at a deadline and resume at the next call."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.files import JsonObject
from alexnet_pl.runs.layout import METRICS

VARIANTS = ("as_run", "as_printed")
PRECISIONS = ("bf16-mixed", "32-true")
SEEDS = (0, 1, 2)
CURVE = "curve-"  # beginning of the slices' names
GRACE = 60  # seconds allowed for saving the checkpoint


def curve_slices(cfg: DictConfig) -> dict[str, Callable[[DictConfig, Path], JsonObject]]:
    """Make one slice per network; seeds are the outer loop, so that an early end leaves complete comparisons."""
    slices = {}
    for seed in SEEDS:
        for precision in PRECISIONS:
            for variant in VARIANTS:
                words = [f"variant={variant}", f"trainer.precision={precision}", f"seed={seed}"]
                name = f"{CURVE}{variant}-{precision}-seed{seed}"
                slices[name] = lambda cfg, folder, name=name, words=words: continue_fit(cfg, folder / name, words)
    return slices


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process that got a signal has ended; kill it after `GRACE` seconds."""
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def continue_fit(cfg: DictConfig, run: Path, words: list[str]) -> JsonObject:
    """Run `reproduce` for at most `bench.minutes`; `complete`: the schedule has ended and ten views are tested."""
    command = [
        sys.executable, "-m", "alexnet_pl", "reproduce", "-c", cfg.bench.curves, f"data.root={cfg.data.root}",
        *words, "logger=csv", f"hydra.run.dir={run}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        process.wait(60 * cfg.bench.minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        end_process(process)
        return {"complete": False, "run": run.name}
    if process.returncode:
        return {"error": f"`{' '.join(command[1:])}` ended with exit code {process.returncode}"}
    (result,) = run.glob("results/*ten*/result.json")
    tested = json.loads(result.read_text())
    errors = {key: tested[key] for key in ("top1_error", "top5_error")}
    return {"complete": True, "run": run.name, "metrics": f"{run.name}/{METRICS}", **errors}
