"""Config keys that decide the trained network, and keys that must not change when a run is resumed."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.migration import ADDED, deciding_options, leave_out_added
from alexnet_pl.config.options import make_code_options

Settings = dict[str, Any]
"""Settings that decide a network: keys of config sections, by section."""


def codes_signature(cfg: DictConfig, source: Settings) -> Settings:
    """Settings that decide an auto-encoder (§7.1), besides its seed. `source`: `Features.identity`."""
    return {"codes": {**make_code_options(cfg).learned, **source}, **optimization(cfg)}


def box_signature(cfg: DictConfig) -> Settings:
    """Settings that decide a box network, besides its images, its seed and the network it starts from."""
    return {"boxes": OmegaConf.to_container(cfg.boxes, resolve=True), **optimization(cfg)}


def optimization(cfg: DictConfig) -> Settings:
    """Settings of the optimizer and of the fit that both signatures contain."""
    trainer: Settings = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    return {
        "optim": OmegaConf.to_container(cfg.optim, resolve=True),
        "data": {"batch_size": cfg.data.batch_size},
        "trainer": deciding_options(trainer, None),
    }


def resume_signature(cfg: DictConfig) -> dict[str, tuple[str, Any]]:
    """Settings that must not change when a run is resumed: name in a checkpoint → (key, value)."""
    return {
        "seed": ("seed", cfg.seed),
        "batch_size": ("data.batch_size", cfg.data.batch_size),
        "include_val_after_epoch": ("data.include_val_after_epoch", cfg.data.get("include_val_after_epoch")),
        "shuffle": ("data.shuffle", cfg.data.get("shuffle", ADDED["data"]["shuffle"])),
    }


def training_signature(cfg: DictConfig) -> Settings:
    """Settings that decide a network, besides images, seed and rounding. Tables average runs with equal signatures; a
    run with a recipe's signature fills that recipe's row."""
    whole: Settings = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name = whole["schedule"]["name"]
    transfer = whole["transfer"]
    data = {**ADDED["data"], **whole["data"]}
    settings = {
        "data": {key: data.get(key) for key in ("size", "batch_size", "include_val_after_epoch", "shuffle")},
        "model": {key: value for key, value in whole["model"].items() if key != "num_classes"},  # depends on the data
        "augment": whole["augment"],
        "optim": whole["optim"],
        "schedule": {"name": name, **(whole["schedule"].get(name) or {})},
        "trainer": deciding_options(whole["trainer"], name),
        "transfer": {
            "layers": sorted(transfer["layers"] or []),
            "freeze": transfer.get("freeze") or [],
            "rates": transfer.get("rates") or {},
        },
    }
    return leave_out_added(settings)
