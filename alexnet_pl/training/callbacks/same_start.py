"""Callback that refuses processes that start differently."""

import lightning as L
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config import identity
from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.callbacks.resume import gather


class SameStart(L.Callback):
    """Compares settings, images and checkpoints of all processes, since each has its own command line and disk. Raises
    UserError if they differ: training would make nothing but the initial weights equal.

    `start`: settings of this process, by key.
    """

    def __init__(self, start: Settings) -> None:
        self.start = start

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        store = trainer.datamodule.store  # type: ignore[attr-defined]
        first, *others = gather({"data.root": f"a store of fingerprint {store.fingerprint[:12]}", **self.start})
        for rank, other in enumerate(others, 1):
            if key := next((key for key in {**first, **other} if first.get(key) != other.get(key)), None):
                raise UserError(
                    f"{key}: {first.get(key)} in rank 0, {other.get(key)} in rank {rank}; start all processes with one "
                    "command line, on equal stores and in a run folder that all machines share"
                )


def describe_start(cfg: DictConfig) -> Settings:
    """Settings with which all processes of a command must start, and the step of their checkpoint, by key."""
    sections = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("model", "augment") if name in cfg}
    keys = {
        f"{section}.{key}": value
        for section, values in {**identity.optimization(cfg), **sections}.items()
        for key, value in values.items()  # type: ignore[union-attr]
    }
    checkpoint = f"step {read_checkpoint(cfg.ckpt_path).get('global_step', 0):,}" if cfg.ckpt_path else None
    return {"command": cfg.command, "ckpt_path": checkpoint, **dict(identity.resume_signature(cfg).values()), **keys}
