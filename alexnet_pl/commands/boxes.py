"""`fit` and `reproduce` of recipes of boxes (OverFeat §4, §5): train a regressor or a detector."""

import time
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.box_test import test
from alexnet_pl.commands.fit import is_finished, pin_start_for_ddp_ranks
from alexnet_pl.config.identity import box_training
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.detection.build import build_boxes, open_box_store, store_record
from alexnet_pl.files import parse_record
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.layout import LAST, link_latest
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.training import checkpointing
from alexnet_pl.training.media import log_summary
from alexnet_pl.training.schedules import find_end_of_fit


def fit(cfg: DictConfig, folder: Path) -> float | None:
    store = store_record(open_box_store(cfg))
    if cfg.ckpt_path == "auto" and is_finished(cfg, folder, box_training(cfg)):
        return None
    pin_start_for_ddp_ranks(cfg)
    trainer, module, data = build_boxes(cfg, folder)
    rank_zero_only(link_latest)(folder)
    log_summary(trainer.loggers, OmegaConf.to_container(cfg, resolve=True))
    began = time.perf_counter()
    rank_zero_only(fit_status.start_fit)(folder, box_training(cfg), parse_record(store, DatasetInfo))
    trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    checkpointing.save_last(trainer, folder / LAST)
    seen, seconds = trainer.global_step * cfg.data.batch_size, time.perf_counter() - began
    counts = (trainer.global_step, trainer.current_epoch, seen)
    rank_zero_only(fit_status.mark_finished)(folder, *counts, seconds, find_end_of_fit(trainer))
    lost = float(trainer.callback_metrics["val/loss"])
    print_message(f"{pluralize(trainer.current_epoch, 'epoch')}: val loss {lost:.4f}", folder)
    return lost


def reproduce(cfg: DictConfig, folder: Path) -> float | None:
    """`fit` to its end, unless that was reached before, then `test`."""
    found = None
    for command, checkpoint in {"fit": "auto", "test": str(folder / LAST)}.items():
        part = cfg.copy()
        part.command, part.ckpt_path = command, checkpoint
        found = (fit if command == "fit" else test)(part, folder)
    return found
