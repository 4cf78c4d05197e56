"""Simulate SLURM on one machine for `scripts/slurm.sbatch`: `srun` and `scontrol` on the PATH, and the daemon that
starts the tasks of a job step."""

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from processes import end_all, free_port, signal_in, start_command, wait_for

TASKS = 2
JOB = "4242"
SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 99
shift 2  # and the interpreter
printf '%s\\n' "$@" > "$SLURM_FOLDER/step.new"
mv "$SLURM_FOLDER/step.new" "$SLURM_FOLDER/step"
until [ -f "$SLURM_FOLDER/code" ]; do sleep 0.1; done
code=$(cat "$SLURM_FOLDER/code")
rm "$SLURM_FOLDER/code"
exit "$code"
"""
SCONTROL = """#!/bin/bash
echo "$@" >> "$SLURM_FOLDER/scontrol.txt"
"""


class SimulatedSlurm:
    """`environment`: of the batch script. Tasks run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        found = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_FOLDER": str(folder), "SLURM_JOB_ID": JOB}
        self.environment = {**os.environ, **found}

    def run_step(self, interrupted: bool = False) -> list[int | None]:
        """Start the tasks requested by srun, and return their exit codes. `interrupted`: send each task SIGUSR1 in its
        second training step, as SLURM does near the time limit."""
        step = self.folder / "step"
        wait_for(step.is_file, 300)
        module, name, *words = step.read_text().splitlines()
        assert (module, name) == ("-m", "alexnet_pl")
        step.unlink()
        notice = partial(signal_in, "alexnet_pl.training.classifier:Classifier.training_step", signal.SIGUSR1, 2)
        codes = end_all(self.start_tasks(words, notice if interrupted else None))
        (self.folder / "code").write_text(str(max(code or 0 for code in codes)))
        return codes

    def start_tasks(self, words: Sequence[str], hook: partial | None) -> list:
        job = {"JOB_ID": JOB, "JOB_NAME": "alexnet_pl", "NTASKS": TASKS, "NTASKS_PER_NODE": TASKS, "NNODES": 1}
        shared = {f"SLURM_{name}": str(value) for name, value in {**job, "NODEID": 0, "NODELIST": "localhost"}.items()}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        return [
            start_command(
                words,
                self.folder / f"task{task}.txt",
                {**shared, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
                hook,
            )
            for task in range(TASKS)
        ]

    @property
    def requeued(self) -> list[str]:
        """Arguments with which scontrol was called."""
        path = self.folder / "scontrol.txt"
        return path.read_text().splitlines() if path.is_file() else []
