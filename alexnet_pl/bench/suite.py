"""`bench train`: loaders, stages of a step, whole steps, trainer overhead, and an end-to-end fit."""

import tempfile
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.bench import end_to_end, idle_share, loaders, stages, trainer_overhead, training_steps
from alexnet_pl.bench.fixtures import find_photographs, make_stores
from alexnet_pl.bench.processes import ANSWER_SECONDS, MakeCandidate, time_in_processes
from alexnet_pl.bench.timing import Rate, TimingWindow, describe_machine, time_streams
from alexnet_pl.console import progress, silence_library_logs
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import JsonObject
from alexnet_pl.paper.claim import IMAGES_PER_EPOCH
from alexnet_pl.runtime.device import choose_device

CPU_IMAGES = 1024  # images in the stores
STORE_IMAGES = {"cuda": 16_384}  # more on a GPU, so that an epoch takes longer than the start-up
EPOCHS = 90  # §6
GPU_BATCHES = (128, 256, 1024)
GPU_SECONDS = 90.0  # limit for the start and for each run of a candidate on a GPU, where a run takes milliseconds
WINDOW = TimingWindow()


def measure_training(cfg: DictConfig, folder: Path) -> JsonObject:
    """Measure all parts; returns JSON. The profiler's trace, if enabled, is written to `folder`."""
    silence_library_logs()
    if (name := cfg.model.get("name", "alexnet")) != "alexnet":
        raise UserError(
            f"model.name={name}: bench measures AlexNet's steps; give a recipe of it, such as -c ilsvrc2012"
        )
    if not OmegaConf.is_missing(cfg.data, "root"):
        Store(cfg.data.root)  # raises a UserError now, rather than after minutes of measuring
    source = Path(cfg.prepare.source) if cfg.prepare.source else None
    about = describe_measurement(cfg, source)
    with tempfile.TemporaryDirectory() as stores:
        progress("stores of the photographs")
        images = STORE_IMAGES.get(choose_device(cfg).type, CPU_IMAGES)
        make_stores(find_photographs(source, Path(stores)), Path(stores), cfg.data.size, images)
        return about | measure_parts(cfg, Path(stores), about["machine"]["cores"], folder)


def describe_measurement(cfg: DictConfig, source: Path | None) -> JsonObject:
    """Machine, photographs, rounds and recipe of a call."""
    return {
        "suite": "train",
        "machine": describe_machine(),
        "photographs": f"{source.name}/" if source else "drawn, 500 × 375",
        "rounds": cfg.bench.rounds,
        "recipe": {
            "model": section_dict(cfg, "model"),
            "performance": section_dict(cfg, "performance"),
            "batch_size": cfg.data.batch_size,
        },
    }


def measure_parts(cfg: DictConfig, stores: Path, cores: int, folder: Path) -> JsonObject:
    """Measure loaders, stages, steps, the trainer and a fit. `stores`: from `fixtures.make_stores`."""
    measured: JsonObject = {}
    root = stores / "raw" if OmegaConf.is_missing(cfg.data, "root") else Path(cfg.data.root)
    progress("a store outside the page cache")
    measured["cold"] = rates_to_json(loaders.measure_cold_reads(root, cfg.bench.rounds))
    progress("loaders, ours and third-party")
    flows, measured["not_run"] = loaders.loader_candidates(stores, cores, cfg.augment.crop)
    measured["feeding"] = rates_to_json(time_streams(flows, cfg.bench.rounds, WINDOW))
    progress("stages of a step")
    splits = {name: Store(stores / name).split("train") for name in ("raw", "jpeg")}
    measured["stages"] = stages.measure_stages(cfg, splits, cfg.bench.rounds)
    measured |= time_candidates(cfg, cores)
    progress("the trainer")
    measured["trainer"] = rates_to_json(trainer_overhead.measure_overhead(cfg, max(2, cfg.bench.rounds // 2)))
    progress("an end-to-end fit")
    measured["fit"] = end_to_end.measure_fit(cfg, root, folder / idle_share.TRACE if cfg.bench.profile else None)
    return measured | {"projected": project_training(measured["fit"])}


def section_dict(cfg: DictConfig, name: str) -> JsonObject:
    return OmegaConf.to_container(cfg[name], resolve=True)  # type: ignore[return-value]


def time_candidates(cfg: DictConfig, cores: int) -> JsonObject:
    """Time steps on `cfg.data.batch_size` images and the norms, in seconds; on a GPU also for other batch sizes."""
    progress("steps, ours and third-party")
    workload = make_workload(cfg, cores, cfg.data.batch_size)
    gpu = workload.device == "cuda"
    names = training_steps.GPU_CANDIDATES if gpu else training_steps.CANDIDATES
    seconds_by_kind: JsonObject = {
        "steps": time_step(names, workload, cfg.bench.rounds),
        "norms": time_norms(workload, cfg.bench.rounds),
    }
    if gpu:
        seconds_by_kind["batches"] = {
            str(size): time_step(names, make_workload(cfg, cores, size), cfg.bench.rounds) for size in GPU_BATCHES
        }
    return seconds_by_kind


def make_workload(cfg: DictConfig, cores: int, size: int) -> training_steps.Workload:
    model = section_dict(cfg, "model")
    model.pop("name", None)
    return training_steps.Workload(
        size, cfg.augment.crop, choose_device(cfg).type, cores, model, section_dict(cfg, "performance")
    )


def time_step(names: tuple[str, ...], work: training_steps.Workload, rounds: int) -> dict[str, float]:
    """Seconds of a step of each candidate."""
    return time_workload(names, training_steps.make_step, work, rounds)


def time_norms(work: training_steps.Workload, rounds: int) -> dict[str, float]:
    """Seconds of response normalization, forward and backward, of each candidate."""
    return time_workload(training_steps.NORMS, training_steps.make_norm, work, rounds)


def time_workload(
    names: tuple[str, ...], make: MakeCandidate, work: training_steps.Workload, rounds: int
) -> dict[str, float]:
    """Seconds of a step of each candidate; on a GPU one after the other, since its memory may not hold all."""
    gpu = work.device == "cuda"
    limit = GPU_SECONDS if gpu else ANSWER_SECONDS
    seconds = time_in_processes(names, make, (work,), rounds, together=not gpu, limit=limit)
    return {name: value / work.steps for name, value in seconds.items()}


def rates_to_json(rates: dict[str, Rate]) -> dict[str, dict[str, float]]:
    return {name: rate._asdict() for name, rate in rates.items()}


def project_training(fit: JsonObject) -> JsonObject:
    """Project hours and energy of the 90 epochs of §6 from the measured fit's rate and energy per image."""
    images = EPOCHS * IMAGES_PER_EPOCH["ilsvrc2012"]
    return {
        "hours": images / fit["images_per_second"] / 3600,
        "kilowatt_hours": {name: joules * images / 3.6e6 for name, joules in fit["joules_per_image"].items()},
    }
