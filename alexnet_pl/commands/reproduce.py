"""`reproduce`: fit to the end, then test. Resumes when called again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import dispatch
from alexnet_pl.commands.evaluate import earlier_error, finished_test
from alexnet_pl.commands.process_state import own_process_state, pin_argv_for_ddp_ranks
from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.config.overrides import quote_literal
from alexnet_pl.console import is_first_process, print_message
from alexnet_pl.experiment.processes import count_devices, launched_processes
from alexnet_pl.runs.layout import LAST
from alexnet_pl.runs.started_config import find_started_config
from alexnet_pl.runtime.device import choose_device


def reproduce(cfg: DictConfig, folder: Path) -> float | None:
    """`fit` to its end, unless it is finished, then `test`, unless these weights have been tested.

    Codes are tested each time. Codes and boxes are tested by the first process; the others end after the fit.
    """
    objective, launched, kind = None, launched_processes(), dispatch.kind_of(cfg)
    for stage in stages(cfg, folder):
        if stage.command == "test" and (earlier := find_earlier_test(stage, folder, kind)):
            print_message("already tested", earlier[0])
            return earlier[1]
        with own_process_state(keep_group=launched is not None and not kind):
            if not launched and count_devices(stage.trainer.get("devices"), choose_device(stage).type) > 1:
                # this process starts the others of this machine, which repeat the command line
                words = [f"++command={stage.command}", f"ckpt_path={quote_literal(stage.ckpt_path)}"]
                words.append(f"hydra.run.dir={quote_literal(str(folder.absolute()))}")
                pin_argv_for_ddp_ranks(words, copy_config(cfg, folder))
            objective = dispatch.run(stage, folder)
    return objective


def find_earlier_test(cfg: DictConfig, folder: Path, kind: str) -> tuple[Path, float | None] | None:
    """(results folder, objective) of the test requested by `cfg` if it was finished before, else None."""
    if kind == "boxes" and not is_first_process():
        return None
    if kind == "boxes":
        from alexnet_pl.commands import box_test  # draws pictures, which no other kind needs here

        return box_test.finished_test(cfg, folder)
    results = None if kind else finished_test(cfg, folder)
    return (results, earlier_error(results)) if results else None


def copy_config(cfg: DictConfig, folder: Path) -> Path:
    """Write the config without settings for Hydra: that of the run folder, or on another node than the first, which
    writes none and may be ahead of it, the composed one."""
    if is_first_process():
        return isolated_config(folder, find_started_config(folder))
    with tempfile.TemporaryDirectory() as own:
        OmegaConf.save(cfg, Path(own) / "config.yaml")
        return isolated_config(Path(own), "config.yaml")


def stages(cfg: DictConfig, folder: Path) -> Iterator[DictConfig]:
    """Yield the configs of `fit` and `test`, one after the other."""
    for command, checkpoint in {"fit": "auto", "test": str(folder / LAST)}.items():
        stage = cfg.copy()
        stage.command, stage.ckpt_path = command, checkpoint
        yield stage
