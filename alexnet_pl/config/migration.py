"""Renamed and added config keys: error messages that name the new key, and migration of files written with old keys.

Two kinds of file keep old keys: configs of run folders (`.hydra/config.yaml`), and records that copy a part of the
config (`result.json`, `fit.json`, probabilities, checkpoints). Records have a format number, `schema`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from alexnet_pl.config.neutral import leave_out_neutral
from alexnet_pl.errors import UserError

SCHEMA = 2
"""Format number of records. Format 1, in which they have no number, uses the keys in the left column of `RENAMED`."""

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

ADDED: dict[str, dict[str, Any]] = {
    "data": {"shuffle": "epoch"},
    "model": {"unit_biases": ["conv2", "conv4", "conv5", "conv6", "fc6", "fc7"]},
    "augment": {"flip": True, "random_crop": True},
    "optim": {"scale_rate_from_batch": None},
    # of the chosen schedule: bias_drop of plateau, biases of steps and logged, freeze_conv1 of logged and plateau
    "schedule": {"bias_drop": "all", "biases": False, "freeze_conv1": True},
    "transfer": {"freeze": [], "rates": {}},
}
"""Keys that older configs lack, by section of `training_signature`, with the value that trains the same network."""


HARDWARE = (  # keys of `trainer` that do not change the trained network, up to rounding
    "accelerator", "devices", "num_nodes", "strategy", "precision", "log_every_n_steps", "limit_test_batches",
    "benchmark", "deterministic", "detect_anomaly", "enable_progress_bar", "inference_mode", "profiler",
)  # fmt: skip
"""Earlier versions recorded some of them among the training settings."""
VALIDATED_EVERY = "check_val_every_n_epoch"  # decides a network only if its schedule follows the validation error


def leave_out_added(training: dict[str, Any]) -> dict[str, Any]:
    """Training settings without the keys in `ADDED` that have no effect, so that older records equal newer ones."""
    return {section: leave_out_of_section(section, keys) for section, keys in training.items()}


def present_settings(training: dict[str, Any]) -> dict[str, Any]:
    """Training settings of a record as they are written today: keys may be renamed or left out without a new
    `SCHEMA`."""
    settings = leave_out_added(migrate(training))
    schedule = settings.get("schedule")
    if isinstance(trainer := settings.get("trainer"), dict):
        settings["trainer"] = deciding_options(trainer, schedule.get("name") if isinstance(schedule, dict) else None)
    return settings


def not_deciding(schedule: str | None) -> tuple[str, ...]:
    """Keys of `trainer` that do not decide a network trained with `schedule.name`; None: codes or boxes."""
    return HARDWARE if schedule in ("plateau", None) else (*HARDWARE, VALIDATED_EVERY)


def deciding_options(trainer: dict[str, Any], schedule: str | None) -> dict[str, Any]:
    """Section `trainer` without the options that do not decide the network."""
    left_out = not_deciding(schedule)
    return {key: value for key, value in leave_out_neutral(trainer).items() if key not in left_out}


def leave_out_of_section(section: str, keys: Any) -> Any:
    added = ADDED.get(section, {})
    if not isinstance(keys, dict):
        return keys
    return {key: value for key, value in keys.items() if key not in added or value != added[key]}


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


def migrate(config: dict[str, Any]) -> dict[str, Any]:
    """Config with new keys and values; unchanged if it has them already. Raises ValueError, naming the section, if it
    is a single value."""
    new: dict[str, Any] = {}
    for path, value in leaves(config):
        if (now := new_path(path)) is not None:
            set_path(new, now, migrate_value(".".join(map(str, now)), value))
    return new


def migrate_value(key: str, value: Any) -> Any:
    """`value` for the new key `key`, with renamed values, interpolations and recipes."""
    if isinstance(value, list) and key == "optim.layer_decay":  # layers without decay
        return dict.fromkeys(value, 0.0)
    if isinstance(value, list) and key.split(".")[-1] == "overrides":
        return [new for word in value for new in migrate_override(str(word))]
    if not isinstance(value, str):
        return value
    value = re.sub(r"\$\{([\w.]+)", lambda found: "${" + (migrate_interpolation(found[1])), value)
    return VALUES.get(key, {}).get(value, value)


def migrate_interpolation(key: str) -> str:
    """New key in the interpolation `${key…}`. `key` may end in a dot, as in `${rates.${model.activation}}`."""
    now = new_key(key.rstrip("."))
    return f"{now}{'.' if key.endswith('.') else ''}" if now else key


def migrate_override(word: str) -> list[str]:
    """An override with the new key and value. Two for layers without decay: a mapping alone would be merged with the
    recipe's, which the list replaced."""
    key, sign, value = word.partition("=")
    bare = key.lstrip("+~")
    now = new_key(bare)
    if now == "optim.layer_decay" and value.startswith("["):
        layers = [name.strip() for name in value.strip("[]").split(",") if name.strip()]
        decays = [f"++{now}={{{','.join(f'{name}:0.0' for name in layers)}}}"] if layers else []
        return [f"++{now}=null", *decays]
    return [f"{key.removesuffix(bare)}{now}{sign}{VALUES.get(now, {}).get(value, value)}" if now else word]


def leaves(config: dict[Any, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, value) of every leaf; an empty mapping is a leaf."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def dotted_leaves(config: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf."""
    return ((".".join(map(str, path)), value) for path, value in leaves(config))


def set_path(config: dict[Any, Any], path: tuple[Any, ...], value: Any) -> None:
    for depth, name in enumerate(path[:-1], 1):
        config = config.setdefault(name, {})
        if not isinstance(config, dict):
            raise ValueError(f"{'.'.join(map(str, path[:depth]))}: expected a section of keys, not {str(config)[:40]}")
    config[path[-1]] = value


def migrate_record(record: dict[str, Any]) -> dict[str, Any]:
    """Convert a record of any schema to `SCHEMA`, including the records of ensemble members and earlier runs in it, and
    leave out settings without effect (`ADDED`)."""
    if not isinstance(record, dict):
        return record
    if (record.get("schema") or 1) < SCHEMA:
        record = {**{key: migrate_entry(key, value) for key, value in record.items()}, "schema": SCHEMA}
    return {key: shorten_entry(key, value) for key, value in record.items()}


def shorten_entry(key: str, value: Any) -> Any:
    """An entry of a record of schema `SCHEMA`, with training settings as they are written today."""
    if key == "training" and isinstance(value, dict):
        return present_settings(value)
    if key in ("members", "lineage") and isinstance(value, list):
        return [
            {name: shorten_entry(name, part) for name, part in one.items()} if isinstance(one, dict) else one
            for one in value
        ]
    return value


def migrate_entry(key: str, value: Any) -> Any:
    """Convert one entry of a record of an older schema. `switches` is a part of a config; `training`, which is another,
    is converted for every schema (`shorten_entry`)."""
    if key == "switches" and value:
        return migrate(value)
    if key == "course" and value:
        return {{"fold_in": "include_val_after_epoch"}.get(name, name): kept for name, kept in value.items()}
    if key == "views":
        return VALUES["test.views"].get(value, value)
    if key in ("members", "lineage") and value:
        return [migrate_record(one) for one in value]
    return value
