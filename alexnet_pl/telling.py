"""The last line of a command: what came out, and where it lies."""

import os
from pathlib import Path

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # as Lightning tells which process of several it is in


def say(line: str, where: Path) -> None:
    """On the first process of several; a place below the working folder is told from there."""
    if next((os.environ[key] for key in RANKS if key in os.environ), "0") == "0":
        lies = os.path.relpath(where)
        print(f"{line}\n→ {where if lies.startswith('..') else lies}", flush=True)
