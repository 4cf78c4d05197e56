"""The command `bench`."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from alexnet_pl.bench import preparing, table
from alexnet_pl.errors import UserError
from alexnet_pl.telling import say

STAGES = ("train", "prepare", "report")


def bench(cfg: DictConfig, folder: Path) -> None:
    if cfg.stage not in STAGES:
        raise UserError(f"bench {cfg.stage}: one of {', '.join(STAGES)}")
    if cfg.stage == "report":
        return report(cfg)
    if not isinstance(cfg.rounds, int) or cfg.rounds < 1:
        raise UserError(f"rounds={cfg.rounds}: a whole number from 1")
    if cfg.json and not (isinstance(cfg.json, str) and Path(cfg.json).absolute().parent.is_dir()):
        raise UserError(f"json={cfg.json}: a file in a folder that is there")
    if cfg.stage == "prepare":
        found = preparing.measure(Path(cfg.data.source) if cfg.data.source else None, cfg.rounds)
        table.show_preparing(found)
    else:
        found = train(cfg, folder)
    if cfg.json:
        path = Path(cfg.json)
        path.write_text(json.dumps(found, indent=1) + "\n")
        say("all figures", path)


def train(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    from alexnet_pl.bench import fits, training  # with the trainer, which takes seconds to load

    found = training.measure(cfg, folder)
    table.show_training(found)
    if cfg.json:
        from alexnet_pl.bench.picture import draw

        draw(Path(cfg.json).with_suffix(".png"), found)
        say("a chart", Path(cfg.json).with_suffix(".png"))
    if cfg.profile:
        say("a trace for chrome://tracing or ui.perfetto.dev", folder / fits.TRACE)
    return found


def report(cfg: DictConfig) -> None:
    """BENCHMARKS.md of the working folder, from what `json=` names, a section a file."""
    from alexnet_pl.bench.written import write

    names = list(cfg.json) if isinstance(cfg.json, ListConfig) else [cfg.json] if cfg.json else []
    if not names:
        raise UserError("json has no value: bench report json=FILE, or json=[FILE,FILE], that bench has written")
    write([Path(name) for name in names], Path("BENCHMARKS.md"))
    say(f"{len(names)} files of figures", Path("BENCHMARKS.md"))
