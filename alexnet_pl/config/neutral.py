"""Values of options of Lightning's Trainer that have no effect."""

from typing import Any

NEUTRAL: dict[str, Any] = {
    "accumulate_grad_batches": 1, "overfit_batches": 0, "fast_dev_run": 0, "barebones": False,
    "enable_autolog_hparams": True, "sync_batchnorm": False, "limit_predict_batches": 1.0,
    "num_sanity_val_steps": 0, "use_distributed_sampler": False, "enable_checkpointing": True,
    "enable_model_summary": False, "limit_train_batches": 1.0, "limit_val_batches": 1.0, "limit_test_batches": 1.0,
    "val_check_interval": 1.0, "check_val_every_n_epoch": 1, "max_steps": -1, "min_epochs": 0, "min_steps": 0,
}  # fmt: skip
"""What Lightning or a fit does anyway, by option."""
BATCHES_OR_SHARE = (
    "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "val_check_interval",
)  # fmt: skip
NULL_HAS_EFFECT = ("max_epochs", "check_val_every_n_epoch")


def is_neutral(name: str, value: Any) -> bool:
    """Whether a value of `trainer.name` has no effect. Of the options in `BATCHES_OR_SHARE`, 1 is one batch and 1.0 all
    of them."""
    if value is None:
        return name not in NULL_HAS_EFFECT
    if name in BATCHES_OR_SHARE and not isinstance(value, float):
        return False
    return name in NEUTRAL and value == NEUTRAL[name]


def leave_out_neutral(trainer: dict[str, Any]) -> dict[str, Any]:
    """Section `trainer` without the options that have no effect."""
    return {name: value for name, value in trainer.items() if not is_neutral(name, value)}
