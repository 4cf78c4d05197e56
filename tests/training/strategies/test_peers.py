"""Messages about peer processes that have ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
from processes import fork_processes, free_port

from alexnet_pl.errors import UserError
from alexnet_pl.training.strategies import peers
from alexnet_pl.training.strategies.failures import is_lost_connection
from alexnet_pl.training.strategies.peers import PeerWatch, is_reported


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerWatch:
    monkeypatch.setattr(PeerWatch, "end_later", lambda self, code: None)  # would end the test process
    monkeypatch.setattr(peers, "REASON", 0.2)
    made = PeerWatch(tmp_path, "python -m alexnet_pl fit")
    made.rank, made.world = 1, 3
    return made


def ended(code: str) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", code])
    child.wait(60)
    return child


def test_ended_child_is_named_with_its_exit_status(watch: PeerWatch) -> None:
    failed, killed = ended("raise SystemExit(3)"), ended("import os; os.kill(os.getpid(), 9)")
    watch.children = {2: failed}
    assert watch.find_ended() == f"rank 2 (process {failed.pid}) ended with exit code 3"
    watch.children = {2: killed}
    assert watch.find_ended() == f"rank 2 (process {killed.pid}) was killed by SIGKILL"
    watch.children = {2: ended("")}
    watch.pids = {0: os.getppid(), 2: watch.children[2].pid}
    assert watch.find_ended() is None  # this child has finished successfully


def test_ended_sibling_and_parent_are_noticed(watch: PeerWatch) -> None:
    gone = ended("").pid
    watch.pids = {0: os.getppid(), 2: gone}
    assert watch.find_ended() == f"rank 2 (process {gone}) has ended"
    watch.pids, watch.parent = {}, os.getppid()
    assert watch.find_ended() is None
    watch.parent = gone
    assert watch.find_ended() == f"rank 0 (process {gone}) has ended"


def test_first_failure_is_printed_and_its_traceback_saved(
    watch: PeerWatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError("no such kernel\nmore")
    watch.fail(error)
    assert is_reported(error)
    path = tmp_path / "failures/rank1.txt"
    assert path.read_text().startswith("ValueError: no such kernel\n\nValueError: no such kernel\nmore")
    lost = PeerWatch(tmp_path, "python -m alexnet_pl fit")
    lost.rank, lost.world = 2, 3
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    lost.fail(RuntimeError("[gloo] Connection closed by peer"))
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "alexnet_pl: rank 1 of 3: ValueError: no such kernel; no checkpoint was written yet: start it again"
    )
    assert second == (
        "alexnet_pl: rank 2 of 3: stopped, since rank 1: ValueError: no such kernel; "
        f"continue with: python -m alexnet_pl fit {tmp_path}"
    )


def test_cause_is_printed_once(watch: PeerWatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The watching thread and the command, whose peers no longer answer, may find out in the same second."""
    watch.pids = {0: ended("").pid}
    watch.print_line(watch.cause_of(watch.find_ended()))
    watch.fail(RuntimeError("[gloo] Connection closed by peer"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"alexnet_pl: rank 1 of 3: stopped, since rank 0 (process {watch.pids[0]}) has ended; ")


def test_second_stage_reuses_the_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeerWatch, "current", None)
    first = peers.join(tmp_path, "python -m alexnet_pl fit")
    assert peers.join(tmp_path, "python -m alexnet_pl test") is first
    assert first.command == "python -m alexnet_pl test"
    peers.leave()
    assert first.ended.is_set()
    assert peers.join(tmp_path, "python -m alexnet_pl fit") is not first


def test_no_ended_peer_means_a_timeout(watch: PeerWatch, capsys: pytest.CaptureFixture[str]) -> None:
    watch.fail(RuntimeError("Timed out waiting 5000ms for recv operation to complete"))
    assert "another rank did not answer within distributed.timeout" in capsys.readouterr().err


def test_user_errors_are_left_to_the_command_line(watch: PeerWatch, capsys: pytest.CaptureFixture[str]) -> None:
    watch.fail(UserError("checkpoints/last.ckpt: not written (No space left on device)"))
    assert not capsys.readouterr().err
    assert watch.first_failure() == "rank 1: checkpoints/last.ckpt: not written (No space left on device)"


def test_failure_with_bytes_that_are_no_text_is_reported(watch: PeerWatch, tmp_path: Path) -> None:
    """Names of files from other systems have such bytes, which Python decodes as surrogates."""
    watch.fail(ValueError("caf\udce9.jpg: not an image"))
    assert watch.first_failure() == "rank 1: ValueError: caf\\udce9.jpg: not an image"
    (tmp_path / "failures/rank1.txt").write_bytes(b"caf\xe9.jpg: not an image\n")  # as a process in another locale
    assert watch.first_failure() == "rank 1: caf\ufffd.jpg: not an image"


def test_signals_and_single_processes_are_not_failures(watch: PeerWatch, tmp_path: Path) -> None:
    watch.fail(SystemExit(143))
    assert watch.ended.is_set()
    alone = PeerWatch(tmp_path, "")
    alone.fail(ValueError("as ever"))
    assert not (tmp_path / "failures").exists()


@pytest.mark.parametrize("error", [ValueError("gloo"), RuntimeError("size mismatch"), KeyError("timed out")])
def test_own_errors_are_not_a_lost_connection(error: Exception) -> None:
    assert not is_lost_connection(error)


def end_between_stages(rank: int, port: int, folder: Path) -> None:
    """The second process ends after the first stage. Each has a machine of its own, on which none is looked for."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    peers.machine = lambda: f"machine{rank}"  # type: ignore[attr-defined]
    watch = PeerWatch(folder, "python -m alexnet_pl test")
    watch.exchange_ids()
    assert not watch.pids
    if rank == 0:
        signal.alarm(60)  # it would wait for a day
        with pytest.raises(RuntimeError):
            watch.exchange_ids()
        (folder / "noticed").touch()
    os._exit(0)


def test_end_of_another_machine_between_two_stages_is_noticed(tmp_path: Path) -> None:
    fork_processes(end_between_stages, (free_port(), tmp_path), 2)
    assert (tmp_path / "noticed").is_file()
