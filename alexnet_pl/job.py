"""What the commands that run a network share: its parts, and how they say what came out."""

from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from alexnet_pl import recipe
from alexnet_pl.checkpoint import check_switches, read_checkpoint
from alexnet_pl.data.datamodule import ImageStore
from alexnet_pl.module import Classifier
from alexnet_pl.telling import say


def build(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Classifier, ImageStore]:
    """Everything that can be wrong is found before a logger starts or a network is filled."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    data = recipe.make_data(cfg)
    data.check()
    recipe.count_classes(cfg)
    module = recipe.make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    return recipe.make_trainer(cfg, folder), module, data


def step(cfg: DictConfig) -> int:
    """Of training, of the checkpoint in use."""
    return read_checkpoint(cfg.ckpt_path)["global_step"]


def errors(module: Classifier) -> dict[str, float]:
    """Of the last validation or test."""
    return {name: float(value) for name, value in module.found.items()}


def tell(result: dict[str, Any], where: Path) -> None:
    """One line of a result.json."""
    about, views, claim = result["dataset"], result["views"], result["claim"]
    part = f" of {about['images']:,}" if result["images"] != about["images"] else ""
    seen = f"{views} view{'s' * (views != 'center')}"
    low, high = result["top1_error_interval"]
    say(
        f"{about['name']}, {result['images']:,}{part} {about['split']} images, {seen}: "
        f"top-1 error {result['top1_error']:.2f} % (95 %: {low:.2f} to {high:.2f}), "
        f"top-5 error {result['top5_error']:.2f} %" + (f"; answers {claim}" if claim else ""),
        where,
    )
