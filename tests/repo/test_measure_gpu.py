"""scripts/measure_gpu.sh, with a program in place of Python: its archive, bad arguments, and an early end."""

import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/measure_gpu.sh"
PROGRAM = """#!/usr/bin/env bash
[ "$1" = -c ] && exit 0
trap 'echo terminated >>results/log; sleep 1; echo "last words"; exit 5' TERM
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
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=log, start_new_session=True)


def wait_until_printed(path: Path, text: str) -> None:
    for _ in range(600):
        if path.is_file() and text in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path}: {text} was not printed")


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
    assert start(tmp_path, "1", HOME="").wait(60) == 0
    assert (tmp_path / "folders").read_text() == expected
    assert not Path("/nowhere").exists()


def signal_script(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)


def signal_group(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.parametrize("send", [signal_script, signal_group])
def test_signal_ends_the_measurement_and_packs_its_results(
    send: Callable[[subprocess.Popen], None], tmp_path: Path
) -> None:
    """A service manager or a terminal signals the whole group: also tee, and the loop that packs."""
    process = start(tmp_path, "1", seconds=50)
    wait_until_printed(tmp_path / "results/console.log", "hangs")
    send(process)
    assert process.wait(30) == 5
    assert read_log(tmp_path).endswith("terminated\n")
    console = read_log(tmp_path, "console.log")
    assert console.startswith("Thread 0x1 hangs\n"), "where a slice hung"
    assert console.endswith("last words\n")
    assert not list(tmp_path.glob("*.partial-*"))


@pytest.mark.parametrize("minutes", ["7.5x", "-1", "data.root=x"])
def test_minutes_are_a_number(tmp_path: Path, minutes: str) -> None:
    assert start(tmp_path, minutes).wait(30) == 2
    assert f"{minutes}: a number of minutes" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "results").exists()
