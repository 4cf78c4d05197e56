"""Signals in a sweep with joblib, which kills its worker processes when the command or one of their jobs raises.

The command holds a lock. At its first signal it releases the lock and waits. In each worker a thread waits for the lock
and then sends SIGUSR1 to its own process, whose fit saves its checkpoint. The workers ignore signals that a terminal
sends to them as well. A lock also reaches workers that joblib starts later, and jobs of a command that was killed.
"""

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from tempfile import NamedTemporaryFile
from typing import IO

from alexnet_pl.cli import signals
from alexnet_pl.errors import StoppedTogether

LOCK = "ALEXNET_PL_SWEEP_LOCK"  # variable of the environment: path of the lock


@cache
def hold_lock() -> IO[bytes]:
    """Lock a temporary file until the first signal; it is kept until this process ends. Raises OSError if there is no
    folder for it, or one without locks."""
    file = NamedTemporaryFile(prefix="alexnet_pl-")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    os.environ[LOCK] = file.name
    return file


def handle_signals() -> None:
    """Let the first signal end the jobs of a sweep instead of the command, if they run in workers of joblib."""
    try:
        hold_lock()
    except OSError:
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, stop_jobs_first)


def stop_jobs_first(number: int, frame: object) -> None:
    launches = "hydra_plugins.hydra_joblib_launcher._core" in sys.modules  # imported when it starts jobs
    if signals.received or not launches:
        signals.exit_on_signal(number, frame)
    signals.received.append(number)
    fcntl.flock(hold_lock(), fcntl.LOCK_UN)


def run_in_worker(job: Callable[[], float | None]) -> float | None:
    """Run a job in this worker, which ends at its begin if a signal was received. Returns None if it was stopped:
    joblib would kill the other jobs at an exception."""
    set_up_worker()
    try:
        signal.signal(signal.SIGUSR1, signals.exit_on_signal)
        return job()
    except SystemExit as end:  # the code is that of a command which the job started and stopped, as a pre-training
        if signals.received or isinstance(end, StoppedTogether) or end.code == 128 + signal.SIGUSR1:
            return None
        raise
    finally:
        signal.signal(signal.SIGUSR1, note_signal)


@cache
def set_up_worker() -> None:
    """Ignore signals of the terminal and wait for the lock. Done once in each process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, note_signal)  # before the thread, whose signal would end the worker
    sys.unraisablehook = signals.repeat_signal
    multiprocessing.set_start_method(None, force=True)  # joblib's own is unknown in processes that a job starts
    if not (path := os.environ.get(LOCK)):
        return
    if is_free(path):  # this worker starts after the signal
        signals.received.append(signal.SIGUSR1)
    else:
        threading.Thread(target=signal_when_free, args=(path,), daemon=True, name=LOCK).start()


def is_free(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def note_signal(number: int, frame: object) -> None:
    signals.received.append(number)


def signal_when_free(path: str) -> None:
    with suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.kill(os.getpid(), signal.SIGUSR1)
