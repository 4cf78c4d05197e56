"""`bench gpu`: everything that only a GPU can tell, in slices that each leave a JSON file.

A slice that has its file is not measured again, and none is started after `bench.minutes`, so that the same command,
repeated, uses a GPU that is at hand for a few minutes at a time. Learning curves are fits that continue where the last
call stopped them.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from alexnet_pl import runtime
from alexnet_pl.bench import end_to_end, gpu_kernels, loaders, stages, suite, training_steps
from alexnet_pl.bench.fixtures import find_photographs, make_stores
from alexnet_pl.bench.gpu_curves import curve_slices
from alexnet_pl.bench.timing import machine, time_in_processes, time_streams
from alexnet_pl.console import print_message, progress, silence_library_logs
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.files import write_json

IMAGES = 16_384  # of the stores that loaders read
VALIDATION = 50_000  # images of ILSVRC-2012 that are tested with ten views
TESTS = Path(__file__).parents[2] / "tests/gpu"  # in a checkout

Slice = Callable[[DictConfig, Path], dict[str, Any]]
"""(config, folder for files that stay) → what was measured."""


def measure_gpu(cfg: DictConfig, folder: Path) -> None:
    """Measure the slices that are missing in `folder`, until `bench.minutes` are over."""
    silence_library_logs()
    if not torch.cuda.is_available():
        raise UserError("bench gpu: no CUDA GPU is visible here (torch.cuda.is_available() is False)")
    folder.mkdir(parents=True, exist_ok=True)
    left = run_slices(slices(cfg), cfg, folder, time.monotonic() + 60 * cfg.bench.minutes)
    print_message(f"{len(left)} slices left: {', '.join(left)}" if left else "every slice is measured", folder)


def run_slices(found: dict[str, Slice], cfg: DictConfig, folder: Path, deadline: float) -> list[str]:
    """Names of the slices that are still missing. One that fails leaves its error and is tried again next time."""
    for name, measure in found.items():
        path = folder / f"{name}.json"
        if is_measured(path):
            continue
        if time.monotonic() > deadline:
            break
        progress(name)
        began = time.monotonic()
        try:
            result = measure(cfg, folder)
        except Exception as error:  # the other slices are worth as much
            result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            print(f"bench gpu: {name}: {result['error']}", file=sys.stderr)
        write_json(path, {"slice": name, "seconds": time.monotonic() - began, **result})
    return [name for name in found if not is_measured(folder / f"{name}.json")]


def is_measured(path: Path) -> bool:
    """Whether a slice has its file, without an error and to its end."""
    if not path.is_file():
        return False
    result = json.loads(path.read_text())
    return "error" not in result and result.get("complete", True)


def slices(cfg: DictConfig) -> dict[str, Slice]:
    """By the order of their use: what is cheap and decides the most comes first."""
    found: dict[str, Slice] = {"environment": environment, "tests": run_gpu_tests}
    for size in suite.GPU_BATCHES:
        found[f"steps-{size}"] = lambda cfg, _, size=size: time_steps(cfg, size)
    found |= {
        "norms": time_norms,
        "kernels": lambda cfg, _: gpu_kernels.profile_step(cfg),
        "stages": measure_step_stages,
        "loaders": measure_loaders,
        "ten_views": time_ten_views,
    }
    if cfg.data.get("root") and Path(cfg.data.root).is_dir():
        found |= {"fit": measure_whole_fit, **curve_slices(cfg)}
    return found


def environment(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Machine, versions, clocks and power limit."""
    properties = torch.cuda.get_device_properties(0)
    query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"
    return {
        "machine": machine(),
        "capability": f"{properties.major}.{properties.minor}",
        "memory_gib": properties.total_memory / 2**30,
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nvidia_smi": query_driver(query),
    }


def query_driver(fields: str) -> dict[str, str]:
    """What nvidia-smi answers, by field; empty where there is none."""
    try:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields.split(","), (value.strip() for value in answer.splitlines()[0].split(",")), strict=True))


def run_gpu_tests(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """The tests marked `gpu`, which hold every CUDA path against the CPU; they need a checkout and pytest."""
    if not TESTS.is_dir():
        return {"skipped": "no tests here: this is not a checkout"}
    log = folder / "tests.log"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(TESTS)]
    with log.open("w") as file:
        code = subprocess.run(command, cwd=TESTS.parents[1], stdout=file, stderr=subprocess.STDOUT).returncode
    return {"passed": code == 0, "summary": log.read_text().strip().splitlines()[-1:], "log": log.name}


def time_steps(cfg: DictConfig, size: int) -> dict[str, Any]:
    """Milliseconds of a step, by precision and by way of launching it, beside stock PyTorch and torchvision."""
    work = suite.work_of(cfg, runtime.cores(), size)
    names = (*training_steps.CONTENDERS, *training_steps.ON_GPU)
    seconds = time_in_processes(names, training_steps.make_step, (work,), cfg.bench.rounds)
    milliseconds = {name: 1e3 * value / work.steps for name, value in seconds.items()}
    return {"batch_size": size, "milliseconds": milliseconds}


def time_norms(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    work = suite.work_of(cfg, runtime.cores(), cfg.data.batch_size)
    seconds = time_in_processes(training_steps.NORMS, training_steps.make_norm, (work,), cfg.bench.rounds)
    return {"milliseconds": {name: 1e3 * value / work.steps for name, value in seconds.items()}}


def measure_step_stages(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        splits = {kind: store.split("train") for kind, store in bench_stores(cfg, Path(name)).items()}
        return stages.measure_stages(cfg, splits, cfg.bench.rounds)


def measure_loaders(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Images a second to the GPU from raw, JPEG and GPU-decoded stores, and by the loaders of other programs."""
    with tempfile.TemporaryDirectory() as name:
        bench_stores(cfg, Path(name))
        flows, missing = loaders.loader_candidates(Path(name), runtime.cores(), cfg.augment.crop)
        rates = suite.rates(time_streams(flows, cfg.bench.rounds, suite.WINDOW))
    return {"images_per_second": rates, "not_run": missing}


def bench_stores(cfg: DictConfig, folder: Path) -> dict[str, Store]:
    source = Path(cfg.prepare.source) if cfg.prepare.source else None
    make_stores(find_photographs(source, folder), folder, cfg.data.size, IMAGES)
    return {name: Store(folder / name) for name in ("raw", "jpeg")}


def time_ten_views(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Seconds for as many images as ILSVRC-2012's validation set has, ten views each, already on the GPU (§5.1)."""
    device, count = torch.device("cuda"), 1280
    module = stages.build_module(cfg, device).eval()
    images = torch.randint(0, 256, (count, 3, cfg.data.size, cfg.data.size), dtype=torch.uint8, device=device)
    half = runtime.precision(cfg.trainer.precision, "cuda").startswith("bf16")
    batch = images[: cfg.data.batch_size]
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=half):
        seconds = stages.best(lambda: module.log_probabilities(batch, "ten"), device)
    return {"images": VALIDATION, "seconds": seconds * VALIDATION / len(batch), "precision": cfg.trainer.precision}


def measure_whole_fit(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """A fit on the store at `data.root` with the GPU's idle share and energy, and §6's 90 epochs at its rate."""
    fit = end_to_end.measure_fit(cfg, Path(cfg.data.root), folder / end_to_end.TRACE if cfg.bench.profile else None)
    return {"fit": fit, "projected": suite.projected(fit)}
