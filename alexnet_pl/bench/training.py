"""`bench`: every stage of training beside its floor, and the whole beside other programs."""

import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl import recipe
from alexnet_pl.bench import cold, feeds, fits, stages, steps, trainers
from alexnet_pl.bench.contest import contest
from alexnet_pl.bench.gates import judged
from alexnet_pl.bench.preparing import photographs
from alexnet_pl.bench.rounds import Rate, Window, flowing, machine
from alexnet_pl.bench.stores import stores
from alexnet_pl.data.store import Store
from alexnet_pl.telling import hush, progress

FEW = 1024  # images of the stores that are read
IMAGES = {"cuda": 16_384}  # whose epoch is to be longer than its beginning
TRAIN = 1_281_167  # images of ILSVRC-2012
EPOCHS = 90  # §6
GPU_BATCHES = (128, 256, 1024)
WINDOW = Window()


def measure(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """`folder` keeps the trace, where one is wanted."""
    hush()
    told, source = machine(), Path(cfg.prepare.source) if cfg.prepare.source else None
    found: dict[str, Any] = {
        "stage": "train",
        "machine": told,
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
        stores(photographs(source, place), place, cfg.data.size, IMAGES.get(recipe.device(cfg).type, FEW))
        root = place / "raw" if OmegaConf.is_missing(cfg.data, "root") else Path(cfg.data.root)
        progress("a store that is not in memory yet")
        found["cold"] = rates(cold.measure(root, cfg.bench.rounds))
        progress("images to the network, ours and other programs'")
        flows, found["not_run"] = feeds.feeds(place, told["cores"], cfg.augment.crop)
        found["feeding"] = rates(flowing(flows, cfg.bench.rounds, WINDOW))
        progress("stages of a step")
        splits = {name: Store(place / name).split("train") for name in ("raw", "jpeg")}
        found["stages"] = stages.measure(cfg, splits, cfg.bench.rounds)
        found |= contests(cfg, told["cores"])
        progress("the trainer")
        found["trainer"] = rates(trainers.overhead(cfg, max(2, cfg.bench.rounds // 2)))
        progress("a fit from end to end")
        found["fit"] = fits.measure(cfg, root, folder / fits.TRACE if cfg.bench.profile else None)
    found["gates"] = judged(found)
    return found | {"projected": projected(found["fit"])}


def section(cfg: DictConfig, name: str) -> dict[str, Any]:
    return OmegaConf.to_container(cfg[name], resolve=True)  # type: ignore[return-value]


def contests(cfg: DictConfig, cores: int) -> dict[str, Any]:
    """Seconds of a step on `cfg.data.batch_size` images, and of the norms; on a GPU for other batch sizes too."""
    progress("steps, ours and other programs'")
    work = worked(cfg, cores, cfg.data.batch_size)
    gpu = work.device == "cuda"
    names = (*steps.CONTENDERS, *(steps.ON_GPU if gpu else ()))
    found: dict[str, Any] = {
        "steps": a_step(names, work, cfg.bench.rounds),
        "norms": {
            name: seconds / work.steps
            for name, seconds in contest(steps.NORMS, steps.make_norm, (work,), cfg.bench.rounds).items()
        },
    }
    if gpu:
        found["batches"] = {
            str(size): a_step(names, worked(cfg, cores, size), cfg.bench.rounds) for size in GPU_BATCHES
        }
    return found


def worked(cfg: DictConfig, cores: int, size: int) -> steps.Work:
    model = section(cfg, "model")
    model.pop("name", None)
    return steps.Work(size, cfg.augment.crop, recipe.device(cfg).type, cores, model, section(cfg, "performance"))


def a_step(names: tuple[str, ...], work: steps.Work, rounds: int) -> dict[str, float]:
    return {name: found / work.steps for name, found in contest(names, steps.make_step, (work,), rounds).items()}


def rates(found: dict[str, Rate]) -> dict[str, dict[str, float]]:
    return {name: rate._asdict() for name, rate in found.items()}


def projected(fit: dict[str, Any]) -> dict[str, Any]:
    """§6's 90 epochs at the rate and the energy an image of the fit."""
    images = EPOCHS * TRAIN
    return {
        "hours": images / fit["images_per_second"] / 3600,
        "kilowatt_hours": {name: joules * images / 3.6e6 for name, joules in fit["joules_per_image"].items()},
    }
