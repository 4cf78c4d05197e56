"""Lock of a run folder: one writing process at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.locks import exclusive_lock, run_lock

HOLD = "import sys, time\nfrom pathlib import Path\nfrom alexnet_pl.locks import exclusive_lock, run_lock\n"
HOLD += "with run_lock(Path(sys.argv[1]), 'fit'):\n    print('held', flush=True)\n    time.sleep(60)\n"


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def test_second_process_is_refused_until_the_first_ends_or_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    with holder:
        assert holder.stdout.readline() == "held\n"
        said = rf"^{tmp_path}: another process runs `fit`.* remove \.fit\.lock there$"
        with pytest.raises(UserError, match=said), run_lock(tmp_path, "fit"):
            pytest.fail("the lock was given twice")
        with run_lock(tmp_path, "test"):
            pass  # another command may run at the same time
        os.kill(holder.pid, signal.SIGKILL)
    with run_lock(tmp_path, "fit"):
        assert [path.name for path in tmp_path.iterdir()] == [".fit.lock"]
    assert list(tmp_path.iterdir()) == []


def test_lock_is_released_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), run_lock(tmp_path, "fit"):
        raise RuntimeError
    with run_lock(tmp_path, "fit"):
        pass


def test_other_ranks_need_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_lock(tmp_path, "fit"):
        monkeypatch.setenv("RANK", "1")
        with run_lock(tmp_path, "fit"):
            pass
        assert (tmp_path / ".fit.lock").is_file()
        monkeypatch.delenv("RANK")


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".fit.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=r"fit\.lock: a link"), run_lock(tmp_path, "fit"):
        pass
    with pytest.raises(UserError, match=r"fit\.lock: a link"), exclusive_lock(tmp_path / ".fit.lock"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_link_to_a_missing_file_does_not_create_it(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "made")
    with pytest.raises(UserError, match=r"\.lock: a link"), exclusive_lock(tmp_path / ".lock"):
        pass
    assert not (tmp_path / "made").exists()
