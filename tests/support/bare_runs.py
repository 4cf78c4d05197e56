"""Run folders with the files that the command line looks at, and no more."""

import os
import time
from pathlib import Path


def make_run_folder(folder: Path, config: str = "seed: 1\n") -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(config)
    return folder


def make_checkpoint_file(run: Path, name: str, age: float) -> Path:
    """An empty NAME.ckpt, last changed `age` seconds ago."""
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path
