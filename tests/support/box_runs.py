"""Support for box tests: a store of drawn scenes, and OverFeat networks small enough to train and test."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from processes import elastic, fork_processes, free_port
from running import Compose, run

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import scenes
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.models.overfeat import OverFeat

SIZE, OBJECTS, CROP = 120, (1, 3), 113  # a 2 × 2 kernel in the classifier
MODEL = {"name": "overfeat", "net": "accurate", "width": 0.02, "init": "he", "dropout": 0.2}
KEYS = (
    *("data.name=scenes", f"data.size={SIZE}"),
    *("boxes.units=[16,8]", "boxes.scales=[1,4]", "boxes.windows=4", "detect.scales=null"),
    *("trainer.max_epochs=2", "logger=csv"),
)
CPU = ("trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "data.batch_size=4")


def make_scenes(root: Path, unlabelled: int = 0) -> Store:
    """Store of scenes; with `unlabelled` test images, named as those of ILSVRC, and ids from 10 down to 1."""
    settings = StoreSettings("scenes", SIZE, {"drawn": "scenes"}, StoreEncoding("whole"), shard=16, workers=1)
    listing = scenes.source(SIZE, OBJECTS, train=10, val=5)
    if unlabelled:
        drawn = list(listing.splits["val"])[:unlabelled]
        names = (f"test/ILSVRC2012_test_{number + 1:08d}.JPEG" for number in range(unlabelled))
        test = [item._replace(name=name, label=-1, annotation=None) for item, name in zip(drawn, names, strict=True)]
        listing = replace(
            listing,
            splits={**listing.splits, "test": test},
            numbers=list(range(10, 0, -1)),
            expected={**listing.expected, "test": unlabelled},
        )
    prepare(listing, root, settings, partial(scenes.read, size=SIZE, objects=OBJECTS))
    return Store(root)


def make_classifier_run(folder: Path, store: Store) -> Path:
    """Create a run folder with the checkpoint of an untrained classifier of the scenes' classes."""
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    net = OverFeat(len(store.classes), CROP, **{k: v for k, v in MODEL.items() if k != "name"})  # type: ignore[arg-type]
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    state["augment.mean_image"] = torch.full((3, SIZE, SIZE), 118.0)
    about: dict[str, Any] = {
        "switches": {"model": {**MODEL, "num_classes": 10}, "augment": {"size": SIZE, "crop": CROP}},
        "classes": store.classes,
        "store": {"name": "scenes", "fingerprint": store.fingerprint},
        "lineage": [],
    }
    torch.save({"state_dict": state, "global_step": 7, "alexnet_pl": about}, folder / "checkpoints/last.ckpt")
    return folder


def box_config(config: Compose, recipe: str, root: Path, weights: Path) -> DictConfig:
    """Config of a short fit on the scenes at `root`, which starts from the network `weights`."""
    return config(recipe, f"data.root={root}", f"transfer.weights={weights}", *CPU, *KEYS)


def fit_in_two_processes(folder: Path, recipe: str, words: list[str]) -> None:
    fork_processes(fit_share, (folder, free_port(), recipe, words), 2)


def fit_share(rank: int, folder: Path, port: int, recipe: str, words: list[str]) -> None:
    torch.set_num_threads(1)
    with own_process_state():
        os.environ |= elastic(rank, port)
        run(recipes.compose(recipe, words), "fit", folder)
