"""`bench`: measure every stage of training, loaders, steps, the trainer's overhead and a whole fit."""

import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl import runtime
from alexnet_pl.bench import end_to_end, loaders, stages, trainer_overhead, training_steps
from alexnet_pl.bench.fixtures import find_photographs, make_stores
from alexnet_pl.bench.targets import check_targets
from alexnet_pl.bench.timing import Rate, Window, machine, time_in_processes, time_streams
from alexnet_pl.console import progress, silence_library_logs
from alexnet_pl.data.store.store import Store

FEW = 1024  # images of the stores that are read
IMAGES = {"cuda": 16_384}  # whose epoch is to be longer than its beginning
TRAIN = 1_281_167  # images of ILSVRC-2012
EPOCHS = 90  # §6
GPU_BATCHES = (128, 256, 1024)
WINDOW = Window()


def measure_training(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """`folder` keeps the trace, where one is wanted."""
    silence_library_logs()
    host, source = machine(), Path(cfg.prepare.source) if cfg.prepare.source else None
    found: dict[str, Any] = {
        "stage": "train",
        "machine": host,
        "photographs": f"{source.name}/" if source else "drawn, 500 × 375",
        "rounds": cfg.bench.rounds,
        "recipe": {
            "model": section(cfg, "model"),
            "performance": section(cfg, "performance"),
            "batch_size": cfg.data.batch_size,
        },
    }
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        progress("stores of the photographs")
        make_stores(find_photographs(source, place), place, cfg.data.size, IMAGES.get(runtime.device(cfg).type, FEW))
        root = place / "raw" if OmegaConf.is_missing(cfg.data, "root") else Path(cfg.data.root)
        progress("a store that is not in memory yet")
        found["cold"] = rates(loaders.measure_cold_reads(root, cfg.bench.rounds))
        progress("images to the network, ours and other programs'")
        flows, found["not_run"] = loaders.loader_candidates(place, host["cores"], cfg.augment.crop)
        found["feeding"] = rates(time_streams(flows, cfg.bench.rounds, WINDOW))
        progress("stages of a step")
        splits = {name: Store(place / name).split("train") for name in ("raw", "jpeg")}
        found["stages"] = stages.measure_stages(cfg, splits, cfg.bench.rounds)
        found |= time_candidates(cfg, host["cores"])
        progress("the trainer")
        found["trainer"] = rates(trainer_overhead.measure_overhead(cfg, max(2, cfg.bench.rounds // 2)))
        progress("a fit from end to end")
        found["fit"] = end_to_end.measure_fit(cfg, root, folder / end_to_end.TRACE if cfg.bench.profile else None)
    found["gates"] = check_targets(found)
    return found | {"projected": projected(found["fit"])}


def section(cfg: DictConfig, name: str) -> dict[str, Any]:
    return OmegaConf.to_container(cfg[name], resolve=True)  # type: ignore[return-value]


def time_candidates(cfg: DictConfig, cores: int) -> dict[str, Any]:
    """Seconds of a step on `cfg.data.batch_size` images, and of the norms; on a GPU for other batch sizes too."""
    progress("steps, ours and other programs'")
    work = work_of(cfg, cores, cfg.data.batch_size)
    gpu = work.device == "cuda"
    names = (*training_steps.CONTENDERS, *(training_steps.ON_GPU if gpu else ()))
    found: dict[str, Any] = {
        "steps": a_step(names, work, cfg.bench.rounds),
        "norms": {
            name: seconds / work.steps
            for name, seconds in time_in_processes(
                training_steps.NORMS, training_steps.make_norm, (work,), cfg.bench.rounds
            ).items()
        },
    }
    if gpu:
        found["batches"] = {
            str(size): a_step(names, work_of(cfg, cores, size), cfg.bench.rounds) for size in GPU_BATCHES
        }
    return found


def work_of(cfg: DictConfig, cores: int, size: int) -> training_steps.Work:
    model = section(cfg, "model")
    model.pop("name", None)
    return training_steps.Work(
        size, cfg.augment.crop, runtime.device(cfg).type, cores, model, section(cfg, "performance")
    )


def a_step(names: tuple[str, ...], work: training_steps.Work, rounds: int) -> dict[str, float]:
    return {
        name: found / work.steps
        for name, found in time_in_processes(names, training_steps.make_step, (work,), rounds).items()
    }


def rates(found: dict[str, Rate]) -> dict[str, dict[str, float]]:
    return {name: rate._asdict() for name, rate in found.items()}


def projected(fit: dict[str, Any]) -> dict[str, Any]:
    """§6's 90 epochs at the rate and the energy an image of the fit."""
    images = EPOCHS * TRAIN
    return {
        "hours": images / fit["images_per_second"] / 3600,
        "kilowatt_hours": {name: joules * images / 3.6e6 for name, joules in fit["joules_per_image"].items()},
    }
