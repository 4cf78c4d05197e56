"""Renamed and removed config keys. Users get an error message that names the new key."""

from collections.abc import Iterable
from typing import Any

from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.errors import UserError

RENAMED: dict[str, str | None] = {
    "reading": "variant",
    "data.source": "prepare.source",
    "data.filter": "prepare.filter",
    "data.held_out": "prepare.val_share",
    "prepare.held_out_share": "prepare.val_share",
    "data.names": "prepare.names",
    "data.synsets": "prepare.synsets",
    "data.encoding": "prepare.encoding",
    "data.quality": "prepare.quality",
    "data.subsampling": None,
    "data.shard": "prepare.images_per_shard",
    "data.workers": "prepare.workers",
    "data.part": "prepare.part",
    "data.repair": "prepare.repair",
    "data.test_split": "test.split",
    "data.fold_in": "data.include_val_after_epoch",
    "views": "test.views",
    "probabilities": "test.save_predictions",
    "images": "predict.images",
    "stage": "bench.suite",
    "rounds": "bench.rounds",
    "json": "bench.output",
    "profile": "bench.profile",
    "project": "wandb.project",
    "entity": "wandb.entity",
    "rates": "schedule.lr_by_activation",
    "augment.share": "augment.images_per_crop",
    "augment.divide": "augment.rescale",
    "augment.last_offset": "augment.include_last_offset",
    "augment.reflect": "augment.flip",
    "optim.learning_rate": "optim.lr",
    "trainer.gpus": "trainer.devices",
    "optim.bias_rate": "optim.bias_lr_scale",
    "optim.bias_decay": "optim.decay_biases",
    "optim.undecayed": "optim.layer_decay",
    "optim.no_decay_layers": "optim.layer_decay",
    "transfer.carry": "transfer.layers",
    "transfer.recipe": "transfer.pretrain_recipe",
    "transfer.roots": "transfer.data_roots",
    "watch": "monitor",
    "watch.every": "monitor.every_n_epochs",
    "watch.images": "monitor.num_images",
    "watch.checkpoints": "monitor.upload_checkpoints",
    "speed": "performance",
    "speed.fast": "performance.optimized",
    "speed.compile": "performance.compile",
    "speed.graph": "performance.cuda_graph",
    "speed.steps": None,
    "speed.keep": "performance.cache_on_gpu",
    "speed.allocator": "performance.retain_memory",
    "speed.ahead": "performance.readahead",
    "speed.decode": "performance.jpeg_decoder",
    "probe.draws": None,
    "probe.few_shot_penalty": None,
    "distributed.bucket_mb": None,
    "distributed.static_graph": None,
}
"""Old dotted key, or the name in other programs → new one; None: the option was removed."""
VALUES = {
    "variant": {"program": "as_run", "printed": "as_printed"},
    "test.views": {"centre": "center"},
    "augment.mean": {"centre": "center", "place": "per_position"},
    "codes.binary": {"straight": "straight_through"},
}
"""By new key: old value → new one."""


def new_path(path: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """New path of an old key or of a key below it; the path itself if it has not moved; None if it was removed."""
    for depth in range(len(path), 0, -1):
        if (key := ".".join(map(str, path[:depth]))) in RENAMED:
            new = RENAMED[key]
            return (*new.split("."), *path[depth:]) if new else None
    return path


def new_key(key: str) -> str | None:
    path = new_path(tuple(key.split(".")))
    return ".".join(path) if path else None


def refuse_renamed_keys(keys: Iterable[str], where: str = "") -> None:
    """Raise UserError, naming the new key, for the first renamed key. `where`: file that contains the keys."""
    for key in keys:
        now = new_key(key)
        if now != key:
            what = f"this key is now {now}" if now else "this key was removed; leave it out"
            raise UserError(f"{f'{where}: ' if where else ''}{key}: {what}")


def refuse_renamed_overrides(words: Iterable[str]) -> None:
    """Raise UserError for an override (`key=value`, `+key=value`, `~key`) of a renamed key."""
    refuse_renamed_keys(word.lstrip("+~").partition("=")[0] for word in words)


def check_recipe_keys(config: dict[Any, Any], where: str) -> None:
    """Raise UserError if a recipe uses a renamed key, or a renamed group in its `defaults`."""
    entries = config.get("defaults")
    groups = [key for entry in entries if isinstance(entry, dict) for key in entry] if isinstance(entries, list) else []
    refuse_renamed_keys((str(group).split()[-1] for group in groups), where)
    own = {key: value for key, value in config.items() if key != "hydra"}
    refuse_renamed_keys((key for key, _ in dotted_leaves(own)), where)
