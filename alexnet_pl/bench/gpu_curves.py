"""Learning curves of both variants in two precisions: fits that stop at a deadline and resume at the next call."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.json_records import JsonObject
from alexnet_pl.runs.layout import METRICS

VARIANTS = ("as_run", "as_printed")
PRECISIONS = ("bf16-mixed", "32-true")
SEEDS = (0, 1, 2)
CURVE = "curve-"  # beginning of the slices' names
GRACE = 30  # last seconds of the time, for saving the checkpoint


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
    """Ask a process to end, and wait for it; kill it after `GRACE` seconds, or if this process is asked again."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()


def continue_fit(cfg: DictConfig, run: Path, words: list[str]) -> JsonObject:
    """Run `reproduce` for at most `bench.minutes`; `complete`: the schedule has ended and ten views are tested.

    Its process ends with this one, whatever stops it.
    """
    command = [
        sys.executable, "-m", "alexnet_pl", "reproduce", "-c", cfg.bench.curves, f"data.root={cfg.data.root}",
        *words, "logger=csv", f"hydra.run.dir={run}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        process.wait(max(0, 60 * cfg.bench.minutes - GRACE))
    except subprocess.TimeoutExpired:
        end_process(process)
        return {"complete": False, "run": run.name}
    except BaseException:
        end_process(process)
        raise
    if process.returncode:
        return {"error": f"`{' '.join(command[1:])}` ended with exit code {process.returncode}"}
    (result,) = run.glob("results/*ten*/result.json")
    tested = json.loads(result.read_text(encoding="utf-8"))
    errors = {key: tested[key] for key in ("top1_error", "top5_error")}
    return {"complete": True, "run": run.name, "metrics": f"{run.name}/{METRICS}", **errors}
