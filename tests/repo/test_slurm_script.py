"""scripts/slurm.sbatch with simulated srun and scontrol."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt

SCRIPT = Path(__file__).parents[2] / "scripts/slurm.sbatch"


WAIT = "trap 'got=1' USR1; kill -USR1 $PPID; until [ $got ]; do sleep 0.1; done"  # until the script passes it on


@pytest.mark.parametrize(
    ("at_limit", "code", "queued_again"),
    [(False, 0, False), (False, 143, False), (True, 0, False), (True, 138, True), (True, 143, True), (True, 137, True)],
)
def test_job_at_its_time_limit_is_requeued(tmp_path: Path, at_limit: bool, code: int, queued_again: bool) -> None:
    """Whatever the code of srun, which --kill-on-bad-exit changes if the tasks end one after the other."""
    said = 'echo "$@" $SRUN_CPUS_PER_TASK'
    for name, then in (("srun", f"{WAIT if at_limit else ''}\nexit {code}"), ("scontrol", "")):
        (tmp_path / name).write_text(f"#!/bin/bash\n{said} > {tmp_path}/{name}.txt\n{then}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "8"}
    done = subprocess.run(["bash", SCRIPT, "-c", "demo", "data.root=/a b"], env=environment, timeout=60)
    assert done.returncode == code
    called = (tmp_path / "srun.txt").read_text()
    assert called == "--kill-on-bad-exit=1 python -m alexnet_pl reproduce -c demo data.root=/a b 8\n"
    assert (tmp_path / "scontrol.txt").is_file() == queued_again
    if queued_again:
        assert (tmp_path / "scontrol.txt").read_text() == "requeue 4711 8\n"


def test_fit_handles_the_signal_of_the_script() -> None:
    (name,) = re.findall(r"^#SBATCH --signal=B:(\w+)@\d+$", SCRIPT.read_text(), re.MULTILINE)
    assert f"SIG{name}" in [number.name for number in GracefulInterrupt.SIGNALS]
