"""`bench`: every stage of training beside its floor, and the whole beside other programs."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from alexnet_pl.bench import feeds, stages, steps, trainers
from alexnet_pl.bench.preparing import SIZE, photographs, tree
from alexnet_pl.bench.rounds import Rate, interleaved, machine
from alexnet_pl.data.decode import read
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.folders import read_folders
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.store import Store

IMAGES = 1024  # of the stores that are read
TRAIN = 1_281_167  # images of ILSVRC-2012
EPOCHS = 90  # §6


def measure(cfg: DictConfig, rounds: int) -> dict[str, Any]:
    told, source = machine(), Path(cfg.data.source) if cfg.data.source else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree(photographs(source, folder), folder / "photographs", IMAGES)
        stores(folder)
        jobs, missing = feeds.feeds(folder, told["cores"])
        feeding = interleaved(jobs, rounds)
        splits = {name: Store(folder / name).split("train") for name in ("raw", "jpeg")}
        staged = stages.measure(OmegaConf.merge(cfg, {"data": {"size": SIZE}}), splits, rounds)  # type: ignore[arg-type]
    found = {
        "machine": told,
        "photographs": str(source) if source else "drawn, 500 × 375",
        "feeding": rates(feeding),
        "not_run": missing,
        "stages": staged,
        **contests(cfg, told["cores"], rounds),
        "trainer": rates(trainers.overhead(cfg, max(2, rounds // 2))),
    }
    return found | {"ratios": ratios(found), "projected": projected(found)}


def contests(cfg: DictConfig, cores: int, rounds: int) -> dict[str, Any]:
    count, model = cfg.data.batch_size, OmegaConf.to_container(cfg.model, resolve=True)
    stepping = contest(steps.CONTENDERS, partial(worker, steps.make_step, count, cores, model), rounds)
    norming = contest(steps.NORMS, partial(worker, steps.make_norm, count, cores), rounds)
    return {
        "steps": {name: {"seconds": s, "images_per_second": count / s} for name, s in stepping.items()},
        "norms": {name: {"seconds": s} for name, s in norming.items()},
    }


def rates(found: dict[str, Rate]) -> dict[str, dict[str, float]]:
    return {name: rate._asdict() for name, rate in found.items()}


def stores(folder: Path) -> None:
    """The photographs as a raw store, as a jpeg store, and as class folders of 256-pixel JPEGs."""
    torch.set_num_threads(1)
    source = read_folders(folder / "photographs", {})
    for encoding in (Encoding("raw"), Encoding("jpeg")):
        settings = Settings("bench", SIZE, {}, encoding, shard=IMAGES // 4)
        prepare(source, folder / encoding.name, settings, partial(read, size=SIZE, how="bilinear"))
    torch.set_num_threads(machine()["cores"])
    (folder / "squares/a").mkdir(parents=True)
    split = Store(folder / "raw").split("train")
    room = split.buffer(1)
    for index in range(len(split)):
        split.read(np.array([index]), room.numpy())
        Image.fromarray(room[0].permute(1, 2, 0).numpy()).save(folder / f"squares/a/{index:06d}.jpg", quality=95)


def worker(make: Any, batch_size: int, *args: Any, name: str) -> steps.Worker:
    return steps.Worker(make, name, batch_size, *args)


def contest(names: tuple[str, ...], start: Any, rounds: int) -> dict[str, float]:
    """Median seconds of each contender, all of them alive and taking turns."""
    workers = {name: start(name=name) for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, process in workers.items():
            found[name].append(process.run())
    for process in workers.values():
        process.stop()
    return {name: float(np.median(seconds)) for name, seconds in found.items()}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    feeding = {name: rate["median"] for name, rate in found["feeding"].items()}
    step = {name: each["images_per_second"] for name, each in found["steps"].items()}
    norm = {name: 1 / each["seconds"] for name, each in found["norms"].items()}
    pairs = {
        "raw store / pytorch/examples": feeding["ours, raw"] / feeding["pytorch/examples, full JPEGs"],
        "raw store / ImageFolder of 256-pixel JPEGs": feeding["ours, raw"] / feeding["ImageFolder, 256-pixel JPEGs"],
        "raw store / plain copy": feeding["ours, raw"] / feeding["plain copy of memory"],
        "step, bf16 / stock": step["ours, bf16"] / step["stock PyTorch, float32"],
        "step, float32 / stock": step["ours, float32"] / step["stock PyTorch, float32"],
        "step, bf16 / torchvision's float32": step["ours, bf16"] / step["torchvision's alexnet, float32"],
        "norm, compiled / F.local_response_norm": norm["ours, compiled"] / norm["F.local_response_norm"],
        "norm, eager / F.local_response_norm": norm["ours, eager"] / norm["F.local_response_norm"],
    }
    if "litdata, raw" in feeding:
        pairs["raw store / litdata, raw"] = feeding["ours, raw"] / feeding["litdata, raw"]
    if "webdataset, the same JPEGs" in feeding:
        pairs["jpeg store / webdataset"] = feeding["ours, jpeg"] / feeding["webdataset, the same JPEGs"]
    return pairs


def projected(found: dict[str, Any]) -> dict[str, float]:
    """Hours of §6's 90 epochs, if nothing but the slowest of reading and computing counts, as the two overlap."""
    stage = found["stages"]["milliseconds"]
    computing = sum(stage[name] for name in ("transfer", "augment", "forward", "backward", "update")) / 1e3
    step = max(computing, stage["read"] / 1e3)
    rate = found["stages"]["batch_size"] / step
    return {"images_per_second": rate, "hours_of_90_epochs": EPOCHS * TRAIN / rate / 3600}
