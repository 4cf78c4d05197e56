"""Write imported weights as a run folder, which `test`, `features`, `figures`, `predict` and `export` open."""

import errno
import shutil
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.config.overrides import quote_value
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.build import make_module
from alexnet_pl.inference.imports.class_order import Classes
from alexnet_pl.inference.imports.foreign import ForeignNetwork
from alexnet_pl.json_records import to_json
from alexnet_pl.runs.layout import CONFIG, LAST
from alexnet_pl.runs.provenance import append_session, describe_session
from alexnet_pl.runs.records import ImportedWeights, StoreIdentity
from alexnet_pl.temporary_files import temporary_path
from alexnet_pl.training.classifier import Classifier

RECIPE = "ilsvrc2012"  # provides the test views, data section and other settings of an imported network
SIZE = 256  # side of the stored images in pixels, in all three programs


def write_run(
    network: ForeignNetwork, classes: Classes, mean: np.ndarray, record: ImportedWeights, out: Path, root: str | None
) -> None:
    """Write the run folder `out`, completely or not at all. Raises UserError if it exists."""
    exists = UserError(f"out={out}: exists already; give another folder, or remove it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise exists
    cfg = make_config(network, root)
    module = fill_module(cfg, network, mean)
    content = {
        "state_dict": module.state_dict(),
        "global_step": 0,
        "epoch": 0,
        "alexnet_pl": {
            "schema": SCHEMA,
            "switches": module.architecture,
            "classes": classes,
            "store": {},  # the training images are unknown
            "imported": to_json(record),
        },
    }
    partial = temporary_path(out)
    try:
        for path in (partial / CONFIG, partial / LAST):
            path.parent.mkdir(parents=True)
        (partial / CONFIG).write_text(OmegaConf.to_yaml(cfg), encoding="utf-8")
        torch.save(content, partial / LAST)
        append_session(partial, describe_session("import", StoreIdentity()))
        replace_empty(partial, out, exists)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_empty(partial: Path, out: Path, exists: UserError) -> None:
    """Rename a folder to `out`, which may be an empty folder. Raises `exists` if another process has written it."""
    try:
        partial.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise exists from error
        raise


def make_config(network: ForeignNetwork, root: str | None) -> DictConfig:
    """Compose the run folder's config: the recipe, with the `model` and `augment` sections of the network."""
    cfg = compose(RECIPE, ["command=test", *([f"data.root={quote_value(root)}"] if root else [])])
    OmegaConf.set_struct(cfg, False)
    model: Settings = OmegaConf.to_container(cfg.model) if "name" not in network.model else {}  # type: ignore[assignment]
    cfg.model = {**model, **network.model}
    cfg.augment = {**cfg.augment, **network.augment}
    cfg.data.size = SIZE
    if root:
        cfg.data.name = Store(root).name
    return cfg


def fill_module(cfg: DictConfig, network: ForeignNetwork, mean: np.ndarray) -> Classifier:
    module = make_module(cfg).eval()
    module.net.load_state_dict(network.tensors)
    module.augment.mean_image.copy_(torch.from_numpy(np.array(mean, np.float32)))
    return module
