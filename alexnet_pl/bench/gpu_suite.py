"""`bench gpu`: measurements that need a GPU, in slices that write one JSON file each.

A finished slice is not measured again, and none starts after half of `bench.minutes`: repeating the command uses a GPU
that is available for a few minutes at a time. Learning curves are fits that take the rest of the time, and resume where
the last call stopped them.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig

from alexnet_pl import runtime
from alexnet_pl.bench import end_to_end, gpu_kernels, loaders, stages, suite, training_steps
from alexnet_pl.bench.fixtures import find_photographs, make_stores
from alexnet_pl.bench.gpu_curves import CURVE, curve_slices
from alexnet_pl.bench.timing import describe_machine, time_streams
from alexnet_pl.console import print_message, progress, silence_library_logs
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.files import JsonObject, write_json

IMAGES = 16_384  # images in the stores of the loader slices
VALIDATION = 50_000  # validation images of ILSVRC-2012
TESTS = Path(__file__).parents[2] / "tests/gpu"  # only in a git checkout

TEST_SECONDS = 420  # limit of the tests on the GPU

MeasureSlice = Callable[[DictConfig, Path], JsonObject]
"""(config, output folder) → measurements as JSON. `bench.minutes` of the config is the time that is left."""


def measure_gpu(cfg: DictConfig, folder: Path) -> None:
    """Measure the slices that are missing in `folder` for `bench.minutes`. Raises UserError without a GPU."""
    silence_library_logs()
    if not torch.cuda.is_available():
        raise UserError("bench gpu: no CUDA GPU is available (torch.cuda.is_available() is False)")
    folder.mkdir(parents=True, exist_ok=True)
    missing = run_slices(make_slices(cfg), cfg, folder)
    print_message(
        f"{len(missing)} slices are still missing: {', '.join(missing)}" if missing else "all slices are measured",
        folder,
    )


def run_slices(slices: dict[str, MeasureSlice], cfg: DictConfig, folder: Path) -> list[str]:
    """Run slices and return the names of those still missing. A failed one is recorded and tried again next time, after
    all that were not tried yet."""
    deadline = time.monotonic() + 60 * cfg.bench.minutes
    pending = [name for name in slices if not is_measured(folder / f"{name}.json")]
    for name in sorted(pending, key=lambda name: has_failed(folder / f"{name}.json")):
        left = (deadline - time.monotonic()) / 60
        if left > 0 and (name.startswith(CURVE) or 2 * left >= cfg.bench.minutes):
            run_slice(name, slices[name], with_minutes(cfg, left), folder)
    return [name for name in pending if not is_measured(folder / f"{name}.json")]


def with_minutes(cfg: DictConfig, minutes: float) -> DictConfig:
    changed = cfg.copy()
    changed.bench.minutes = minutes
    return changed


def run_slice(name: str, measure: MeasureSlice, cfg: DictConfig, folder: Path) -> None:
    """Measure a slice and write its file; until it ends, the file says that it was killed."""
    progress(name)
    path, start = folder / f"{name}.json", time.monotonic()
    if not name.startswith(CURVE):
        write_json(path, {"slice": name, "error": "killed before it ended"})
    try:
        result = measure(cfg, folder)
    except Exception as error:  # one failure must not stop the other slices
        result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    if "error" in result:
        print(f"bench gpu: {name}: {result['error']}", file=sys.stderr)
    write_json(path, {"slice": name, "seconds": time.monotonic() - start, **result})


def is_measured(path: Path) -> bool:
    """Whether a slice's file exists, is complete and has no error."""
    if not path.is_file():
        return False
    result = json.loads(path.read_text())
    return "error" not in result and result.get("complete", True)


def has_failed(path: Path) -> bool:
    return path.is_file() and "error" in json.loads(path.read_text())


def make_slices(cfg: DictConfig) -> dict[str, MeasureSlice]:
    """Name → slice, the cheap and most informative ones first."""
    slices: dict[str, MeasureSlice] = {"environment": describe_environment, "tests": run_gpu_tests}
    for size in suite.GPU_BATCHES:
        slices[f"steps-{size}"] = lambda cfg, _, size=size: time_steps(cfg, size)
    slices |= {
        "norms": time_norms,
        "kernels": lambda cfg, _: gpu_kernels.profile_step(cfg),
        "stages": measure_step_stages,
        "loaders": measure_loaders,
        "ten_views": time_ten_views,
    }
    if cfg.data.get("root") and Path(cfg.data.root).is_dir():
        slices |= {"fit": measure_whole_fit, **curve_slices(cfg)}
    return slices


def describe_environment(cfg: DictConfig, folder: Path) -> JsonObject:
    """Machine, versions, clocks and power limit."""
    properties = torch.cuda.get_device_properties(0)
    query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"
    return {
        "machine": describe_machine(),
        "capability": f"{properties.major}.{properties.minor}",
        "memory_gib": properties.total_memory / 2**30,
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nvidia_smi": query_driver(query),
    }


def query_driver(fields: str) -> dict[str, str]:
    """Values of nvidia-smi by field; empty if it is missing."""
    try:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    if not answer.strip():
        return {}
    return dict(zip(fields.split(","), (value.strip() for value in answer.splitlines()[0].split(",")), strict=True))


def run_gpu_tests(cfg: DictConfig, folder: Path) -> JsonObject:
    """Run the tests marked `gpu`, which compare every CUDA path with the CPU; they need a checkout and pytest."""
    if not TESTS.is_dir():
        return {"skipped": "no tests: not a git checkout"}
    log = folder / "tests.log"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(TESTS)]
    with log.open("w") as file:
        code = subprocess.run(
            command, cwd=TESTS.parents[1], stdout=file, stderr=subprocess.STDOUT, timeout=TEST_SECONDS
        ).returncode
    found = {"passed": code == 0, "summary": log.read_text().strip().splitlines()[-1:], "log": log.name}
    return found if code == 0 else {**found, "error": f"pytest ended with exit code {code}; see {log.name}"}


def time_steps(cfg: DictConfig, size: int) -> JsonObject:
    """Time a step by precision and launch mode, beside stock PyTorch and torchvision, in milliseconds."""
    work = suite.make_workload(cfg, runtime.cores(), size)
    names = (*training_steps.CANDIDATES, *training_steps.GPU_CANDIDATES)
    return {"batch_size": size, "milliseconds": to_milliseconds(suite.time_step(names, work, cfg.bench.rounds))}


def time_norms(cfg: DictConfig, folder: Path) -> JsonObject:
    work = suite.make_workload(cfg, runtime.cores(), cfg.data.batch_size)
    return {"milliseconds": to_milliseconds(suite.time_norms(work, cfg.bench.rounds))}


def to_milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: 1e3 * value for name, value in seconds.items()}


def measure_step_stages(cfg: DictConfig, folder: Path) -> JsonObject:
    with tempfile.TemporaryDirectory() as name:
        splits = {kind: store.split("train") for kind, store in make_bench_stores(cfg, Path(name)).items()}
        return stages.measure_stages(cfg, splits, cfg.bench.rounds)


def measure_loaders(cfg: DictConfig, folder: Path) -> JsonObject:
    """Measure images per second from raw, JPEG and GPU-decoded stores and from third-party loaders."""
    with tempfile.TemporaryDirectory() as name:
        make_bench_stores(cfg, Path(name))
        flows, missing = loaders.loader_candidates(Path(name), runtime.cores(), cfg.augment.crop)
        rates = suite.rates_to_json(time_streams(flows, cfg.bench.rounds, suite.WINDOW))
    return {"images_per_second": rates, "not_run": missing}


def make_bench_stores(cfg: DictConfig, folder: Path) -> dict[str, Store]:
    source = Path(cfg.prepare.source) if cfg.prepare.source else None
    make_stores(find_photographs(source, folder), folder, cfg.data.size, IMAGES)
    return {name: Store(folder / name) for name in ("raw", "jpeg")}


def time_ten_views(cfg: DictConfig, folder: Path) -> JsonObject:
    """Time ten views (§5.1) of as many images as ILSVRC-2012 validation has, already on the GPU, in seconds."""
    device, count = torch.device("cuda"), 1280
    module = stages.build_module(cfg, device).eval()
    images = torch.randint(0, 256, (count, 3, cfg.data.size, cfg.data.size), dtype=torch.uint8, device=device)
    precision = runtime.precision(cfg.trainer.precision, "cuda")
    batch = images[: cfg.data.batch_size]
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision.startswith("bf16")):
        seconds = stages.fastest_run(lambda: module.log_probabilities(batch, "ten"), device)
    return {"images": VALIDATION, "seconds": seconds * VALIDATION / len(batch), "precision": precision}


def measure_whole_fit(cfg: DictConfig, folder: Path) -> JsonObject:
    """Time a fit on the store at `data.root` with GPU idle share and energy, projected to the 90 epochs of §6."""
    fit = end_to_end.measure_fit(cfg, Path(cfg.data.root), folder / end_to_end.TRACE if cfg.bench.profile else None)
    return {"fit": fit, "projected": suite.project_training(fit)}
