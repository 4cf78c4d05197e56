"""Signals in a sweep with joblib; tests/commands/test_sweeps.py runs one with joblib itself."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from processes import wait_for

from alexnet_pl.cli import joblib_jobs, signals
from alexnet_pl.errors import StoppedTogether

LAUNCHER = "hydra_plugins.hydra_joblib_launcher._core"
TRY = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH | fcntl.LOCK_NB)"


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore what a command changes once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before, method = {number: signal.getsignal(number) for number in numbers}, multiprocessing.get_start_method(True)
    monkeypatch.setattr(signals, "received", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setenv(joblib_jobs.LOCK, "")
    joblib_jobs.hold_lock.cache_clear()
    joblib_jobs.set_up_worker.cache_clear()
    yield
    joblib_jobs.hold_lock.cache_clear()  # which closes the file, so that a waiting thread sends its signal
    for thread in [one for one in threading.enumerate() if one.name == joblib_jobs.LOCK]:
        thread.join(20)
    joblib_jobs.set_up_worker.cache_clear()
    multiprocessing.set_start_method(method, force=True)
    for number, handler in before.items():
        signal.signal(number, handler)


def is_free() -> bool:
    return not subprocess.run([sys.executable, "-c", TRY, os.environ[joblib_jobs.LOCK]], capture_output=True).returncode


def test_first_signal_releases_the_lock_and_a_second_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    joblib_jobs.handle_signals()
    monkeypatch.setitem(sys.modules, LAUNCHER, sys)
    assert not is_free()
    os.kill(os.getpid(), signal.SIGTERM)
    assert is_free()
    with pytest.raises(SystemExit) as end:
        os.kill(os.getpid(), signal.SIGINT)
    assert end.value.code == 130


def test_signal_ends_a_sweep_without_joblib_at_once() -> None:
    joblib_jobs.handle_signals()
    assert LAUNCHER not in sys.modules
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGINT)


def test_job_ends_when_the_lock_is_released_and_later_jobs_do_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """`job` runs until the signal; Ctrl-C does not reach it."""
    joblib_jobs.handle_signals()
    monkeypatch.setitem(sys.modules, LAUNCHER, sys)
    stop_jobs, ended = signal.getsignal(signal.SIGTERM), []

    def job() -> float:
        signals.exit_if_received()
        os.kill(os.getpid(), signal.SIGINT)
        try:
            assert callable(stop_jobs)
            stop_jobs(signal.SIGTERM, None)  # in a sweep, the parent does this
            time.sleep(30)
        finally:
            ended.append(time.monotonic())
        return 1.0

    began = time.monotonic()
    assert joblib_jobs.run_in_worker(job) is None
    assert joblib_jobs.run_in_worker(job) is None
    assert len(ended) == 1
    assert ended[0] - began < 20


def test_signal_between_jobs_leaves_the_worker_alive() -> None:
    joblib_jobs.hold_lock()
    assert joblib_jobs.run_in_worker(lambda: 2.0) == 2.0
    fcntl.flock(joblib_jobs.hold_lock(), fcntl.LOCK_UN)
    wait_for(lambda: signals.received, 20)
    assert signals.received == [signal.SIGUSR1]


def test_worker_that_starts_after_the_signal_begins_no_job() -> None:
    """joblib starts another where a job has used much memory."""
    joblib_jobs.hold_lock()
    fcntl.flock(joblib_jobs.hold_lock(), fcntl.LOCK_UN)
    assert joblib_jobs.run_in_worker(lambda: signals.exit_if_received() or pytest.fail("begun")) is None


@pytest.mark.parametrize("end", [SystemExit(128 + signal.SIGUSR1), StoppedTogether(130)])
def test_stopped_pre_training_and_processes_stop_the_job_alone(end: SystemExit) -> None:
    """joblib would kill the other jobs at an exception."""

    def job() -> float:
        raise end

    joblib_jobs.hold_lock()
    assert joblib_jobs.run_in_worker(job) is None


def test_sweep_without_a_place_for_the_lock_keeps_its_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(joblib_jobs, "NamedTemporaryFile", refuse)
    before = signal.getsignal(signal.SIGTERM)
    joblib_jobs.handle_signals()
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_exits_of_a_job_are_passed_on() -> None:
    """As those of a pre-training that failed."""
    joblib_jobs.hold_lock()
    with pytest.raises(SystemExit) as end:
        joblib_jobs.run_in_worker(lambda: sys.exit(2))
    assert end.value.code == 2
