"""Checks that a checkpoint fits what a command wants to do with it; an error names the config key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet_pl.config.identity import ADDED
from alexnet_pl.console import is_first_process, print_warning
from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_import

TESTED = {"size", "crop", "mean"}  # keys of `augment` that decide a network's input in a test
LIMITED, OVER_CLASSES = "limited_validation", "classes"
"""How `trainer.limit_val_batches` chooses images: over the classes; in older checkpoints "spread", at even steps
through the split, or if it is missing, the first ones."""
DEFAULTS = {"augment": {"mean": "center"}}  # recipes and older checkpoints may lack it


def check_compatible(
    path: str | Path | None, switches: Mapping[str, Mapping[str, Any]], *, trains: bool = False
) -> None:
    """Raise UserError, naming the key, if a checkpoint's network or image sizes differ from the recipe's, or the mean
    that it subtracts, which a fit may change. `trains`: for a fit."""
    if path is None:
        return
    compared = TESTED - {"mean"} if trains else TESTED
    saved = read_checkpoint(path)["alexnet_pl"]["switches"]
    for section, wanted in switches.items():
        defaults = {**ADDED.get(section, {}), **DEFAULTS.get(section, {})}
        wanted, stored = ({**defaults, **keys} for keys in (wanted, saved.get(section, {})))
        for key in sorted({*wanted, *stored}):
            if section == "augment" and key not in compared:
                continue  # other augmentation settings may change later
            if wanted.get(key) != stored.get(key):
                raise UserError(
                    f"ckpt_path: {path} has {section}.{key}={stored.get(key)}, this recipe "
                    f"{section}.{key}={wanted.get(key)}; add {section}.{key}={stored.get(key)} or take another"
                )


def check_resume_settings(checkpoint: Mapping[str, Any], settings: Mapping[str, tuple[str, Any]]) -> None:
    """Raise UserError, naming the key, if a fit cannot continue a checkpoint with these `settings`
    (`resume_signature`). Older checkpoints lack some."""
    saved = {**ADDED["data"], **checkpoint["alexnet_pl"].get("course", {})}
    for name, (key, value) in settings.items():
        if name in saved and saved[name] != value:
            raise UserError(f"{key}={value}: the resumed run has {saved[name]}; add {key}={saved[name]}")


def warn_of_other_validation(checkpoint: Mapping[str, Any], limit: Any) -> None:
    """Say that a resumed classifier is validated on other images than before. `limit`: `trainer.limit_val_batches`."""
    metadata = checkpoint["alexnet_pl"]
    chosen = metadata.get("course", {}).get(LIMITED)
    is_old = chosen != OVER_CLASSES and not {"boxes", "codes"} & {*metadata["switches"]}
    if is_old and type(limit) is int and limit > 0 and is_first_process():
        before = "images at even steps through" if chosen else "the first images of"
        unless = ", unless the store is sorted by class" if chosen else ""
        print_warning(
            f"alexnet_pl: trainer.limit_val_batches={limit}: the resumed run was validated on {before} the split, and "
            f"is now on images spread over the classes, so its errors before and after are not comparable{unless}"
        )


def check_resume_limits(checkpoint: Mapping[str, Any], max_epochs: int | None, max_steps: int | None) -> None:
    """Raise UserError, naming the key, if a fit was already trained beyond these limits of the trainer: it could only
    end with a record of fewer epochs or steps than it has. None and -1: no limit."""
    limits = {"max_epochs": (max_epochs, "in epoch", started_epochs(checkpoint))}
    limits["max_steps"] = (max_steps, "at step", checkpoint["global_step"])
    for name, (limit, place, reached) in limits.items():
        if limit is not None and 0 <= limit < reached:
            key = f"trainer.{name}"
            raise UserError(f"{key}={limit}: the resumed run is {place} {reached}; give at least {key}={reached}")


def started_epochs(checkpoint: Mapping[str, Any]) -> int:
    """Number of epochs that a fit has started; 0 if its checkpoint does not say it."""
    try:
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"]
    except (KeyError, TypeError):
        return 0
    return epochs if isinstance(epochs, int) else 0


def check_same_images(metadata: Mapping[str, Any], classes: list[list[str]], fingerprint: str) -> None:
    """Raise UserError if a resumed fit's store is not the one that it started with, by classes and fingerprint.

    `metadata`: entry `alexnet_pl` of the checkpoint; `classes`, `fingerprint`: of the store at `data.root`.
    """
    check_same_classes(metadata["classes"], classes)
    trained = metadata.get("store", {}).get("fingerprint", "")
    if trained and fingerprint and trained != fingerprint:
        raise UserError(
            f"data.root: the store holds other images ({fingerprint[:12]}) than the checkpoint was trained on "
            f"({trained[:12]}); give that store, or start a new fit"
        )


def check_same_classes(learned: list[list[str]], expected: list[list[str]]) -> None:
    if [identity for identity, _ in learned] != [identity for identity, _ in expected]:
        raise UserError("ckpt_path: the checkpoint was trained on other classes than the store at data.root has")


def check_is_network(metadata: Mapping[str, Any], path: str | Path, key: str = "ckpt_path") -> None:
    """Raise UserError, naming the config's `key`, if a checkpoint is of short codes (§7.1), not of a network."""
    if "codes" in metadata["switches"]:
        raise UserError(f"{key}: {path} holds short codes, not a network; give a run that learned to classify images")


def check_is_classifier(metadata: Mapping[str, Any], path: str | Path, key: str = "ckpt_path") -> None:
    """Raise UserError, naming the config's `key`, if a checkpoint is of short codes or of boxes, not a classifier."""
    check_is_network(metadata, path, key)
    if "boxes" in metadata["switches"]:
        raise UserError(f"{key}: {path} holds a box network; give the classifier that it started from")


def check_trained_here(path: str | Path) -> None:
    """Raise UserError if a checkpoint's weights were imported, so that no fit can resume from it."""
    if imported := read_import(read_checkpoint(path)["alexnet_pl"]):
        raise UserError(
            f"ckpt_path: {path} was imported from {imported.file} and holds no state of a fit; transfer.weights starts "
            "a new fit from its layers"
        )
