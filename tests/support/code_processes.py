"""Fits of short codes with the neighbor loss, in this process and in two."""

import os
from pathlib import Path
from typing import Any

import torch
from processes import elastic, fork_processes, free_port
from running import last, run

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes

WORDS = ("codes.bits=12", "codes.hidden=[16]", "codes.neighbors=1", "data.batch_size=16", "trainer.max_epochs=2")
CPU = ("logger=csv", "trainer.accelerator=cpu", "trainer.precision=32-true")


def fit_codes(folder: Path, name: str, *words: str) -> dict[str, Any]:
    """Fit codes of the features in `folder`/net and return the checkpoint."""
    cfg = recipes.compose("codes", [f"codes.features={folder}/net", *WORDS, *CPU, *words])
    run(cfg, "fit", folder / name)
    return torch.load(last(folder / name), weights_only=True)


def fit_codes_in_two_processes(folder: Path, *words: str) -> None:
    fork_processes(fit_share, (folder, free_port(), words), 2)


def fit_share(rank: int, folder: Path, port: int, words: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    with own_process_state():
        os.environ |= elastic(rank, port)
        fit_codes(folder, "two", *words)
