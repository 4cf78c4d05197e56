"""Keys that a recipe leaves open. `transfer.network=weights`: fine-tune with the architecture of the weights, and the
name and classes of the store; `transfer.layers=null`: all layers but the last; `data.name=null`: the store's name.

These keys are set in the config before a command reads it, and saved in the run folder's config.
"""

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.dispatch import kind_of
from alexnet_pl.commands.typed_overrides import is_typed, started_recipe, typed_overrides
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.options import make_transfer_options
from alexnet_pl.config.overrides import read_section
from alexnet_pl.config.recipe_files import MAX_ALIASES, included_recipes
from alexnet_pl.config.run_config import check_literal
from alexnet_pl.config.schema import store_root
from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.console import is_first_process
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.models.activations import learned_layers
from alexnet_pl.models.networks import make_meta_net
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_is_network
from alexnet_pl.runs.layout import LAST
from alexnet_pl.runs.started_config import find_started_config
from alexnet_pl.temporary_files import replacing

OWN = ("model", "augment")  # sections in which the user's own values take precedence
OF_WEIGHTS = ("model", "augment", "data.size", "data.name")  # keys that `transfer.network=weights` sets


def fill_in(cfg: DictConfig, folder: Path) -> None:
    """Set the keys that the recipe leaves open, and save them in the config of this command, which becomes the run
    folder's. Raises UserError if weights and store do not match."""
    may_be_null = ("data.name",) if kind_of(cfg) else ("transfer.layers", "data.name")
    keys = [key for key in may_be_null if is_null(cfg, key)]
    if OmegaConf.select(cfg, "transfer.network") == "weights":
        take_network_of_weights(cfg, folder)
        keys += OF_WEIGHTS
    elif "data.name" in keys:
        cfg.data.name = Store(store_root(cfg)).name
    if "transfer.layers" in keys:
        model = {**cfg.model, "num_classes": cfg.model.num_classes or 1}  # null: not yet known, and of no effect here
        cfg.transfer.layers = learned_layers(make_meta_net(model, cfg.augment.crop))[:-1]
    if keys and cfg.command == "fit" and is_first_process():
        save_filled_in(cfg, folder / find_started_config(folder), keys)


def is_null(cfg: DictConfig, key: str) -> bool:
    """Whether a key is present and null; false if the config lacks it."""
    section, _, name = key.partition(".")
    return name in cfg.get(section, {}) and cfg[section][name] is None


def take_network_of_weights(cfg: DictConfig, folder: Path) -> None:
    """Set the keys in `OF_WEIGHTS`, from the run's own checkpoint if it has one."""
    if kind := kind_of(cfg):
        raise UserError(f"transfer.network: not for {kind}, only for classifiers")
    checkpoint = own_checkpoint(cfg, folder)
    architecture = architecture_of_run(checkpoint) if checkpoint else architecture_of_weights(cfg)
    check_literal(architecture, "transfer.weights")
    augment = dict(architecture["augment"])
    cfg.data.size = augment.pop("size")
    own = {section: own_values(cfg, section) for section in OWN}
    for section, values in {"model": architecture["model"], "augment": augment}.items():
        cfg[section] = {**values, **own[section]}
    if not OmegaConf.is_missing(cfg.data, "root"):
        store = open_store_of_size(cfg)
        cfg.data.name = store.name
        if checkpoint is None and "num_classes" not in own["model"]:
            cfg.model.num_classes = len(store.classes)


def architecture_of_run(checkpoint: Path) -> Settings:
    metadata = read_checkpoint(checkpoint)["alexnet_pl"]
    check_is_network(metadata, checkpoint)
    return metadata["switches"]


def architecture_of_weights(cfg: DictConfig) -> Settings:
    weights = make_transfer_options(cfg).weights
    assert weights  # checked by `make_transfer_options`
    return open_earlier_network(weights).architecture


def own_checkpoint(cfg: DictConfig, folder: Path) -> Path | None:
    """Checkpoint of this run that a command resumes from or reads; None for a new run."""
    if cfg.ckpt_path == "auto":
        return folder / LAST if (folder / LAST).is_file() else None
    return Path(cfg.ckpt_path) if cfg.ckpt_path else None


def own_values(cfg: DictConfig, section: str) -> Settings:
    """Values that take precedence over those of the weights: those typed, and those that the user's recipe sets on top
    of the recipe that chose `transfer.network`."""
    keys = dict.fromkeys(read_section(typed_overrides(), section))
    if (recipe := started_recipe()) and not is_typed("transfer.network"):
        keys |= dict.fromkeys(keys_above_choice(recipe, section))
    return {key: cfg[section][key] for key in keys if key in cfg[section]}


def keys_above_choice(recipe: Path, section: str) -> set[str]:
    """Keys of a section in `recipe` and in those of its folder that it builds on, down to the one that chooses
    `transfer.network`, such as finetune.yaml."""
    config = read_yaml(recipe, MAX_ALIASES)
    own = config.get(section)
    keys = {key for key, value in own.items() if value is not None or key != "num_classes"} if own else set()
    if "network" in (config.get("transfer") or {}):
        return keys
    below = included_recipes(recipe.parent, config.get("defaults"))
    return keys.union(*(keys_above_choice(base, section) for base in below))


def open_store_of_size(cfg: DictConfig) -> Store:
    """The store at `data.root`. Raises UserError if its image size differs from that of the weights' network."""
    store = Store(store_root(cfg))
    if store.size != cfg.data.size:
        raise UserError(
            f"data.root: {store.root} holds squares of {store.size} pixels, but the network of transfer.weights "
            f"reads {cfg.data.size}; prepare the images with data.size={cfg.data.size}"
        )
    return store


def save_filled_in(cfg: DictConfig, path: Path, keys: Iterable[str]) -> None:
    """Save the filled-in `keys` in a config, for later commands."""
    if not path.is_file():
        return
    config = OmegaConf.load(path)
    for key in keys:
        OmegaConf.update(config, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    with replacing(path) as temporary:
        OmegaConf.save(config, temporary)
