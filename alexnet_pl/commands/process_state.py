"""Process state that a command may change: `sys.argv`, the environment, process groups."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet_pl.errors import StoppedTogether


def pin_argv_for_ddp_ranks(words: Iterable[str], config: Path | None = None) -> None:
    """Make `sys.argv` describe exactly this job, since Lightning starts the other ranks of a fit with it.

    `words` replace overrides of the same keys; `config` replaces the recipe and all overrides. Without `config`, does
    nothing if Hydra was not started from a command line, as in a notebook.
    """
    if config:
        sys.argv[1:] = [f"--config-path={config.parent}", f"--config-name={config.stem}", "hydra/job_logging=none"]
    elif not any(word.startswith("--config-path=") for word in sys.argv):
        return
    new = list(words)
    keys = {key_of(word) for word in new}
    sys.argv[1:] = [*(word for word in sys.argv[1:] if key_of(word) not in keys), *new]


def key_of(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


@contextmanager
def own_process_state(keep_group: bool = False) -> Iterator[None]:
    """Restore `sys.argv` and the environment on exit, and destroy the process group unless `keep_group`.

    Hydra's basic launcher runs a whole sweep in one process. The LOCAL_RANK and WORLD_SIZE that Lightning sets for one
    job would make the next job look like a rank started by torchrun.

    `keep_group`: for stages of one command in processes of torchrun or srun. A second group would use the same
    addresses, and a process that arrives early would find those of the first group.
    """
    argv, environ = sys.argv.copy(), os.environ.copy()
    try:
        yield
        if not keep_group:
            leave_group()
    except StoppedTogether:
        finish_wandb()  # srun --kill-on-bad-exit ends all processes as soon as one has ended with this code
        if not keep_group:
            leave_group()
        raise
    finally:
        sys.argv[:] = argv
        os.environ.clear()
        os.environ.update(environ)
        if not keep_group:
            destroy_group()
        finish_wandb()


def finish_wandb() -> None:
    """Close this job's W&B run, which the next job of a sweep would continue."""
    if logger := sys.modules.get("alexnet_pl.training.wandb_logger"):
        logger.finish()


def leave_group() -> None:
    """Wait until all processes of the group get here; they may end afterwards."""
    if peers := sys.modules.get("alexnet_pl.training.strategies.peers"):
        peers.leave()


def destroy_group() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
