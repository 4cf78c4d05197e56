"""Run commands in forks of a process that has imported everything: one second each, instead of ten in a new Python."""

import importlib
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SELDOM = tuple(f"alexnet_pl.{name}" for name in ("webapp", "bench.", "reporting.wandb"))  # rarely imported by commands
SECONDS = 300.0  # time limit for every command, also on a busy machine


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code`: exit code, negative for a signal; None if it did not end in time."""

    code: int | None
    text: str
    seconds: float

    @property
    def well(self) -> bool:
        """Whether the exit code is 0, or 2 with one line that starts with "alexnet_pl:", and there is no traceback."""
        told = [line for line in self.text.splitlines() if line.startswith("alexnet_pl: ")]
        clean = "Traceback" not in self.text and "Error executing job" not in self.text
        return clean and (self.code == 0 or (self.code == 2 and len(told) == 1))

    @property
    def last_line(self) -> str:
        return (self.text.strip().splitlines() or [""])[-1]


def preload() -> None:
    """Import the modules that commands import, so that forks do not have to."""
    import torch

    import alexnet_pl

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(alexnet_pl.__path__, "alexnet_pl."):
        if not module.name.endswith(("__main__", "third_party_loaders")) and not module.name.startswith(SELDOM):
            importlib.import_module(module.name)


def start(argv: Sequence[str], output: Path, hook: Callable[[], None] | None = None) -> int:
    """Start a command in its own process group and return its process id. `hook` is called first, in the fork."""
    output.write_text("")  # clears the output of the previous command
    pid = os.fork()
    if pid == 0:
        run_here(argv, output, hook)
    return pid


def run_here(argv: Sequence[str], output: Path, hook: Callable[[], None] | None) -> None:
    from alexnet_pl.cli.main import main

    code = 1
    try:
        os.setsid()
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = ["alexnet_pl", *argv]
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as `python -m alexnet_pl` does while it imports
        if hook:
            hook()
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(pid: int, output: Path, seconds: float = SECONDS) -> Ended:
    """Wait until the command ends; after `seconds`, kill it and all processes that it started."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return Ended(code, output.read_text(errors="replace"), time.monotonic() - began)
        time.sleep(0.005)
    stop(pid)
    os.waitpid(pid, 0)
    return Ended(None, output.read_text(errors="replace"), seconds)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a command and all processes that it started, as a terminal or batch system does."""
    os.killpg(pid, number)


def stop(pid: int) -> None:
    """Send SIGKILL to a command and all processes that it started."""
    with suppress(ProcessLookupError):
        signal_group(pid, signal.SIGKILL)


def run(argv: Sequence[str], output: Path, hook: Callable[[], None] | None = None, seconds: float = SECONDS) -> Ended:
    return wait(start(argv, output, hook), output, seconds)
