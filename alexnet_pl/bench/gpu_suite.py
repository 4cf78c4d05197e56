"""`bench gpu`: measurements that need a GPU, in slices that write one JSON file each.

A finished slice is not measured again, and none starts near the end of `bench.minutes`: repeating the command uses a
GPU that is available for a few minutes at a time. Learning curves are fits that take the second half of the time, and
resume where the last call stopped them.
"""

import faulthandler
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

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
from alexnet_pl.paper.claim import DATASETS

IMAGES = 16_384  # images in the stores of the loader slices
VALIDATION = DATASETS["ILSVRC-2012 val"].images
TESTS = Path(__file__).parents[2] / "tests/gpu"  # only in a git checkout

TEST_SECONDS = 420  # limit of the tests on the GPU
HANGING_SECONDS = 240  # after which the stack of a slice is printed, which shows where it hangs

MeasureSlice = Callable[[DictConfig, Path], JsonObject]
"""(config, output folder) → measurements as JSON. `bench.minutes` of the config is the time that is left."""


def measure_gpu(cfg: DictConfig, folder: Path) -> None:
    """Measure the slices that are missing in `folder` for `bench.minutes`. Raises UserError without a GPU."""
    silence_library_logs()
    if not torch.cuda.is_available():
        raise UserError("bench gpu: no CUDA GPU is available (torch.cuda.is_available() is False)")
    if cfg.data.get("root"):
        Store(cfg.data.root)  # raises a UserError now, rather than in the last slice
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as stores:
        missing = run_slices(make_slices(cfg, Path(stores)), cfg, folder)
    print_message(
        f"{len(missing)} slices are still missing: {', '.join(missing)}" if missing else "all slices are measured",
        folder,
    )


def run_slices(slices: dict[str, MeasureSlice], cfg: DictConfig, folder: Path) -> list[str]:
    """Run slices and return the names of those still missing. A failed one is recorded and tried again next time, after
    all that were not tried yet. Those that do not stop by themselves must start in the first half of the time if
    learning curves are to follow, else in the first three quarters."""
    deadline = time.monotonic() + 60 * cfg.bench.minutes
    pending = [name for name in slices if not is_measured(folder / f"{name}.json")]
    reserve = cfg.bench.minutes / (2 if any(name.startswith(CURVE) for name in pending) else 4)
    for name in sorted(pending, key=lambda name: has_failed(folder / f"{name}.json")):
        left = (deadline - time.monotonic()) / 60
        if left > 0 and (name.startswith(CURVE) or left >= reserve):
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
        faulthandler.dump_traceback_later(HANGING_SECONDS, file=2)  # stderr
    try:
        runtime.device(cfg)  # sets TF32, which an earlier slice may have changed
        result = measure(cfg, folder)
    except Exception as error:  # one failure must not stop the other slices
        result = {"error": describe_error(error)}
    faulthandler.cancel_dump_traceback_later()
    if "error" in result:
        print(f"bench gpu: {name}: {result['error']}", file=sys.stderr)
    write_json(path, {"slice": name, "seconds": time.monotonic() - start, **result})


def describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def is_measured(path: Path) -> bool:
    """Whether a slice's file exists, is complete and has no error."""
    if not path.is_file():
        return False
    result = json.loads(path.read_text())
    return "error" not in result and result.get("complete", True)


def has_failed(path: Path) -> bool:
    return path.is_file() and "error" in json.loads(path.read_text())


def make_slices(cfg: DictConfig, stores: Path) -> dict[str, MeasureSlice]:
    """Name → slice, the most informative ones first. `stores`: folder for stores that several slices read."""
    first, *others = ((f"steps-{size}", partial(time_steps, size=size)) for size in suite.GPU_BATCHES)
    slices: dict[str, MeasureSlice] = {
        "environment": describe_environment,
        "tests": run_gpu_tests,
        **dict([first]),
        "kernels": lambda cfg, _: gpu_kernels.profile_step(cfg),
        "fit": partial(measure_whole_fit, stores=stores, graph=False),
        "fit-graph": partial(measure_whole_fit, stores=stores, graph=True),
        "ten_views": time_ten_views,
        "norms": time_norms,
        "stages": partial(measure_step_stages, stores=stores),
        **dict(others),
        "loaders": partial(measure_loaders, stores=stores),
    }
    return slices | (curve_slices(cfg) if cfg.data.get("root") else {})


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
    command += ["-W", "default"]  # warnings of another version of a library must not fail what works
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # without plugins that happen to be installed there
    with log.open("w") as file:
        code = subprocess.run(
            command, cwd=TESTS.parents[1], env=alone, stdout=file, stderr=subprocess.STDOUT, timeout=TEST_SECONDS
        ).returncode
    found = {"passed": code == 0, "summary": log.read_text().strip().splitlines()[-1:], "log": log.name}
    return found if code == 0 else {**found, "error": f"pytest ended with exit code {code}; see {log.name}"}


def time_steps(cfg: DictConfig, folder: Path, size: int) -> JsonObject:
    """Time a step by precision and launch mode, beside stock PyTorch and torchvision, in milliseconds."""
    work = suite.make_workload(cfg, runtime.cores(), size)
    names = (*training_steps.CANDIDATES, *training_steps.GPU_CANDIDATES)
    seconds, failed = measure_each(names, lambda name: suite.time_step((name,), work, cfg.bench.rounds)[name])
    return {"batch_size": size, "milliseconds": to_milliseconds(seconds), **describe_failures(failed)}


def time_norms(cfg: DictConfig, folder: Path) -> JsonObject:
    work = suite.make_workload(cfg, runtime.cores(), cfg.data.batch_size)
    return {"milliseconds": to_milliseconds(suite.time_norms(work, cfg.bench.rounds))}


def measure_each(names: Iterable[str], measure: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure one candidate after the other: (name → result, name → why it failed)."""
    results, failed = {}, {}
    for name in names:
        try:
            results[name] = measure(name)
        except Exception as error:  # one failure must not cost the other measurements
            failed[name] = describe_error(error)
    return results, failed


def describe_failures(failed: dict[str, str]) -> dict[str, str]:
    """The error of a slice of which some candidates failed; empty if none did."""
    return {"error": "; ".join(f"{name}: {reason}" for name, reason in failed.items())} if failed else {}


def to_milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: 1e3 * value for name, value in seconds.items()}


def measure_step_stages(cfg: DictConfig, folder: Path, stores: Path) -> JsonObject:
    made = make_bench_stores(cfg, stores)
    splits = {kind: Store(made / kind).split("train") for kind in ("raw", "jpeg")}
    return stages.measure_stages(cfg, splits, cfg.bench.rounds)


def measure_loaders(cfg: DictConfig, folder: Path, stores: Path) -> JsonObject:
    """Measure images per second from raw, JPEG and GPU-decoded stores and from third-party loaders. Worker processes of
    the latter fail where little shared memory is allowed, as in a container."""
    flows, missing = loaders.loader_candidates(make_bench_stores(cfg, stores), runtime.cores(), cfg.augment.crop)
    rates, failed = measure_each(flows, lambda name: time_streams({name: flows[name]}, cfg.bench.rounds, suite.WINDOW))
    own = {name: reason for name, reason in failed.items() if name.startswith("ours")}
    found = {name: rate for one in rates.values() for name, rate in suite.rates_to_json(one).items()}
    return {"images_per_second": found, "not_run": missing | failed, **describe_failures(own)}


def make_bench_stores(cfg: DictConfig, stores: Path) -> Path:
    """Folder with raw/, jpeg/ and the files of `fixtures.make_stores`, made once for all slices of a call."""
    made, source = stores / "made", Path(cfg.prepare.source) if cfg.prepare.source else None
    if not made.is_dir():
        new = Path(tempfile.mkdtemp(dir=stores))
        make_stores(find_photographs(source, stores), new, cfg.data.size, IMAGES)
        new.rename(made)
    return made


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


def measure_whole_fit(cfg: DictConfig, folder: Path, stores: Path, graph: bool) -> JsonObject:
    """Time a fit with GPU idle share and energy, projected to the 90 epochs of §6.

    The store at `data.root` is cached on the GPU if it fits; without one, drawn images are streamed like ILSVRC-2012's.
    """
    given = cfg.data.get("root")
    changed = cfg.copy()
    changed.performance.cuda_graph = graph
    trace = folder / end_to_end.TRACE if cfg.bench.profile else None
    fit = end_to_end.measure_fit(changed, Path(given) if given else make_bench_stores(cfg, stores) / "raw", trace)
    return {"fit": fit, "projected": suite.project_training(fit)}
