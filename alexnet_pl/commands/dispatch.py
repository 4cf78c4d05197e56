"""Run a command: import its function, choose the one for the kind of recipe, and check what was typed for it."""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.commands import run_options
from alexnet_pl.commands.registry import COMMANDS, Command, find
from alexnet_pl.commands.typed_overrides import check_store, check_typed_store
from alexnet_pl.console import is_first_process, silence_image_warnings
from alexnet_pl.errors import UserError


def load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(f"alexnet_pl.commands.{module}"), function)


def run(cfg: DictConfig, folder: Path) -> float | None:
    """Run `cfg.command`. Returns the objective of a sweep if the command measures it."""
    silence_image_warnings()
    command = find(cfg.command)
    alone = command.first_process_only or kind_of(cfg) in command.first_process_kinds
    if alone and not is_first_process():
        print(f"{command.name}: runs on the first process only", flush=True)
        return None
    if not command.reads_store or kind_of(cfg) == "codes":
        check_typed_store(cfg)
    target = load(target_of(command, cfg))
    if command.uses_trainer:
        return load("trainer:run_with_trainer")(target, cfg, folder)
    return target(cfg, folder)


def kind_of(cfg: DictConfig) -> str:
    """Section that only code or box recipes have; "" for a classifier's recipe."""
    return next((section for section in ("codes", "boxes") if section in cfg), "")


def target_of(command: Command, cfg: DictConfig) -> str:
    """Target of a command for the kind of recipe. Raises UserError if the command does not support it."""
    kind = kind_of(cfg)
    if not command.uses_trainer:
        return command.function
    if not kind and command.boxes_only:
        raise UserError(
            f"{command.name}: needs a run of a box recipe, such as overfeat_detect or, on drawn scenes, boxes_demo"
        )
    if not kind:
        return command.function
    if kind not in command.targets_by_kind:
        able = ", ".join(name for name, one in COMMANDS.items() if kind in one.targets_by_kind)
        raise UserError(f"{command.name}: not for {kind}, only {able}")
    return command.targets_by_kind[kind]


def run_on_folders(command: Command, words: Iterable[str]) -> list[Path]:
    """Run a command without a recipe, such as `figures RUN [RUN ...] key=value`. Returns the run folders. Raises
    UserError if `data.root` is given but is not a store, even if the command does not need it."""
    assert command.options
    silence_image_warnings()
    folders, given = run_options.split_words(command.name, words, command.operands)
    chosen = run_options.read_options(given, command.options)
    if root := getattr(chosen, "root", None):
        check_store(root)
    load(command.function)(folders, chosen)
    return folders
