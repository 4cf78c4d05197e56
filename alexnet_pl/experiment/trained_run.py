"""A finished run: its config, network and data."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from alexnet_pl.config.overrides import quote_value
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_compatible
from alexnet_pl.runs.checkpoint_metadata import read_lineage
from alexnet_pl.runs.layout import CONFIG, checkpoint_of_run, is_run, latest_checkpoint, read_config
from alexnet_pl.training.classifier import Classifier


class TrainedRun:
    """A finished run. Attributes are loaded on first use, so `module` needs no images and `store` no checkpoint;
    UserError names the missing file. `root`: present location of the store if it was moved."""

    def __init__(self, folder: str | Path, root: str | None = None) -> None:
        self.folder = Path(folder)
        self.cfg = read_config(self.folder)
        self.root_override = [f"data.root={quote_value(root)}"] if root else []  # override for `root`
        if root:
            self.cfg.data.root = root

    @property
    def checkpoint(self) -> Path:
        return checkpoint_of_run(self.folder)

    @cached_property
    def checkpoint_info(self) -> dict[str, Any]:
        """Metadata in the checkpoint: architecture, classes, store."""
        return read_checkpoint(self.checkpoint)["alexnet_pl"]

    @property
    def classes(self) -> list[str]:
        """Readable names of the classes."""
        return [name for _, name in self.checkpoint_info["classes"]]

    @cached_property
    def module(self) -> Classifier:
        """The network in evaluation mode, on the CPU."""
        cfg = self.cfg.copy()
        cfg.model.num_classes = len(self.checkpoint_info["classes"])
        # on the CPU also under another default device; with weights that can be trained also if first used in inference
        # mode; and keeping the caller's random numbers, which the initial weights would draw from
        with torch.device("cpu"), torch.inference_mode(False), torch.random.fork_rng(devices=()):
            return load_module(str(self.checkpoint), build.make_module(cfg))

    @cached_property
    def data(self) -> ImageStore:
        """Data of the run. Raises UserError unless the store holds the images that the network was trained on."""
        data = build.make_data(self.cfg)
        if not is_remote(data.root) and not Path(data.root).exists():
            raise UserError(f"data.root: {data.root} does not exist; if the store was moved, pass data.root=FOLDER")
        wanted, found = self.checkpoint_info["store"].get("fingerprint"), data.store.fingerprint
        if wanted not in (None, found):
            raise UserError(f"data.root: {data.root} holds other images ({found[:12]}) than the run's ({wanted[:12]})")
        return data

    @property
    def store(self) -> Store:
        return self.data.store


def open_trained_run(run: Path, checkpoint: str, overrides: tuple[str, ...]) -> DictConfig:
    """Config of a run with `ckpt_path` set to its checkpoint, `last` or `best`. Raises UserError if there is none."""
    if not is_run(run):
        raise UserError(f"{run}: no run folder (no {CONFIG} in it); give one that `fit` made")
    path = latest_checkpoint(run, checkpoint)
    cfg: Any = compose(str(run), overrides)
    cfg.command, cfg.ckpt_path = "predict", str(path)
    return cfg


def open_network(cfg: DictConfig) -> Classifier:
    """The network of `cfg.ckpt_path`, in evaluation mode. Raises UserError if it differs from the recipe's."""
    build.set_num_classes(cfg)
    module = build.make_module(cfg)
    check_compatible(cfg.ckpt_path, module.architecture)
    return load_module(cfg.ckpt_path, module)


def load_module(path: str, module: Classifier) -> Classifier:
    """Load weights, class list, mean image and earlier networks from a checkpoint into `module`."""
    checkpoint = read_checkpoint(path)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise UserError(f"ckpt_path: {path}: its weights are not those of this network ({why})") from error
    module.classes = checkpoint["alexnet_pl"]["classes"]
    module.filter = checkpoint["alexnet_pl"].get("filter", "")
    module.lineage = read_lineage(checkpoint["alexnet_pl"])
    return module.eval()
