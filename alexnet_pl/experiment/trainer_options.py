"""Refuse options of Lightning's Trainer that a fit would ignore or that would break what it guarantees."""

from collections.abc import Mapping
from typing import Any

from alexnet_pl.errors import UserError

ONE_STEP = "a step is one batch (§5), updated by this package's own rule"
REFUSED: dict[str, str] = {
    "accumulate_grad_batches": f"{ONE_STEP}; set data.batch_size",
    "gradient_clip_val": ONE_STEP,
    "gradient_clip_algorithm": ONE_STEP,
    "overfit_batches": "the loaders hand out each image once; use trainer.limit_train_batches",
    "fast_dev_run": "it would leave out checkpoints and logs; use trainer.max_steps",
    "barebones": "it would leave out checkpoints and logs",
    "use_distributed_sampler": "the loaders share the images among the devices",
    "reload_dataloaders_every_n_epochs": "set from data.include_val_after_epoch",
    "num_sanity_val_steps": "a validation before the first step would count as one",
    "logger": "set by the key logger",
    "callbacks": "a config may not name code",
    "plugins": "a config may not name code",
    "default_root_dir": "set by hydra.run.dir",
    "enable_checkpointing": "a fit always writes checkpoints",
    "enable_model_summary": "`figures` draws the network",
}
NEUTRAL = {"accumulate_grad_batches": 1, "overfit_batches": 0, "fast_dev_run": 0, "barebones": False}


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Raise UserError naming the first option that a fit cannot honour. Values that change nothing are accepted."""
    for name, why in REFUSED.items():
        value = options.get(name)
        if value is not None and not (name in NEUTRAL and value == NEUTRAL[name]):
            raise UserError(f"trainer.{name}={value}: not supported, {why}")
