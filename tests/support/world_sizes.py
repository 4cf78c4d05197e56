"""Run fit, validate, test and features in one or more processes, and record the images that each reads."""

import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processes import elastic, fork_processes, free_port
from running import fit_in_seconds, last, run

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config import recipes
from alexnet_pl.data.store.split import Split

BATCH, STEPS = 12, 2  # 12 is a multiple of 1, 3 and 4; the 40 validation images are not a multiple of 3
COMMANDS = ("fit", "validate", "test", "features")


def run_world(world: int, store: Path, folder: Path) -> None:
    """Run the commands in `folder`. Reads of process r go to reads<r>.json: {command: [[split, index, bytes], …]}."""
    fork_processes(commands, (world, free_port(), store, folder), world)


def commands(rank: int, world: int, port: int, store: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    reads: dict[str, list[Any]] = {}
    words = [f"data.batch_size={BATCH}", f"trainer.limit_train_batches={STEPS}", "trainer.max_epochs=1"]
    words += ["model.dropout=0", "monitor.num_images=0", "+features.split=val"]
    cfg = recipes.compose("imagenette", [*fit_in_seconds(store), *words])
    with own_process_state():
        if world > 1:
            os.environ |= elastic(rank, port, world)
        for command in COMMANDS:
            note_reads(reads.setdefault(command, []))
            with own_process_state(keep_group=world > 1):
                run(cfg, command, folder, None if command == "fit" else last(folder))
    (folder / f"reads{rank}.json").write_text(json.dumps(reads))


def note_reads(noted: list[Any], original: Any = Split.read) -> None:
    def read(split: Split, indices: np.ndarray, out: np.ndarray) -> None:
        if threading.current_thread().name == "loader":  # images of mistakes are read again in other threads
            size = out.nbytes // max(len(indices), 1)
            noted.extend(zip(itertools.repeat(split.name), indices.tolist(), itertools.repeat(size)))
        original(split, indices, out)

    Split.read = read  # type: ignore[method-assign]
