"""The run that a notebook looks at: a person's own, or a short demonstration that is trained when there is none."""

import os
import subprocess
import sys
from pathlib import Path

from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import RESULT, read_config

VARIABLE = "ALEXNET_PL_RUN"
FOLDER = Path("runs/notebook")
SHORT = ["trainer.max_epochs=2", "test.views=center", "logger=csv"]  # about a minute on two CPU cores


def run_folder(given: str | Path | None = None) -> Path:
    """`given`, or what $ALEXNET_PL_RUN says, or runs/notebook: two epochs of configs/demo.yaml, made here once."""
    if wanted := given or os.environ.get(VARIABLE):
        read_config(Path(wanted))
        return Path(wanted)
    if not (FOLDER / RESULT).is_file():
        print(f"{FOLDER}: the demonstration is trained, on images that are drawn; about a minute", flush=True)
        train(["reproduce", "-c", "demo", *SHORT, f"hydra.run.dir={FOLDER}"])
    return FOLDER


def train(words: list[str]) -> None:
    """Run a command of the package in a process of its own. Raises UserError with its last line if it fails."""
    done = subprocess.run([sys.executable, "-m", "alexnet_pl", *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(words)}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
