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
echo "$TORCHINDUCTOR_CACHE_DIR" "$TRITON_CACHE_DIR" "${MPLCONFIGDIR:-}" >folders
echo "Thread 0x1 hangs" >&2
for _ in $(seq "${SECONDS_TO_RUN}0"); do sleep 0.1; done
"""


def start(folder: Path, *arguments: str, seconds: int = 0, **variables: str) -> subprocess.Popen:
    (folder / "python").write_text(PROGRAM)
    (folder / "python").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": f"{folder}/python", "SECONDS_TO_RUN": str(seconds)}
    environment |= {"HOME": str(folder / "home")} | variables
    command = ["bash", str(SCRIPT), "results", *arguments]
    with (folder / "stderr").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=log)


def read_log(folder: Path, name: str = "log") -> str:
    with tarfile.open(folder / "results.tgz") as archive:
        member = archive.extractfile(f"results/{name}")
        assert member
        return member.read().decode()


def test_results_are_packed_at_the_end(tmp_path: Path) -> None:
    assert start(tmp_path, "7.5", "data.root=x").wait(60) == 0
    assert read_log(tmp_path) == "-m alexnet_pl bench gpu bench.output=results bench.minutes=7.5 data.root=x\n"
    names = ["folders", "home", "python", "results", "results.tgz", "stderr"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_compiled_kernels_are_kept_where_a_folder_can_be_made(tmp_path: Path) -> None:
    """A file in place of the home folder stands for a read-only one, which root could write to."""
    (tmp_path / "file").touch()
    home, kernels = tmp_path / "home", ".cache/torchinductor"
    assert start(tmp_path, "1").wait(60) == 0
    assert (tmp_path / "folders").read_text() == f"{home}/{kernels} {home}/{kernels}/triton \n"
    assert start(tmp_path, "1", HOME=str(tmp_path / "file")).wait(60) == 0
    other = f"/tmp/cache-{os.getuid()}"
    expected = f"{other}/torchinductor {other}/torchinductor/triton {other}/matplotlib\n"
    assert (tmp_path / "folders").read_text() == expected


def test_signal_ends_the_measurement_and_packs_its_results(tmp_path: Path) -> None:
    process = start(tmp_path, "1", seconds=50)
    for _ in range(600):
        if (tmp_path / "results/log").is_file():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    assert read_log(tmp_path).endswith("terminated\n")
    assert read_log(tmp_path, "console.log").startswith("Thread 0x1 hangs\n"), "where a slice hung"


@pytest.mark.parametrize("minutes", ["7.5x", "-1", "data.root=x"])
def test_minutes_are_a_number(tmp_path: Path, minutes: str) -> None:
    assert start(tmp_path, minutes).wait(30) == 2
    assert f"{minutes}: a number of minutes" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "results").exists()
