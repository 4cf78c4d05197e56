"""When one process of a job ends, end all others within seconds, each with a one-line message that names the cause.

Otherwise collective operations would wait for the missing process, and children of a killed process would continue
alone. A thread in each process monitors the others on its machine until the command ends. torchrun or srun handle other
machines; `distributed.timeout` detects a process that hangs.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import torch.distributed as dist

from alexnet_pl.console import shorten_path
from alexnet_pl.errors import StoppedTogether, UserError
from alexnet_pl.locks import is_running, machine
from alexnet_pl.runs.layout import LAST
from alexnet_pl.training.strategies import failures
from alexnet_pl.training.strategies.failures import FAILURES

INTERVAL = 0.5  # seconds between checks
REASON = 3.0  # seconds for a failing process to write its reason
LINE = 2.0  # seconds for the other processes to print their line
TEARDOWN = 10.0  # seconds for a failing process to close its loggers
START = timedelta(minutes=30)  # limit for processes to find each other; a process that ends earlier is noticed at once
ALONE = timedelta(days=1)  # for what only the first process reads or writes; if it ends, all end at once


class PeerWatch:
    """Monitors the other processes of a job. `command`: command that resumes the run, without the run folder."""

    current: "PeerWatch | None" = None  # the watch of this process

    def __init__(self, run: Path, command: str) -> None:
        self.run, self.command = run, command
        self.rank, self.world = 0, 1
        self.children: dict[int, Popen] = {}  # rank → process started by this one
        self.parent: int | None = None  # id of the process that started this one, if it belongs to the job
        self.pids: dict[int, int] = {}  # rank → id of another process on this machine
        self.group: dist.ProcessGroup | None = None  # all processes, without the timeout of a step
        self.start_time = time.time()
        self.looking = False
        self.ended = threading.Event()
        self.handled: BaseException | None = None
        self.has_printed, self.lock = False, threading.Lock()

    def start(self, children: dict[int, Popen] | None = None, parent: int | None = None) -> None:
        self.children, self.parent = children or {}, parent
        if not self.looking:
            self.looking = True
            threading.Thread(target=self.monitor_peers, daemon=True, name="peers").start()

    def exchange_ids(self) -> None:
        """Exchange ids with the other processes, once all of them have started.

        The second stage of a command uses the group of the first: its connections tell at once if a process on another
        machine has ended meanwhile, for which a new group would wait.
        """
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.rank == 0:
            shutil.rmtree(self.run / FAILURES, ignore_errors=True)  # files of an earlier start
        self.group = self.group or make_patient_group()
        everyone: list = [None] * self.world
        dist.all_gather_object(everyone, (machine(), os.getpid(), str(self.run)), group=self.group)
        self.run = Path(everyone[0][2])  # under torchrun, each process names the folder by its own clock
        here = {rank: pid for rank, (where, pid, _) in enumerate(everyone) if where == machine()}
        self.pids = {rank: pid for rank, pid in here.items() if rank != self.rank}

    def leave(self) -> None:
        """Wait for the other processes, since the first may still be writing; afterwards they may end.

        Raises SystemExit(1) if another process has failed.
        """
        if self.ended.is_set() or self.group is None:
            return self.stop()
        try:
            dist.barrier(group=self.group)
            self.stop()
        except Exception as error:
            self.fail(error)
            raise SystemExit(1) from None

    def wait_for_first(self) -> None:
        """Wait for the first process, for hours if it has that much to read alone."""
        if self.group is not None:
            dist.barrier(group=self.group)

    def stop(self) -> None:
        self.ended.set()

    def monitor_peers(self) -> None:
        while not self.ended.wait(INTERVAL):
            if ended := self.find_ended():
                with contextlib.suppress(Exception):
                    self.print_line(self.cause_of(ended))
                self.end_all(1)

    def find_ended(self) -> str | None:
        """Description of the first process found that has ended too early; None if all are running."""
        for rank, child in self.children.items():
            if code := child.poll():
                return f"rank {rank} (process {child.pid}) {failures.describe_exit(code)}"
        if self.parent is not None and os.getppid() != self.parent:
            return f"rank 0 (process {self.parent}) has ended"
        for rank, pid in self.pids.items():
            child = self.children.get(rank)
            if not (child and child.returncode == 0) and not is_running(pid):
                return f"rank {rank} (process {pid}) has ended"
        return None

    def fail(self, error: BaseException) -> None:
        """Record and print why this process fails, and end it soon, even if its teardown hangs."""
        if self.handled or self.ended.is_set() or isinstance(error, StoppedTogether):  # then `leave` waits for all
            return
        self.handled = error
        self.stop()
        if not isinstance(error, Exception) or self.world == 1:
            return  # for a signal, which all processes handle together, or without other processes
        if failures.is_lost_connection(error):
            self.print_line(self.cause_of(self.find_ended()) if self.others_failed() else failures.unanswered(error))
        else:
            failures.write_failure(self.run, self.rank, error)
            if not isinstance(error, UserError):  # the command line prints a UserError
                self.print_line(failures.summary(error))
        error.reported = True  # type: ignore[attr-defined]
        code = 2 if isinstance(error, UserError) else 1
        threading.Thread(target=self.end_later, args=[code]).start()  # the interpreter waits for this thread

    def others_failed(self) -> bool:
        """Wait up to `REASON` seconds; whether another process has ended or reported a failure by then."""
        until = time.monotonic() + REASON
        while time.monotonic() < until:
            if self.find_ended() or self.first_failure():
                return True
            time.sleep(INTERVAL / 5)
        return False

    def cause_of(self, ended: str | None) -> str:
        until = time.monotonic() + REASON
        while not (first := self.first_failure()) and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        return f"stopped, since {first or ended}"

    def first_failure(self) -> str | None:
        return failures.first_failure(self.run, self.start_time)

    def print_line(self, cause: str) -> None:
        """Print once why this process ends; both the thread and the command may call this in the same second."""
        with self.lock:
            has_printed, self.has_printed = self.has_printed, True
        if has_printed:
            return
        if (self.run / LAST).is_file():
            advice = f"continue with: {self.command} {shorten_path(self.run)}"
        else:
            advice = "no checkpoint was written yet: start it again"
        print(f"alexnet_pl: rank {self.rank} of {self.world}: {cause}; {advice}", file=sys.stderr, flush=True)

    def end_later(self, code: int) -> None:
        """End all processes when this one has finished its teardown, or after `TEARDOWN` seconds."""
        until = time.monotonic() + TEARDOWN
        while threading.main_thread().is_alive() and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        self.end_all(code)

    def end_all(self, code: int) -> None:
        """End this process and, after `LINE` seconds for their own messages, the others that remain on this machine."""
        time.sleep(LINE)
        if sys.stdout.isatty():
            print("\x1b[?25h", end="", flush=True)  # shows the cursor that the progress bar has hidden
        for pid in {*self.pids.values(), *(child.pid for child in self.children.values() if child.poll() is None)}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(code)


def make_patient_group() -> dist.ProcessGroup:
    """All processes, which find each other as soon as the main group, and may then wait for hours."""
    group: Any = dist.new_group(backend="gloo", timeout=START)
    set_timeout(ALONE, group)
    return group


def set_timeout(limit: timedelta, group: dist.ProcessGroup | None = None) -> None:
    """Set the time that processes wait for each other in `group`; None: the main one."""
    change = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout  # older PyTorch
    change(limit, group)


def join(run: Path, command: str) -> PeerWatch:
    """Watch of this process; the second stage of a command uses that of the first."""
    watch = PeerWatch.current
    if watch is None or watch.ended.is_set():
        watch = PeerWatch.current = PeerWatch(run, command)
    watch.command = command
    return watch


def leave() -> None:
    if PeerWatch.current:
        PeerWatch.current.leave()


def wait_for_first() -> None:
    if PeerWatch.current:
        PeerWatch.current.wait_for_first()


def fail(error: BaseException) -> None:
    if PeerWatch.current:
        PeerWatch.current.fail(error)


def is_reported(error: BaseException) -> bool:
    """Whether `PeerWatch.fail` has already printed this error."""
    return getattr(error, "reported", False)
