"""`reproduce`: fit to the end and test; called again, it resumes."""

from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.commands import registry
from alexnet_pl.commands.evaluate import earlier_error, finished_test
from alexnet_pl.commands.process import own_process_state, pin_argv_for_ddp_ranks
from alexnet_pl.config.recipes import quote_value
from alexnet_pl.config.run_config import isolated_config
from alexnet_pl.console import print_message
from alexnet_pl.experiment.processes import launched_processes
from alexnet_pl.runs.layout import LAST


def reproduce(cfg: DictConfig, folder: Path) -> float | None:
    """`fit` to its end, unless that was reached before, then `test`, unless these weights have been tested."""
    last, launched = folder / LAST, launched_processes()
    for command, checkpoint in {"fit": "auto", "test": str(last)}.items():
        step = cfg.copy()
        step.command, step.ckpt_path = command, checkpoint
        if command == "test" and (results := finished_test(step, folder)):
            print_message("already tested", results)
            return earlier_error(results)
        with own_process_state(keep_group=launched is not None):
            if not launched:
                words = [f"++command={command}", f"ckpt_path={quote_value(checkpoint)}"]
                words.append(f"hydra.run.dir={quote_value(str(folder.absolute()))}")
                pin_argv_for_ddp_ranks(words, isolated_config(folder))
            found = registry.run(step, folder)
    return found
