"""Callback that refuses processes that start differently."""

from collections.abc import Callable

import lightning as L
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config import identity
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.config.overrides import is_path
from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.callbacks.saved_state import gather

DECIDING = ("model", "augment", "schedule", "transfer", "boxes", "codes", "distributed")  # sections


class SameStart(L.Callback):
    """Compares settings, images and checkpoints of all processes, since each has its own command line and disk. Raises
    UserError if they differ: training would make nothing but the initial weights equal.

    `describe`: returns the settings of this process, by key. A single process, which has nothing to compare, does not
    call it: it reads the checkpoint.
    """

    def __init__(self, describe: Callable[[], Settings]) -> None:
        self.describe = describe

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.world_size == 1:
            return
        store = trainer.datamodule.store  # type: ignore[attr-defined]
        first, *others = gather({"data.root": f"a store of fingerprint {store.fingerprint[:12]}", **self.describe()})
        for rank, other in enumerate(others, 1):
            if key := next((key for key in {**first, **other} if first.get(key) != other.get(key)), None):
                raise UserError(
                    f"{key}: {first.get(key)} in rank 0, {other.get(key)} in rank {rank}; start all processes with one "
                    "command line, on equal stores and in a run folder that all machines share"
                )


def describe_start(cfg: DictConfig) -> Settings:
    """Settings with which all processes of a command must start, and the step of their checkpoint, by key."""
    sections = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in DECIDING if name in cfg}
    sections["data"] = {"size": cfg.data.get("size")}
    sections["trainer"] = {key: cfg.trainer.get(key) for key in ("strategy", "precision")}
    found = [*dotted_leaves(sections), *dotted_leaves(identity.optimization(cfg))]
    keys = {key: value for key, value in found if not is_path(key)}
    checkpoint = f"step {read_checkpoint(cfg.ckpt_path).get('global_step', 0):,}" if cfg.ckpt_path else None
    return {"command": cfg.command, "ckpt_path": checkpoint, **dict(identity.resume_signature(cfg).values()), **keys}
