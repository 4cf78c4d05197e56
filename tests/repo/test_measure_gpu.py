"""scripts/measure_gpu.sh, with a program in place of Python: its archive, bad arguments, and an early end."""

import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/measure_gpu.sh"
PROGRAM = """#!/usr/bin/env bash
[ "$1" = -c ] && exit 0
trap 'echo terminated >>results/log; exit 5' TERM
echo "$*" >results/log
for _ in $(seq "${SECONDS_TO_RUN}0"); do sleep 0.1; done
"""


def start(folder: Path, *arguments: str, seconds: int = 0) -> subprocess.Popen:
    (folder / "python").write_text(PROGRAM)
    (folder / "python").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": f"{folder}/python", "SECONDS_TO_RUN": str(seconds)}
    command = ["bash", str(SCRIPT), "results", *arguments]
    with (folder / "stderr").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=log)


def read_log(folder: Path) -> str:
    with tarfile.open(folder / "results.tgz") as archive:
        member = archive.extractfile("results/log")
        assert member
        return member.read().decode()


def test_results_are_packed_at_the_end(tmp_path: Path) -> None:
    assert start(tmp_path, "7.5", "data.root=x").wait(60) == 0
    assert read_log(tmp_path) == "-m alexnet_pl bench gpu bench.output=results bench.minutes=7.5 data.root=x\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["python", "results", "results.tgz", "stderr"]


def test_signal_ends_the_measurement_and_packs_its_results(tmp_path: Path) -> None:
    process = start(tmp_path, "1", seconds=50)
    for _ in range(600):
        if (tmp_path / "results/log").is_file():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    assert read_log(tmp_path).endswith("terminated\n")


@pytest.mark.parametrize("minutes", ["7.5x", "-1", "data.root=x"])
def test_minutes_are_a_number(tmp_path: Path, minutes: str) -> None:
    assert start(tmp_path, minutes).wait(30) == 2
    assert f"{minutes}: a number of minutes" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "results").exists()
