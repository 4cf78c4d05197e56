"""Two processes that train together agree to stop also where each of their votes would come before a validation."""

import os
import signal
from pathlib import Path

import pytest
import torch
from processes import elastic, fork_processes, free_port, signal_in
from run_folders import assert_same_runs, load
from running import fit_in_seconds, last, run

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt

pytestmark = pytest.mark.slow
VOTE = 2  # instead of 20
WORDS = (f"+trainer.val_check_interval={VOTE}", "+trainer.limit_val_batches=1", "performance.checkpoint_minutes=0")


def test_processes_that_validate_at_each_vote_stop_at_the_next_and_continue_to_the_bit(
    tiny_store: Path, tmp_path: Path
) -> None:
    fork_processes(fits, (tiny_store, tmp_path, [free_port() for _ in range(3)]), 2)
    assert (tmp_path / "stopped").read_text() == str(VOTE)
    assert_same_runs(tmp_path / "whole", tmp_path / "cut")


def fits(rank: int, store: Path, folder: Path, ports: list[int]) -> None:
    """A fit, one that gets SIGTERM in its first step, in the second process alone, and the rest of that fit."""
    torch.set_num_threads(1)
    os.chdir(folder)
    GracefulInterrupt.VOTE = VOTE
    words = [word for word in fit_in_seconds(store) if not word.startswith("+trainer.limit_train_batches")]
    cfg, cut = recipes.compose("imagenette", [*words, *WORDS, "trainer.max_epochs=1"]), folder / "cut"
    environment = iter([elastic(rank, port) for port in ports])
    with own_process_state():
        os.environ |= next(environment)
        run(cfg, "fit", folder / "whole")
    if rank:
        signal_in("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGTERM)
    with pytest.raises(SystemExit) as end, own_process_state():  # noqa: PT012
        os.environ |= next(environment)
        run(cfg, "fit", cut)
    assert end.value.code == 128 + signal.SIGTERM
    if rank == 0:
        (folder / "stopped").write_text(str(load(last(cut))["global_step"]))
    with own_process_state():
        os.environ |= next(environment)
        run(cfg, "fit", cut, last(cut))
