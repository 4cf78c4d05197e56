"""Command lines that repeat the training of a run, without paths of this machine."""

import re
import shlex
from pathlib import Path
from typing import Any

from alexnet_pl.config.overrides import format_override, quote_value
from alexnet_pl.config.sections import DEMO, SCENES
from alexnet_pl.config.yaml_file import load_yaml, read_yaml
from alexnet_pl.console import CONTROL
from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import CONFIG

UNKNOWN = ["python -m alexnet_pl reproduce -c RUN"]


def training_commands(run: Path, store: StoreManifest | None) -> list[str]:
    """`prepare` and `reproduce` with the run's recipe and overrides, and the options that `store` was made with.

    `++` was added by `config.overrides.allow_new_key` and is removed; a single `+`, for a key that the recipe lacks, is
    the user's.
    """
    hydra = run / ".hydra"
    try:
        recipe = read_yaml(hydra / "hydra.yaml")["hydra"]["job"]["config_name"]
        words = [str(word).removeprefix("++") for word in load_yaml(hydra / "overrides.yaml") or []]
    except (UserError, KeyError, TypeError):
        return UNKNOWN
    if recipe == Path(CONFIG).stem:  # a job of `fit -m RUN`, which was composed from a run's config
        return UNKNOWN
    commands = {"prepare": prepare_words(words, read_settings(run), store), "reproduce": reproduce_words(words)}
    lines = [
        f"python -m alexnet_pl {command} -c {shlex.join([str(recipe), *given, 'data.root=STORE'])}"
        for command, given in commands.items()
    ]
    return UNKNOWN if any(map(CONTROL.search, lines)) else lines  # a line break would leave the card's block of code


def read_settings(run: Path) -> dict[str, Any]:
    """Values of the run's config in the sections that `prepare` reads, by dotted key; {} for a corrupt config."""
    try:
        cfg = read_yaml(run / CONFIG)
        return {f"{section}.{key}": value for section in ("data", "prepare") for key, value in cfg[section].items()}
    except (UserError, KeyError, AttributeError):
        return {}


def prepare_words(words: list[str], settings: dict[str, Any], store: StoreManifest | None) -> list[str]:
    """Overrides that decide the store's images. `settings`: the run's, `store`: has priority over them.

    The source is `IMAGES` unless the package draws the images: the demo's, or scenes.
    """
    paths = ("prepare.source=", "prepare.synsets=", "prepare.boxes=")
    given = [word for word in words if word.startswith(("data.name=", "data.size=", "prepare."))]
    kept = {word.partition("=")[0]: word for word in given if not word.startswith(paths)}
    if f"prepare.source={SCENES}" in given:
        kept["prepare.source"] = f"prepare.source={SCENES}"
    recorded = recorded_options(store) if store else {}
    kept |= {key: format_option(key, value) for key, value in recorded.items() if settings.get(key) != value}
    known = {**settings, **recorded}
    drawn = known.get("data.name") == DEMO or known.get("prepare.source") == SCENES
    return [*kept.values(), *([] if drawn else ["prepare.source=IMAGES"])]


def recorded_options(store: StoreManifest) -> dict[str, Any]:
    """Options of `prepare` that store.json records, by key."""
    how, encoding = store.settings or {}, store.encoding
    found = {
        "data.name": store.name,
        "data.size": store.size,
        "prepare.source": SCENES if how.get("drawn") == SCENES else None,
        "prepare.objects": how.get("objects"),
        "prepare.filter": how.get("filter"),
        "prepare.val_share": how.get("held_out"),
        "prepare.encoding": encoding["name"],
        "prepare.quality": encoding.get("quality"),
        "prepare.images_per_shard": store.shard,
        "prepare.allow_incomplete": True if store.missing else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def format_option(key: str, value: Any) -> str:
    """Override of a key; text that is not a plain word is quoted."""
    is_plain = not isinstance(value, str) or re.fullmatch(r"[\w.-]+", value)
    return format_override(key, value if is_plain else quote_value(value))


def reproduce_words(words: list[str]) -> list[str]:
    hidden = (
        "command=", "hydra", "data.root=", "prepare.", "ckpt_path=", "transfer.data_roots", "transfer.weights=",
        "wandb.",
    )  # fmt: skip
    start = ["transfer.weights=RUN"] if any(word.startswith("transfer.weights=") for word in words) else []
    return [*(word for word in words if not word.lstrip("+~").startswith(hidden)), *start]
