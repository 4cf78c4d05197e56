"""Callback that refuses processes that start differently."""

import lightning as L

from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
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
