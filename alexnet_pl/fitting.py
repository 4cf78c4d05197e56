"""`fit`: train a network (§6) from the start, from where it stopped, or from an earlier one's layers (§7)."""

import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import evaluate, recipe, stages, state
from alexnet_pl.checkpoint import read_checkpoint
from alexnet_pl.cli import quoted
from alexnet_pl.job import build, step
from alexnet_pl.media import keep_checkpoints, show_facts
from alexnet_pl.telling import counted, say
from alexnet_pl.transfer import carry_over


def fit(cfg: DictConfig, folder: Path) -> float | None:
    if cfg.ckpt_path == "auto" and is_finished(cfg, folder, recipe.training(cfg)):
        return None
    if not cfg.ckpt_path:
        start_from(cfg, folder)
    for_other_processes(cfg, folder)
    return train(cfg, folder)


def is_finished(cfg: DictConfig, folder: Path, training: dict[str, Any]) -> bool:
    """`ckpt_path=auto`: whether the fit is at its end, which is then told; else the checkpoint to go on from is set."""
    finished, last = state.resume(folder, training)
    if finished:
        say("trained to its end already", folder)
    else:
        cfg.ckpt_path = str(last) if last else None
    return finished


def start_from(cfg: DictConfig, folder: Path) -> None:
    """Fill in the weights that a fit starts from, by making them first if need be."""
    transfer = recipe.make_transfer(cfg)
    if transfer.pretrain_recipe and not transfer.weights:
        cfg.transfer.weights = stages.pretrain(cfg, transfer, folder)


def for_other_processes(cfg: DictConfig, folder: Path) -> None:
    """Lightning starts the other processes of a fit from `sys.argv`; they must not decide for themselves where it
    starts from, by when files have changed."""
    if cfg.command == "fit" and any(word.startswith("--config-path=") for word in sys.argv):
        sys.argv = [word for word in sys.argv if not word.startswith(("ckpt_path=", "transfer.weights="))]
        for key, value in {"ckpt_path": cfg.ckpt_path, "transfer.weights": cfg.transfer.weights}.items():
            sys.argv.append(f"{key}={quoted(value) if value else 'null'}")


def train(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    transfer = recipe.make_transfer(cfg)
    if transfer.layers and not cfg.ckpt_path:
        assert transfer.weights
        before = carry_over(module.net, Path(transfer.weights), transfer.layers)
        module.lineage = [*before.pop("lineage"), before]
    show_facts(trainer.loggers, OmegaConf.to_container(cfg, resolve=True))
    began, steps = time.perf_counter(), step(cfg) if cfg.ckpt_path else 0
    trainer.callbacks.append(Begun(folder, recipe.training(cfg)))  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    keep_last(trainer, folder / "checkpoints/last.ckpt", steps)
    if recipe.make_watch(cfg).upload_checkpoints:
        kept = [path for name in ("best", "last") if (path := folder / f"checkpoints/{name}.ckpt").is_file()]
        keep_checkpoints(trainer.loggers, kept, {"step": trainer.global_step, "epoch": trainer.current_epoch})
    seen, seconds = trainer.global_step * cfg.data.batch_size, time.perf_counter() - began
    rank_zero_only(state.finish)(folder, trainer.global_step, trainer.current_epoch, seen, seconds)
    errors = {name: float(value) for name, value in trainer.callback_metrics.items()}
    top1, top5 = errors.get("val/top1_error"), errors.get("val/top5_error")
    said = f"val top-1 error {top1:.2f} %, top-5 {top5:.2f} %, centre view" if top1 is not None else "not validated"
    say(f"{counted(trainer.current_epoch, 'epoch')}, {counted(trainer.global_step, 'step')}: {said}", folder)
    return errors.get(cfg.objective)


class Begun(L.Callback):
    """Notes in fit.json that a fit has begun, once its images are there."""

    def __init__(self, run: Path, training: dict[str, Any]) -> None:
        self.run, self.training = run, training

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        state.begin(self.run, self.training, evaluate.dataset(trainer.datamodule.store, "train"))  # type: ignore[attr-defined]


def keep_last(trainer: L.Trainer, path: Path, began: int) -> None:
    """`last.ckpt` is written by validations; where a fit ends without one, it must hold the end all the same."""
    there = read_checkpoint(path)["global_step"] if path.is_file() else -1
    if trainer.strategy.broadcast(there) != trainer.global_step:
        trainer.save_checkpoint(path)
