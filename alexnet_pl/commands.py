"""What each command does with a composed config and a run folder; each ends with where its result lies."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import predict as prediction
from alexnet_pl import recipe
from alexnet_pl.checkpoint import check_switches, read_checkpoint
from alexnet_pl.data.datamodule import ImageStore
from alexnet_pl.errors import UserError
from alexnet_pl.module import Classifier
from alexnet_pl.result import write_result
from alexnet_pl.telling import say


def run(cfg: DictConfig, folder: Path) -> float | None:
    """Run `cfg.command` and return the sweep's objective, where the command measures it."""
    for chatter in ("lightning.pytorch", "lightning.fabric", "torch.utils.cpp_extension"):
        logging.getLogger(chatter).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # a resumed run's own
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # Lightning's own use of torch
    if cfg.ckpt_path:
        check_use(cfg)
    command: Callable[[DictConfig, Path], float | None] = COMMANDS[cfg.command]
    try:
        return command(cfg, folder)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {str(error).strip().splitlines()[0]}") from error


def check_use(cfg: DictConfig) -> None:
    """Say which checkpoint is meant; `best.ckpt` holds weights alone, from which a fit cannot go on."""
    checkpoint = read_checkpoint(cfg.ckpt_path)
    if cfg.command == "fit" and "optimizer_states" not in checkpoint:
        raise UserError(f"ckpt_path: {cfg.ckpt_path} holds weights alone; a fit goes on from last.ckpt")
    began = checkpoint["alexnet_pl"]["course"] if cfg.command == "fit" else {}
    for name, (key, value) in recipe.course(cfg).items():
        if name in began and began[name] != value:
            raise UserError(f"{key}={value}: the run that is to go on has {began[name]}; add {key}={began[name]}")
    rank_zero_only(print)(f"using {os.path.relpath(cfg.ckpt_path)}, step {checkpoint['global_step']:,}", flush=True)


def fit(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    errors = {name: float(value) for name, value in trainer.callback_metrics.items()}
    top1, top5 = errors.get("val/top1_error"), errors.get("val/top5_error")
    said = f"val top-1 error {top1:.2f} %, top-5 {top5:.2f} %, centre view" if top1 is not None else "not validated"
    say(f"{trainer.current_epoch} epochs, {trainer.global_step} steps: {said}", folder)
    return errors.get(cfg.objective)


def validate(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    trainer.validate(prediction.load(cfg.ckpt_path, module), datamodule=data, verbose=False)
    return report(folder / "validation.json", cfg, trainer, module, data, split="val", views="centre")


def test(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    trainer.test(prediction.load(cfg.ckpt_path, module), datamodule=data, verbose=False)
    return report(folder / "result.json", cfg, trainer, module, data, split=data.tested, views=cfg.views)


def report(
    path: Path, cfg: DictConfig, trainer: L.Trainer, module: Classifier, data: ImageStore, split: str, views: str
) -> float:
    """Write and print what was measured; its top-1 error in percent."""
    errors = {name: float(value) for name, value in module.found.items()}
    if trainer.is_global_zero:
        store, total = data.store, len(data.store.split(split))
        dataset = {"name": store.name, "fingerprint": store.fingerprint, "split": split, "images": total}
        step = read_checkpoint(cfg.ckpt_path)["global_step"]
        result = write_result(path, errors, step, dataset=dataset, views=views, checkpoint=cfg.ckpt_path)
        part = f" of {total:,}" if result["images"] != total else ""
        low, high = result["top1_error_interval"]
        say(
            f"{store.name}, {result['images']:,}{part} {split} images, {views} view{'s' * (views != 'centre')}: "
            f"top-1 error {errors['top1_error']:.2f} % (95 %: {low:.2f} to {high:.2f}), "
            f"top-5 error {errors['top5_error']:.2f} %",
            path,
        )
    return errors["top1_error"]


def predict(cfg: DictConfig, folder: Path) -> None:
    paths = prediction.find_images(cfg.images)
    module = recipe.make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    module = prediction.load(cfg.ckpt_path, module)
    rows, unread = prediction.predict(module, paths, cfg.data.filter, recipe.device(cfg))
    if not rows:
        path, reason = next(iter(unread.items()))
        raise UserError(f"images: none of {len(unread)} could be read; {path}: {reason}")
    table = prediction.write(rows, folder)
    prediction.show(rows, unread)
    say(f"{len(rows):,} images, {len(unread)} not read", table)


def build(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Classifier, ImageStore]:
    """Everything that can be wrong is found before a logger starts or a network is filled."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    data = recipe.make_data(cfg)
    data.check()
    module = recipe.make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    return recipe.make_trainer(cfg, folder), module, data


COMMANDS = {"fit": fit, "validate": validate, "test": test, "predict": predict}
