"""Fine-tuning takes the network of its weights, and name and classes of its store (`transfer.network=weights`).

A recipe cannot know these. They are filled in before a command reads the config, and written to the run folder's.
"""

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.options import make_transfer_options
from alexnet_pl.config.schema import store_root
from alexnet_pl.console import is_first_process
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.build import make_named_net
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.models.activations import learned_layers
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import CONFIG, LAST

FILLED_IN = ("model", "augment", "transfer.layers", "data.size", "data.name")


def take_network_of_weights(cfg: DictConfig, folder: Path) -> None:
    """Fill in `FILLED_IN`, from the run's own checkpoint where there is one; without `transfer.network=weights` the
    store's name alone, where the recipe has none. Raises UserError where weights and store do not fit together."""
    if OmegaConf.select(cfg, "transfer.network") != "weights":
        return take_store_name(cfg, folder)
    own = own_checkpoint(cfg, folder)
    architecture = read_checkpoint(own)["alexnet_pl"]["switches"] if own else of_weights(cfg)
    augment = dict(architecture["augment"])
    cfg.data.size = augment.pop("size")
    for section, there in {"model": architecture["model"], "augment": augment}.items():
        cfg[section] = {**there, **typed(section)}
    if not OmegaConf.is_missing(cfg.data, "root"):
        take_store(cfg)
    if cfg.transfer.layers is None:
        cfg.transfer.layers = learned_layers(make_meta_net(cfg))[:-1]
    if cfg.command == "fit" and is_first_process():
        keep(cfg, folder / CONFIG)


def take_store_name(cfg: DictConfig, folder: Path) -> None:
    """`data.name=null` is the name of the store at `data.root`."""
    if OmegaConf.is_missing(cfg.data, "name") or cfg.data.name is not None:
        return
    cfg.data.name = Store(store_root(cfg)).name
    if cfg.command == "fit" and is_first_process():
        keep(cfg, folder / CONFIG)


def of_weights(cfg: DictConfig) -> Settings:
    weights = make_transfer_options(cfg).weights
    assert weights  # or `make_transfer_options` would have said so
    return open_earlier_network(weights).architecture


def own_checkpoint(cfg: DictConfig, folder: Path) -> Path | None:
    """The checkpoint of the run itself that a command goes on with or reads."""
    if cfg.ckpt_path == "auto":
        return folder / LAST if (folder / LAST).is_file() else None
    return Path(cfg.ckpt_path) if cfg.ckpt_path else None


def typed(section: str) -> dict[str, Any]:
    """Keys of a section that were given on the command line, which win."""
    if not HydraConfig.initialized():
        return {}
    words = [word.lstrip("+") for word in HydraConfig.get().overrides.task]
    return dict(OmegaConf.from_dotlist([word for word in words if word.startswith(f"{section}.")]).get(section) or {})


def take_store(cfg: DictConfig) -> None:
    """Name and number of classes of the store. Raises UserError where its squares are not those of the weights."""
    store = Store(store_root(cfg))
    if store.size != cfg.data.size:
        raise UserError(
            f"data.root: {store.root} holds squares of {store.size} pixels, and the network of the weights "
            f"reads squares of {cfg.data.size}; prepare the images with data.size={cfg.data.size}"
        )
    cfg.data.name = store.name
    cfg.model.num_classes = len(store.classes)


def make_meta_net(cfg: DictConfig) -> Any:
    import torch

    with torch.device("meta"):
        return make_named_net({**cfg.model, "num_classes": cfg.model.num_classes or 1}, cfg.augment.crop)


def keep(cfg: DictConfig, path: Path) -> None:
    """Write what was filled in to the run folder's config, from which later commands start."""
    if not path.is_file():
        return
    config = OmegaConf.load(path)
    for key in FILLED_IN:
        OmegaConf.update(config, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    OmegaConf.save(config, partial)
    partial.replace(path)
