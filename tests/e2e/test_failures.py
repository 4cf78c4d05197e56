"""A killed or hanging process ends the whole job in bounded time: no orphans, one line per process, no traceback.

`make failures` records the seconds of each case for the table in docs/how-to/clusters.md.
"""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from command_line import ONE_THREAD
from processes import be_the_program, elastic, end_all, free_port, signal_in, start_command, start_ranks, wait_for
from running import fit_in_seconds

pytestmark = pytest.mark.slow
BOUND = 30  # seconds from the failure to the end of the last process
TIMEOUT = 15  # seconds until a process that does not answer counts as hanging
START = 400  # seconds for two processes to start on a busy machine
LAUNCHED = {  # who is killed, of the process that the user started (0) and the one it started, and what the other says
    "one that trainer.devices has started is killed": (1, "rank 1 (process {child}) was killed by SIGKILL"),
    "the one that started it is killed": (0, "rank 0 (process {parent}) has ended"),
}
MOMENTS = {  # under torchrun: where the second process meets its signal, and which
    "killed in a training step": ("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGKILL),
    "killed at the end of the fit": ("alexnet_pl.commands.fit_to_end:save_last", signal.SIGKILL),
    "killed in the test that follows": (
        "alexnet_pl.evaluation.prediction_writer:PredictionWriter.on_test_batch_end",
        signal.SIGKILL,
    ),
    "killed when its work is done": ("alexnet_pl.training.strategies.peers:leave", signal.SIGKILL),
    "hangs in a training step": ("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGSTOP),
}


def keep(case: str, seconds: float) -> None:
    """Print the seconds of a case, and add them to the file named by ALEXNET_PL_SECONDS."""
    print(f"{case}: {seconds:.1f} s")
    if name := os.environ.get("ALEXNET_PL_SECONDS"):
        path = Path(name)
        found = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**found, case: round(seconds, 1)}, indent=1, sort_keys=True) + "\n")


def child_of(parent: int) -> int:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (child,) = [int(pid) for pid in found if b"alexnet_pl" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return child


def runs(pid: int) -> bool:
    """Whether a process is running, and not a zombie whose parent has not waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def check_line(log: str, start: str, end: str) -> None:
    """Check that one line of ours names the first cause and the command to type, without a traceback."""
    (line,) = [line for line in log.splitlines() if line.startswith("alexnet_pl: ")]
    assert line.startswith(f"alexnet_pl: {start}")
    assert line.endswith(end)
    assert "Traceback" not in log


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc for the processes of a job")
@pytest.mark.parametrize("case", LAUNCHED)
def test_processes_of_trainer_devices_end_together(tiny_store: Path, tmp_path: Path, case: str) -> None:
    words = ["trainer.devices=2", "trainer.max_epochs=1000", "hydra.run.dir=run"]
    command = ["fit", "-c", "imagenette", *fit_in_seconds(tiny_store), *words]
    started = start_command(command, tmp_path / "log.txt", ONE_THREAD, be_the_program)
    wait_for(lambda: (tmp_path / "run/checkpoints/last.ckpt").is_file() or started.exitcode is not None, START)
    assert started.exitcode is None, (tmp_path / "log.txt").read_text()
    assert started.pid
    processes = {"parent": started.pid, "child": child_of(started.pid)}
    whom, cause = LAUNCHED[case]
    try:
        os.kill(processes["child" if whom else "parent"], signal.SIGKILL)
        seconds = wait_for(lambda: started.exitcode is not None and not runs(processes["child"]), 3 * BOUND)
    finally:
        for pid in processes.values():
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
    log_text = (tmp_path / "log.txt").read_text()
    assert seconds < BOUND, log_text
    start = f"rank {1 - whom} of 2: stopped, since {cause.format(**processes)}"
    check_line(log_text, start, "; continue with: python -m alexnet_pl fit run")
    keep(case, seconds)


def test_processes_with_different_seeds_are_refused(tiny_store: Path, tmp_path: Path) -> None:
    """As by `srun bash -c 'python -m alexnet_pl … seed=$SLURM_PROCID'`, which meant several trainings."""
    port, words = free_port(), ["reproduce", "-c", "imagenette", *fit_in_seconds(tiny_store), "hydra.run.dir=run"]
    started = [
        start_command([*words, f"seed={rank}"], tmp_path / f"rank{rank}.txt", elastic(rank, port)) for rank in range(2)
    ]
    codes = end_all(started, START)
    assert 2 in codes, (tmp_path / "rank0.txt").read_text()  # it ends the other, if that is slower
    log = (tmp_path / f"rank{codes.index(2)}.txt").read_text()
    check_line(log, "seed: 0 in rank 0, 1 in rank 1; ", "in a run folder that all machines share")
    assert not (tmp_path / "run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize("case", MOMENTS)
def test_processes_of_torchrun_end_together(tiny_store: Path, tmp_path: Path, case: str) -> None:
    """Includes a process killed after the fit, during the test of `reproduce`, or at its very end."""
    target, number = MOMENTS[case]
    words = ["reproduce", "-c", "imagenette", *fit_in_seconds(tiny_store), "trainer.max_epochs=1"]
    words += [f"distributed.timeout={TIMEOUT}"]
    first, second = start_ranks([*words, "hydra.run.dir=run"], tmp_path, partial(signal_in, target, number))
    marker = tmp_path / "signaled"
    wait_for(lambda: marker.is_file() or first.exitcode is not None, START)
    seconds = wait_for(lambda: first.exitcode is not None and second.exitcode is not None, 3 * BOUND)
    codes = end_all([first, second])
    log = (tmp_path / "rank0.txt").read_text()
    assert codes == [1, -signal.SIGKILL], log  # a hanging process is killed by the other
    hangs = number == signal.SIGSTOP
    assert seconds < BOUND + TIMEOUT * hangs, log
    cause = "another rank did not answer within distributed.timeout" if hangs else "stopped, since rank 1 (process "
    command = "test run" if "test" in case or "work" in case else "fit run"
    started = "no checkpoint was written yet: start it again" if "step" in case else f"alexnet_pl {command}"
    check_line(log, f"rank 0 of 2: {cause}", started)
    keep(f"under torchrun one is {case}" if "killed" in case else f"under torchrun one {case}", seconds)
