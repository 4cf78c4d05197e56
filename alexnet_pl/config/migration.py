"""Migration of files written with old config keys.

Two kinds of file keep old keys: configs of run folders (`.hydra/config.yaml`), and records that copy a part of the
config (`result.json`, `fit.json`, probabilities, checkpoints). Records have a format number, `schema`.
"""

import re
from typing import Any

from alexnet_pl.config.identity import deciding_options, leave_out_added
from alexnet_pl.config.nested_keys import leaves, set_path
from alexnet_pl.config.renamed_keys import VALUES, new_key, new_path

SCHEMA = 2
"""Format number of records. Format 1, in which they have no number, uses the old keys of `renamed_keys.RENAMED`."""


def present_settings(training: dict[str, Any]) -> dict[str, Any]:
    """Training settings of a record as they are written today: keys may be renamed or left out without a new
    `SCHEMA`."""
    settings = leave_out_added(migrate(training))
    schedule = settings.get("schedule")
    if isinstance(trainer := settings.get("trainer"), dict):
        settings["trainer"] = deciding_options(trainer, schedule.get("name") if isinstance(schedule, dict) else None)
    return settings


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
    value = re.sub(r"\$\{([\w.]+)", lambda found: "${" + migrate_interpolation(found[1]), value)
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
