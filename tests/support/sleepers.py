"""Candidates for tests of `bench`, in a module that a new process imports quickly."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def slow_and_quick(name: str) -> Callable[[], None]:
    return lambda: time.sleep(0.05 if name == "slow" else 0.0)


def failing(name: str) -> Callable[[], None]:
    raise SystemExit(3)


def second_raises(name: str, *args: object) -> Callable[[], None]:
    if name == "second":
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
    return lambda: None


def hanging(name: str) -> Callable[[], None]:
    time.sleep(600)
    return lambda: None


def process_id(cfg: object, folder: Path) -> dict[str, int]:
    return {"process": os.getpid()}


def broken_slice(cfg: object, folder: Path) -> dict[str, int]:
    raise RuntimeError("CUDA error: an illegal memory access\nmore")


def ended_slice(cfg: object, folder: Path) -> dict[str, int]:
    os._exit(3)


def hanging_slice(cfg: object, folder: Path) -> dict[str, int]:
    """Start a process, whose number is written to `child`, and hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    time.sleep(600)
    return {}
