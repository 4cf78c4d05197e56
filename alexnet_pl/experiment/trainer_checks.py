"""Refuse options of Lightning's Trainer that a fit would ignore, or that would break its guarantees."""

import os
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.config.neutral import is_neutral
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.processes import launched_processes
from alexnet_pl.runtime.cores import cores

ONE_STEP = "a step is one batch (§5), updated by this package's own rule"
REFUSED: dict[str, str] = {
    "accumulate_grad_batches": f"{ONE_STEP}; set data.batch_size",
    "gradient_clip_val": ONE_STEP,
    "gradient_clip_algorithm": ONE_STEP,
    "overfit_batches": "the loaders yield each image once; use trainer.limit_train_batches",
    "max_time": "it would cut an epoch short; SIGINT saves and stops in time, as by `timeout -s INT 5h python -m "
    "alexnet_pl …` (macOS: gtimeout); a run that has it needs trainer.max_time=null",
    "fast_dev_run": "it would leave out checkpoints and logs; use trainer.max_steps",
    "barebones": "it would leave out checkpoints and logs",
    "limit_predict_batches": "`predict` reads the images of predict.images; give fewer",
    "sync_batchnorm": "no network here has batch normalization",
    "enable_autolog_hparams": "the whole config is logged",
    "use_distributed_sampler": "the loaders share the images among the devices",
    "reload_dataloaders_every_n_epochs": "set from data.include_val_after_epoch",
    "num_sanity_val_steps": "a validation before the first step would count as one",
    "logger": "set by the key logger",
    "callbacks": "a config must not name code",
    "plugins": "a config must not name code",
    "model_registry": "it would upload checkpoints; export with publish=hf://USER/REPOSITORY",
    "default_root_dir": "set by hydra.run.dir",
    "enable_checkpointing": "a fit always writes checkpoints",
    "enable_model_summary": "`figures` draws the network",
}
LEAST: dict[str, int] = {  # minimum values of options that are numbers; null is Lightning's default
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "num_nodes": 1,
    "limit_train_batches": 1,
    "limit_val_batches": 0,
    "limit_test_batches": 1,
}
STRATEGIES = ("auto", "ddp", "towers")
SHARDED = "60 million weights fit on every device; ddp holds them on each, towers half on each of two"
OTHER_STRATEGIES = {  # by the beginning of the name
    "fsdp": SHARDED,
    "deepspeed": SHARDED,
    "ddp_": "the network uses all of its weights in every step, and processes are started by the command line; use ddp",
}
CLUSTER = ("WORLD_SIZE", "MASTER_ADDR")  # set by whatever starts all nodes, besides torchrun and srun


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Raise UserError for the first option that a fit cannot support or whose value is invalid. Values without effect
    are accepted."""
    for name, why in REFUSED.items():
        value = options.get(name)
        if not is_neutral(name, value):
            raise UserError(f"trainer.{name}={value}: not supported, {why}")
    for name, least in LEAST.items():
        check_count(name, options.get(name), least)
    fewest, most = options.get("min_epochs"), options.get("max_epochs")
    if most == 0:
        raise UserError("trainer.max_epochs=0: trains nothing; at least 1, or -1 for no limit")
    if fewest is not None and most is not None and 0 <= most < fewest:
        raise UserError(f"trainer.min_epochs={fewest}: more than trainer.max_epochs={most}")
    check_strategy(options.get("strategy"))
    check_interval(options.get("val_check_interval"))
    if options.get("deterministic") not in (None, True, False, "warn"):
        raise UserError(f"trainer.deterministic={options['deterministic']}: true, false or warn")
    check_machines(options)


def check_fit_options(cfg: DictConfig, on_one_gpu: bool, follows_schedule: bool) -> None:
    """Raise UserError for settings that a fit would ignore. `follows_schedule`: whether it reads section `schedule`."""
    if follows_schedule and cfg.schedule.name == "plateau" and cfg.trainer.get("limit_val_batches") == 0:
        raise UserError(
            "trainer.limit_val_batches=0: schedule.name=plateau follows the validation error; choose another schedule"
        )
    if follows_schedule and cfg.schedule.name == "plateau" and cfg.data.get("include_val_after_epoch") is not None:
        raise UserError(
            "data.include_val_after_epoch: schedule.name=plateau follows the error of images that are not trained on; "
            "choose another schedule"
        )
    if cfg.performance.cuda_graph and not on_one_gpu:
        raise UserError("performance.cuda_graph: needs one NVIDIA GPU; set it to false, or trainer.devices=1")


def check_interval(interval: Any) -> None:
    """Raise UserError unless validations are counted in batches. By the clock, as Lightning allows, each of several
    processes would validate at another step and wait for the others."""
    if interval is None:
        return
    if isinstance(interval, bool) or not isinstance(interval, int | float) or interval <= 0:
        raise UserError(f"trainer.val_check_interval={interval}: a number of batches, or a share of an epoch, above 0")


def check_strategy(name: Any) -> None:
    if name is None or name in STRATEGIES:
        return
    why = next((why for start, why in OTHER_STRATEGIES.items() if str(name).startswith(start)), "unknown")
    raise UserError(f"trainer.strategy={name}: not supported, {why}; one of {', '.join(STRATEGIES)}")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise UserError unless an option is an integer of at least `least`. Limits may also be 1.0, for all batches."""
    if value is None or (name.startswith("limit_") and value == 1.0):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"trainer.{name}={value}: a whole number, at least {least}")


def check_machines(options: Mapping[str, Any]) -> None:
    """Raise UserError for more CPU processes than cores, or for nodes that no launcher starts: others would wait
    forever."""
    devices, nodes = options.get("devices"), options.get("num_nodes")
    if options.get("accelerator") == "cpu" and isinstance(devices, int) and devices > cores():
        raise UserError(f"trainer.devices={devices}: this machine has {cores()} CPU cores")
    if isinstance(nodes, int) and nodes > 1 and not is_on_several_nodes():
        raise UserError(
            f"trainer.num_nodes={nodes}: nothing starts the other nodes; use srun or torchrun on each of them, or set "
            "MASTER_ADDR, MASTER_PORT and NODE_RANK there"
        )


def is_on_several_nodes() -> bool:
    """Whether something starts the command on other nodes too."""
    return bool(launched_processes()) or any(name in os.environ for name in CLUSTER)


def count_epochs(cfg: DictConfig) -> int:
    """`trainer.max_epochs`, over which a learning rate decays. Raises UserError unless it is at least 1."""
    epochs = cfg.trainer.max_epochs
    if epochs is None or epochs < 1:
        given = "null" if epochs is None else epochs
        raise UserError(f"trainer.max_epochs={given}: at least 1, since the learning rate decays over all epochs")
    return epochs
