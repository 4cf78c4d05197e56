"""`bench gpu`: measurements that need a GPU, in slices that write one JSON file each.

A finished slice is not measured again, and none starts near the end of `bench.minutes`, so the command can be repeated
on a GPU that is available for a few minutes at a time. Slices that compute on the GPU have a process each. Learning
curves are fits that take the second half of the time, and resume where the last call stopped them.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig

from alexnet_pl.bench import end_to_end, gpu_kernels, idle_share, loaders, stages, suite, training_steps
from alexnet_pl.bench.fixtures import CLASSES, PARTS, find_photographs, make_part, make_tree
from alexnet_pl.bench.gpu_curves import curve_slices
from alexnet_pl.bench.slices import MeasureSlice, describe_failures, in_own_process, keep, measure_each, run_slices
from alexnet_pl.bench.timing import describe_error, describe_machine, time_streams
from alexnet_pl.console import print_message, silence_library_logs
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import JsonObject
from alexnet_pl.paper.claim import DATASETS
from alexnet_pl.runtime.cores import cores
from alexnet_pl.runtime.precision import choose_precision, precision_in_use
from alexnet_pl.training.performance import Performance

IMAGES = 16_384  # images in the stores of the loader slices
VALIDATION = DATASETS["ILSVRC-2012 val"].images
TESTS = Path(__file__).parents[2] / "tests/gpu"  # only in a git checkout

TEST_SECONDS = 150  # limit of the tests on the GPU
STACK_SECONDS = 60  # after which a test prints its stack


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


def make_slices(cfg: DictConfig, stores: Path) -> dict[str, MeasureSlice]:
    """Name → slice, the most informative ones first: whether the code is right on this GPU, how fast it trains, and
    where the time goes. `stores`: folder for stores that several slices read."""
    first, *others = ((f"steps-{size}", in_own_process(partial(time_steps, size=size))) for size in suite.GPU_BATCHES)
    slices: dict[str, MeasureSlice] = {
        "environment": describe_environment,
        "tests": run_gpu_tests,
        "fit": in_own_process(partial(measure_whole_fit, stores=stores, name="fit")),
        "fit-graph": in_own_process(partial(measure_whole_fit, stores=stores, name="fit-graph")),
        "kernels": in_own_process(profile_kernels),
        **dict([first]),
        "fit-cached": in_own_process(partial(measure_whole_fit, stores=stores, name="fit-cached")),
        "ten_views": in_own_process(time_ten_views),
        "norms": in_own_process(time_norms),
        "stages": in_own_process(partial(measure_step_stages, stores=stores)),
        **dict(others),
        "loaders": in_own_process(partial(measure_loaders, stores=stores)),
    }
    if cfg.data.get("root"):  # which the other fits cache too
        del slices["fit-cached"]
        slices |= curve_slices(cfg)
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
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    if not answer.strip():
        return {}
    return dict(zip(fields.split(","), (value.strip() for value in answer.splitlines()[0].split(",")), strict=True))


def run_gpu_tests(cfg: DictConfig, folder: Path) -> JsonObject:
    """Run the tests marked `gpu`, which compare every CUDA path with the CPU; they need a checkout and pytest."""
    if not TESTS.is_dir():
        return {"skipped": "no tests: not a git checkout"}
    log, limit = folder / "tests.log", min(TEST_SECONDS, 60 * cfg.bench.minutes)
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", str(TESTS)]
    command += ["-o", f"faulthandler_timeout={STACK_SECONDS}"]
    command += ["-W", "default"]  # warnings of another version of a library must not fail what works
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # without plugins that happen to be installed there
    with log.open("wb") as file:
        code = subprocess.run(
            command, cwd=TESTS.parents[1], env=alone, stdout=file, stderr=subprocess.STDOUT, timeout=limit
        ).returncode
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    found = {"passed": code == 0, "summary": lines[-1:], "log": log.name}
    return found if code == 0 else {**found, "error": f"pytest ended with exit code {code}; see {log.name}"}


def time_steps(cfg: DictConfig, folder: Path, size: int) -> JsonObject:
    """Time a step by precision and launch mode, beside stock PyTorch and torchvision, in milliseconds."""
    work = suite.make_workload(cfg, cores(), size)

    def measure(name: str) -> float:
        return 1e3 * suite.time_step((name,), work, cfg.bench.rounds)[name]

    path = folder / f"steps-{size}.json"
    milliseconds, failed = measure_each(training_steps.GPU_CANDIDATES, measure, path, "milliseconds")
    return {
        "batch_size": size,
        "compiled": Performance(**work.performance).uses_compile(torch.device("cuda")),
        "milliseconds": milliseconds,
        **describe_failures(failed),
    }


def time_norms(cfg: DictConfig, folder: Path) -> JsonObject:
    work = suite.make_workload(cfg, cores(), cfg.data.batch_size)
    seconds = suite.time_norms(work, cfg.bench.rounds)
    return {"milliseconds": {name: 1e3 * value for name, value in seconds.items()}}


def profile_kernels(cfg: DictConfig, folder: Path) -> JsonObject:
    return gpu_kernels.profile_step(cfg)


def measure_step_stages(cfg: DictConfig, folder: Path, stores: Path) -> JsonObject:
    made = make_bench_stores(cfg, stores, ("raw", "jpeg"))
    splits = {kind: Store(made / kind).split("train") for kind in ("raw", "jpeg")}
    return stages.measure_stages(cfg, splits, cfg.bench.rounds)


def measure_loaders(cfg: DictConfig, folder: Path, stores: Path) -> JsonObject:
    """Measure images per second from raw, JPEG and GPU-decoded stores and from third-party loaders. Worker processes of
    the latter fail if shared memory is limited, as in a container."""
    made = make_bench_stores(cfg, stores, PARTS)
    flows, missing = loaders.loader_candidates(made, cores(), cfg.augment.crop)

    def measure(name: str) -> JsonObject:
        return suite.rates_to_json(time_streams({name: flows[name]}, cfg.bench.rounds, suite.WINDOW))[name]

    rates, failed = measure_each(flows, measure, folder / "loaders.json", "images_per_second")
    own = {name: reason for name, reason in failed.items() if name.startswith("ours")}
    return {"images_per_second": rates, "not_run": missing | failed, **describe_failures(own)}


def make_bench_stores(cfg: DictConfig, stores: Path, parts: tuple[str, ...]) -> Path:
    """Folder with photographs/ and those `parts` (`fixtures.PARTS`), each made once for all slices of a call: the GPU
    idles meanwhile."""
    made, source = stores / "made", Path(cfg.prepare.source) if cfg.prepare.source else None
    if not made.is_dir():
        new = Path(tempfile.mkdtemp(dir=stores))
        make_tree(find_photographs(source, stores), new / "photographs", IMAGES, min(CLASSES, IMAGES))
        new.rename(made)
    for part in parts:
        make_part(made, part, cfg.data.size, IMAGES)
    return made


def time_ten_views(cfg: DictConfig, folder: Path) -> JsonObject:
    """Time ten views (§5.1) of as many images as ILSVRC-2012 validation has, already on the GPU, in seconds."""
    device, count = torch.device("cuda"), 1280
    module = stages.build_module(cfg, device).eval()
    images = torch.randint(0, 256, (count, 3, cfg.data.size, cfg.data.size), dtype=torch.uint8, device=device)
    batch = images[: cfg.data.batch_size]
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=stages.computes_in_bf16(cfg, device)):
        seconds = stages.fastest_run(lambda: module.log_probabilities(batch, "ten"), device)
    in_use = precision_in_use(choose_precision(cfg.trainer.precision, "cuda"), "cuda")
    return {"images": VALIDATION, "seconds": seconds * VALIDATION / len(batch), "precision": in_use}


def measure_whole_fit(cfg: DictConfig, folder: Path, stores: Path, name: str) -> JsonObject:
    """Time a fit with GPU idle share and energy, projected to the 90 epochs of §6. `name`: name of the slice.

    The store at `data.root` is cached on the GPU if it fits; without one, drawn images are streamed like ILSVRC-2012's,
    except by `fit-cached`, whose GPU never waits for images. The times are kept before the fit is profiled, which may
    fail.
    """
    given = cfg.data.get("root")
    changed = cfg.copy()
    changed.performance.cuda_graph = name != "fit"
    trace = folder / f"{name}-{idle_share.TRACE}" if cfg.bench.profile else None
    root = Path(given) if given else make_bench_stores(cfg, stores, ("raw",)) / "raw"
    if name == "fit-cached":
        changed.data.root = str(root)  # a store that is given is cached
    fit = end_to_end.time_fit(changed, root)
    measured: JsonObject = {"fit": fit, "projected": suite.project_training(fit)}
    keep(folder / f"{name}.json", measured)
    try:
        fit["idle_share"] = idle_share.measure_idle_share(changed, root, trace)
    except Exception as error:  # the profiler needs a library of the driver's
        measured["not_profiled"] = describe_error(error)
    return measured
