"""BoxRun: a finished run of localisation or detection (§4, §5), opened for notebooks and figures."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from alexnet_pl.config.box_options import DetectOptions
from alexnet_pl.config.schema import instantiate
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.detection.finder import BoxFinder
from alexnet_pl.experiment.example_run import run_command
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import LAST, read_config

RUN_VARIABLE = "ALEXNET_PL_BOX_RUN"
FOLDER = Path("runs/notebook_boxes")
DEMO = (  # recipe, its store, further words of its fit; together minutes on two CPU cores
    ("boxes_demo_classifier", "data/scenes_one", [f"hydra.run.dir={FOLDER}/classifier"]),
    ("boxes_demo", "data/scenes", [f"hydra.run.dir={FOLDER}/detector", f"transfer.weights={FOLDER}/classifier"]),
)


def example_box_run(folder: str | Path | None = None) -> Path:
    """Run folder for a notebook: `folder`, else $ALEXNET_PL_BOX_RUN, else a detector in runs/notebook_boxes.

    On first use, that detector is trained from configs/boxes_demo.yaml.
    """
    if chosen := folder or os.environ.get(RUN_VARIABLE):
        return Path(chosen)
    detector = FOLDER / "detector"
    status = read_fit_status(detector)
    if not (status and status.finished):
        print(f"{FOLDER}: a classifier and a detector are trained on drawn scenes; some minutes", flush=True)
        for recipe, store, words in DEMO:
            if not Path(store).exists():
                run_command(["prepare", "-c", recipe, "prepare.source=scenes"])
            run_command(["fit", "-c", recipe, *words, "ckpt_path=auto"])
    return detector


class BoxRun:
    """Run of configs/overfeat_localise.yaml, configs/overfeat_detect.yaml or a recipe for drawn scenes.

    `root`: folder of the store, if it was moved; `detect`: overrides of that config section. Raises UserError if
    `folder` is not a run folder.
    """

    def __init__(self, folder: str | Path, root: str | None = None, **detect: Any) -> None:
        self.folder = Path(folder)
        self.cfg = read_config(self.folder, "boxes")
        self.root = root or str(self.cfg.data.root)
        self.network, self.classes, self.trained_with = load_box_network(str(self.folder / LAST))
        section = {**OmegaConf.to_container(self.cfg.detect), **detect}  # type: ignore[dict-item]
        self.options = instantiate(DetectOptions, section, "detect")

    @property
    def names(self) -> list[str]:
        """Names of the classes."""
        return [name for _, name in self.classes]

    @cached_property
    def finder(self) -> BoxFinder:
        """BoxFinder with the run's network and options, on the CPU."""
        return BoxFinder(self.network, self.trained_with, self.options, torch.device("cpu"))

    @cached_property
    def store(self) -> Store:
        """Store of whole images, opened once."""
        return Store(self.root)

    def images(self, split: str = "val") -> WholeSplit:
        """Whole images of the store, with their boxes."""
        return self.store.whole(split)
