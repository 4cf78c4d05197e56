"""Run folder that the notebooks show: the user's own, or the demo, trained once."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import RESULT, read_config

VARIABLE = "ALEXNET_PL_RUN"
FOLDER = Path("runs/notebook")
DEMO = ["reproduce", "-c", "demo"]  # about a minute on two CPU cores
TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")  # Jupyter sets the first: bars would redraw themselves


def example_run(given: str | Path | None = None) -> Path:
    """Run folder: `given`, else $ALEXNET_PL_RUN, else runs/notebook, where configs/demo.yaml is trained once."""
    if wanted := given or os.environ.get(VARIABLE):
        read_config(Path(wanted))
        return Path(wanted)
    if not (FOLDER / RESULT).is_file():
        print(f"{FOLDER}: training the demo on drawn images (about a minute)", flush=True)
        run_command([*DEMO, f"hydra.run.dir={FOLDER}"])
    return FOLDER


def run_command(words: Sequence[str]) -> None:
    """Run a command of the package in a child process, and print its output as it comes.

    Raises UserError with the last line if it fails.
    """
    command, last = [sys.executable, "-u", "-m", "alexnet_pl", *words], "failed"
    env = {name: value for name, value in os.environ.items() if name not in TERMINAL}
    env["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # the child would write in the locale's encoding
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}  # names of files may hold other bytes
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, **text) as child:
        assert child.stdout
        for line in child.stdout:  # `print`, so that a notebook shows it below the cell
            print(line, end="", flush=True)
            last = line.strip() or last
    if child.returncode:
        raise UserError(f"{' '.join(words)}: {last.removeprefix('alexnet_pl: ')}")
