"""What each command does with a composed config and a run folder; each ends with where its result lies."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from alexnet_pl import coding, evaluate, recipe
from alexnet_pl import predict as prediction
from alexnet_pl.checkpoint import check_switches, read_checkpoint
from alexnet_pl.cli import own_process_state, quoted
from alexnet_pl.errors import UserError
from alexnet_pl.fitting import fit
from alexnet_pl.job import build, errors, step, tell
from alexnet_pl.result import about_checkpoint, write_result
from alexnet_pl.retrieving import features, retrieve
from alexnet_pl.run_config import isolated_config
from alexnet_pl.telling import hush, say
from alexnet_pl.testing import average, test, tested, told_before


def run(cfg: DictConfig, folder: Path) -> float | None:
    """Run `cfg.command` and return the sweep's objective, where the command measures it."""
    hush()
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # a resumed run's own
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # Lightning's own use of torch
    if cfg.ckpt_path and cfg.ckpt_path != "auto":
        check_use(cfg)
    command: Callable[[DictConfig, Path], float | None] = find(cfg)
    try:
        return command(cfg, folder)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {str(error).strip().splitlines()[0]}") from error


def find(cfg: DictConfig) -> Callable[[DictConfig, Path], float | None]:
    """The command, of which a recipe of codes has its own."""
    if "codes" not in cfg or cfg.command == "report":
        return COMMANDS[cfg.command]
    if cfg.command not in coding.COMMANDS:
        raise UserError(f"{cfg.command}: not for codes, only {', '.join(coding.COMMANDS)}")
    return coding.COMMANDS[cfg.command]


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


def reproduce(cfg: DictConfig, folder: Path) -> float | None:
    """`fit` to its end, unless that was reached before, then `test`, unless these weights have been tested."""
    last = folder / "checkpoints/last.ckpt"
    for command, checkpoint in {"fit": "auto", "test": str(last)}.items():
        step = cfg.copy()
        step.command, step.ckpt_path = command, checkpoint
        if command == "test" and (place := tested(step, folder)):
            say("tested already", place)
            return told_before(place)
        with own_process_state():
            config = [f"--config-path={isolated_config(folder).parent}", "--config-name=config"]
            where = ["hydra/job_logging=none", f"hydra.run.dir={quoted(str(folder.absolute()))}"]
            sys.argv[1:] = [*config, f"++command={command}", f"ckpt_path={quoted(checkpoint)}", *where]
            found = run(step, folder)
    return found


def validate(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    trainer.validate(prediction.load(cfg.ckpt_path, module), datamodule=data, verbose=False)
    if trainer.is_global_zero:
        about, checkpoint = evaluate.dataset(data.store, "val"), about_checkpoint(Path(cfg.ckpt_path), step(cfg))
        found = write_result(
            folder / "validation.json", errors(module), dataset=about, views="center", checkpoint=checkpoint
        )
        tell(found, folder / "validation.json")
    return errors(module)["top1_error"]


def predict(cfg: DictConfig, folder: Path) -> None:
    paths = prediction.find_images(cfg.predict.images)
    module = recipe.make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    module = prediction.load(cfg.ckpt_path, module)
    rows, unread = prediction.predict(module, paths, cfg.prepare.filter, recipe.device(cfg))
    if not rows:
        path, reason = next(iter(unread.items()))
        raise UserError(f"images: none of {len(unread)} could be read; {path}: {reason}")
    table = prediction.write(rows, folder)
    prediction.show(rows, unread)
    say(f"{len(rows):,} images, {len(unread)} not read", table)


def report(cfg: DictConfig, folder: Path) -> None:
    from alexnet_pl.report import report as write  # matplotlib and scipy's statistics, which no other command needs

    write(cfg, folder)


def dashboard(cfg: DictConfig, folder: Path) -> None:
    from alexnet_pl.dashboard import dashboard as show

    show(cfg, folder)


COMMANDS = {
    "fit": fit,
    "validate": validate,
    "test": test,
    "reproduce": reproduce,
    "ensemble": average,
    "predict": predict,
    "features": features,
    "retrieve": retrieve,
    "report": report,
    "dashboard": dashboard,
}
