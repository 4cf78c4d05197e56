"""Simulate SLURM on one machine for `scripts/slurm.sbatch`: `srun` and `scontrol` on the PATH, and the daemon that
starts the tasks of a job step."""

import itertools
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from processes import end_all, free_port, start_command, wait_for

TASKS = 2
JOB = "4242"
SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 99
shift 2  # and the interpreter
trap 'kill -USR1 $(cat "$SLURM_FOLDER/tasks")' USR1
echo "$PPID" > "$SLURM_FOLDER/batch"
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
        """Start the tasks requested by srun, and return their exit codes. `interrupted`: the notice of the time limit
        comes in the second training step, and the first task takes seconds to close its W&B run."""
        step = self.folder / "step"
        wait_for(step.is_file, 300)
        module, name, *words = step.read_text().splitlines()
        assert (module, name) == ("-m", "alexnet_pl")
        step.unlink()
        tasks = self.start_tasks(words, partial(meet_time_limit, self.folder) if interrupted else None)
        (self.folder / "tasks").write_text(" ".join(str(task.pid) for task in tasks))
        codes = end_step(tasks)
        (self.folder / "code").write_text(str(max(code if code >= 0 else 128 - code for code in codes)))
        return codes

    def start_tasks(self, words: Sequence[str], hook: partial | None) -> list[BaseProcess]:
        job = {"JOB_ID": JOB, "JOB_NAME": "alexnet_pl", "NTASKS": TASKS, "NTASKS_PER_NODE": TASKS, "NNODES": 1}
        job |= {"STEP_ID": 0, "STEP_NUM_TASKS": TASKS, "STEP_TASKS_PER_NODE": TASKS}
        shared = {f"SLURM_{name}": str(value) for name, value in {**job, "NODEID": 0, "NODELIST": "localhost"}.items()}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        return [
            start_command(
                words,
                self.folder / f"task{task}.txt",
                {**shared, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
                partial(hook, task) if hook else None,
            )
            for task in range(TASKS)
        ]

    @property
    def requeued(self) -> list[str]:
        """Arguments with which scontrol was called."""
        path = self.folder / "scontrol.txt"
        return path.read_text().splitlines() if path.is_file() else []


def end_step(tasks: Sequence[BaseProcess], seconds: float = 300) -> list[int]:
    """Wait for the tasks of a step and return their exit codes. As soon as one has failed, end the others with SIGTERM,
    then SIGKILL, as `srun --kill-on-bad-exit` does."""
    try:
        wait_for(lambda: any(task.exitcode for task in tasks) or all(task.exitcode == 0 for task in tasks), seconds)
    finally:
        for task in tasks:
            task.terminate()
    return [code if code is not None else -signal.SIGKILL for code in end_all(tasks, 10)]


def meet_time_limit(folder: Path, task: int) -> None:
    """In a task: wait in the second training step for SIGUSR1, which the first task sends to the batch script as SLURM
    does. The first task also takes long to close its W&B run, and then creates a file `wandb_closed`."""
    from alexnet_pl.commands import process_state
    from alexnet_pl.training.classifier import Classifier

    step, close, calls = Classifier.training_step, process_state.finish_wandb, itertools.count(1)

    def waiting_step(*args: Any) -> Any:
        if next(calls) == 2:
            if task == 0:
                os.kill(int((folder / "batch").read_text()), signal.SIGUSR1)
            interrupt: Any = signal.getsignal(signal.SIGUSR1)
            wait_for(lambda: interrupt.__self__.caught, 60)
        return step(*args)

    def close_slowly() -> None:
        close()
        if task == 0 and not (folder / "wandb_closed").is_file():
            time.sleep(3)
            (folder / "wandb_closed").touch()

    Classifier.training_step, process_state.finish_wandb = waiting_step, close_slowly  # type: ignore[method-assign]
