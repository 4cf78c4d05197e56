"""End every process of a job within seconds when one of them has ended, each with one line that names the cause.

A collective operation waits for a process that is no more, and a child of a killed process goes on alone. A thread in
each process looks after the others on its machine, from the start of the processes to the end of the command; other
machines are torchrun's or srun's matter, and a process that hangs is found by `distributed.timeout`.
"""

import contextlib
import os
import platform
import shutil
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import torch.distributed as dist

from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import LAST
from alexnet_pl.training.strategies import failures
from alexnet_pl.training.strategies.failures import FAILURES

INTERVAL = 0.5  # seconds between two looks
REASON = 3.0  # seconds in which a process that failed writes its reason
LINE = 2.0  # seconds in which the others print theirs
TEARDOWN = 10.0  # seconds for a process that failed to close its loggers
FINISH = timedelta(minutes=30)  # in which the first process writes the results that it alone writes


class PeerWatch:
    """Looks after the other processes of a job. `command`: what a user types to continue, without the run folder."""

    current: "PeerWatch | None" = None  # this process's

    def __init__(self, run: Path, command: str) -> None:
        self.run, self.command = run, command
        self.rank, self.world = 0, 1
        self.children: dict[int, Popen] = {}  # by rank, those that this process started
        self.parent: int | None = None  # the process that started this one, if it is of the job
        self.pids: dict[int, int] = {}  # by rank, the other processes on this machine
        self.group: dist.ProcessGroup | None = None  # of all processes, without the timeout of a step
        self.began = time.time()
        self.looking = False
        self.ended = threading.Event()
        self.handled: BaseException | None = None
        self.said, self.lock = False, threading.Lock()

    def start(self, children: dict[int, Popen] | None = None, parent: int | None = None) -> None:
        self.children, self.parent = children or {}, parent
        if not self.looking:
            self.looking = True
            threading.Thread(target=self.look, daemon=True, name="peers").start()

    def meet(self) -> None:
        """Learn the other processes on this machine, once all can be asked."""
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.rank == 0:
            shutil.rmtree(self.run / FAILURES, ignore_errors=True)  # of an earlier start
        self.group = dist.new_group(backend="gloo", timeout=FINISH)  # type: ignore[assignment]
        everyone: list = [None] * self.world
        dist.all_gather_object(everyone, (machine(), os.getpid(), str(self.run)), group=self.group)
        self.run = Path(everyone[0][2])  # under torchrun each process has named a folder by its own clock
        here = {rank: pid for rank, (where, pid, _) in enumerate(everyone) if where == machine()}
        self.pids = {rank: pid for rank, pid in here.items() if rank != self.rank}

    def leave(self) -> None:
        """Wait for the others, of whom the first may still write; from then on they may end.

        Raises SystemExit(1) if another has failed.
        """
        if self.ended.is_set() or self.group is None:
            return self.stop()
        try:
            dist.barrier(group=self.group)
            self.stop()
        except Exception as error:
            self.fail(error)
            raise SystemExit(1) from None

    def stop(self) -> None:
        self.ended.set()

    def look(self) -> None:
        while not self.ended.wait(INTERVAL):
            if gone := self.find_gone():
                with contextlib.suppress(Exception):
                    self.print_line(self.cause_of(gone))
                self.end_all(1)

    def find_gone(self) -> str | None:
        """The first process that has ended before its time, in words."""
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
        """Note and print why this process fails; whatever its teardown does, it ends soon."""
        if self.handled or self.ended.is_set():
            return
        self.handled = error
        self.stop()
        if not isinstance(error, Exception) or self.world == 1:
            return  # a signal, which all have agreed on, or nobody to tell
        if failures.is_lost_connection(error):
            self.print_line(self.cause_of(self.find_gone()) if self.others_failed() else failures.unanswered(error))
        else:
            failures.write_failure(self.run, self.rank, error)
            if not isinstance(error, UserError):  # which the command line prints
                self.print_line(failures.summary(error))
        error.reported = True  # type: ignore[attr-defined]
        code = 2 if isinstance(error, UserError) else 1
        threading.Thread(target=self.end_later, args=[code]).start()  # the interpreter waits for it

    def others_failed(self) -> bool:
        """Whether another process has ended or said why it fails, after some time to do so."""
        until = time.monotonic() + REASON
        while time.monotonic() < until:
            if self.find_gone() or self.first_failure():
                return True
            time.sleep(INTERVAL / 5)
        return False

    def cause_of(self, gone: str | None) -> str:
        until = time.monotonic() + REASON
        while not (first := self.first_failure()) and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        return f"stopped, since {first or gone}"

    def first_failure(self) -> str | None:
        return failures.first_failure(self.run, self.began)

    def print_line(self, cause: str) -> None:
        """Print why this process ends, once: the thread and the command may find out in the same second."""
        with self.lock:
            said, self.said = self.said, True
        if said:
            return
        if (self.run / LAST).is_file():
            lies = os.path.relpath(self.run)
            advice = f"continue with: {self.command} {self.run if lies.startswith('..') else lies}"
        else:
            advice = "no checkpoint was written yet: start it again"
        print(f"alexnet_pl: rank {self.rank} of {self.world}: {cause}; {advice}", file=sys.stderr, flush=True)

    def end_later(self, code: int) -> None:
        """Once this process is done with its teardown, or has had its time for it."""
        until = time.monotonic() + TEARDOWN
        while threading.main_thread().is_alive() and time.monotonic() < until:
            time.sleep(INTERVAL / 5)
        self.end_all(code)

    def end_all(self, code: int) -> None:
        """End this process, and after some time for their own lines those of its machine that are left."""
        time.sleep(LINE)
        if sys.stdout.isatty():
            print("\x1b[?25h", end="", flush=True)  # the cursor, which the progress bar hides
        for pid in {*self.pids.values(), *(child.pid for child in self.children.values() if child.poll() is None)}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(code)


def join(run: Path, command: str) -> PeerWatch:
    """The watch of this process, with which the second stage of a command goes on."""
    watch = PeerWatch.current
    if watch is None or watch.ended.is_set():
        watch = PeerWatch.current = PeerWatch(run, command)
    watch.command = command
    return watch


def leave() -> None:
    if PeerWatch.current:
        PeerWatch.current.leave()


def fail(error: BaseException) -> None:
    if PeerWatch.current:
        PeerWatch.current.fail(error)


def is_reported(error: BaseException) -> bool:
    """Whether `PeerWatch.fail` has printed this error."""
    return getattr(error, "reported", False)


def machine() -> str:
    """The name of this machine and, in a container, of its table of processes."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
