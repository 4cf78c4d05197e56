"""Run the command as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def alexnet_pl(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alexnet_pl", *words]
    env = {**os.environ, **ONE_THREAD, **environment}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, timeout=300)
