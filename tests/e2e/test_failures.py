"""A process that is killed or hangs ends the whole job in bounded time: no orphan, one line each, no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ONE_THREAD

pytestmark = pytest.mark.slow
BOUND = 30  # seconds from the failure to the end of the last process
TIMEOUT = 15  # seconds in which a process that hangs must answer
START = 400  # seconds for two processes to start on a busy machine


def start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Two processes, of which the one returned has started the other, once both train."""
    command = [sys.executable, "-m", "alexnet_pl", "fit", "-c", "imagenette", *words, "hydra.run.dir=run"]
    with (folder / "log.txt").open("w") as log:
        started = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **ONE_THREAD}, stdout=log, stderr=log, text=True
        )
    wait(lambda: (folder / "run/checkpoints/last.ckpt").is_file() or started.poll() is not None, START)
    assert started.poll() is None, (folder / "log.txt").read_text()
    return started


def wait(condition, seconds: float) -> float:
    """Seconds until `condition()` holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return time.monotonic() - began


def child_of(parent: int) -> int:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (child,) = [int(pid) for pid in found if b"alexnet_pl" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return child


def runs(pid: int) -> bool:
    """Not a process that has ended and waits for its parent to ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc for the processes of a job")
@pytest.mark.parametrize(
    ("whom", "how", "said"),
    [
        (1, signal.SIGKILL, "rank 0 of 2: stopped, since rank 1 (process {child}) was killed by SIGKILL"),
        (0, signal.SIGKILL, "rank 1 of 2: stopped, since rank 0 (process {parent}) has ended"),
        (1, signal.SIGSTOP, "rank 0 of 2: another rank did not answer within distributed.timeout"),
    ],
    ids=["a child is killed", "the first is killed", "a child hangs"],
)
def test_the_others_end_soon_and_say_why(
    tiny: list[str], tmp_path: Path, whom: int, how: signal.Signals, said: str
) -> None:
    words = [
        *tiny,
        "trainer.devices=2",
        "trainer.max_epochs=1000",
        "trainer.accelerator=cpu",
        f"distributed.timeout={TIMEOUT}",
    ]
    words += ["trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "trainer.precision=32-true"]
    started = start(words, tmp_path)
    processes = {"parent": started.pid, "child": child_of(started.pid)}
    try:
        os.kill(processes["child" if whom else "parent"], how)
        seconds = wait(lambda: started.poll() is not None and not runs(processes["child"]), 3 * BOUND)
    finally:
        for pid in processes.values():
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
    log = (tmp_path / "log.txt").read_text()
    assert seconds < BOUND + (TIMEOUT if how == signal.SIGSTOP else 0), log
    (line,) = [line for line in log.splitlines() if line.startswith("alexnet_pl: ")]
    assert line.startswith(f"alexnet_pl: {said.format(**processes)}")
    assert line.endswith("; continue with: python -m alexnet_pl fit run")
    assert "Traceback" not in log
    print(f"{seconds:.1f} s")
