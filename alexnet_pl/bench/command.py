"""The command `bench`."""

import json
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.bench import preparing, table
from alexnet_pl.errors import UserError
from alexnet_pl.telling import say

STAGES = ("train", "prepare")


def bench(cfg: DictConfig, folder: Path) -> None:
    if cfg.stage not in STAGES:
        raise UserError(f"bench {cfg.stage}: one of {', '.join(STAGES)}")
    if not isinstance(cfg.rounds, int) or cfg.rounds < 1:
        raise UserError(f"rounds={cfg.rounds}: a whole number from 1")
    if cfg.json and not Path(cfg.json).absolute().parent.is_dir():
        raise UserError(f"json={cfg.json}: there is no such folder")
    if cfg.stage == "prepare":
        found = preparing.measure(Path(cfg.data.source) if cfg.data.source else None, cfg.rounds)
        table.show_preparing(found)
    else:
        from alexnet_pl.bench import training  # with the trainer, which takes seconds to load

        found = training.measure(cfg, cfg.rounds)
        table.show_training(found)
    if cfg.json:
        path = Path(cfg.json)
        path.write_text(json.dumps(found, indent=1) + "\n")
        say("all figures", path)
