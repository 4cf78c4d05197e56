"""File events of a process from Python's audit hooks; a kill or a full disk at one of them."""

import errno
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

RENAMES = ("os.rename", "os.link", "os.symlink")
EVENTS = ("open", "os.remove", "os.mkdir", "os.rmdir", *RENAMES)
WRITING = os.O_WRONLY | os.O_RDWR


Act = Callable[[str, Path], None]


class Moment(NamedTuple):
    """An event, identified by its kind and the number of events of that kind before it; other kinds may vary."""

    kind: str
    before: int


class FileEvents:
    """Logs every event below `folder` as a line of `log`, and calls `act` at a moment, before the event happens."""

    def __init__(self, folder: Path, log: Path, at: Moment | None = None, act: Act | None = None) -> None:
        self.folder, self.at, self.act = str(folder), at, act
        self.seen: Counter[str] = Counter()
        self.acting = False
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def install(self) -> None:
        """Install the audit hook, which cannot be removed, for the rest of this process."""
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self.acting or not isinstance(arguments[0], str | os.PathLike):
            return
        if event == "open" and not (arguments[2] or 0) & WRITING:
            return
        path = os.path.abspath(arguments[0])
        if not path.startswith(self.folder):
            return
        self.acting = True
        try:
            name = kind(event, path, arguments)
            os.write(self.log, f"{name}\n".encode())
            now = Moment(name, self.seen[name])
            self.seen[name] += 1
            if now == self.at and self.act:
                self.act(event, Path(path))
        finally:
            self.acting = False


def kind(event: str, path: str, arguments: tuple[Any, ...]) -> str:
    """Event and file name without numbers, such as `replace checkpoints/last.ckpt.vm-#.tmp`."""
    verb = {"open": "write", "os.rename": "replace"}.get(event, event.removeprefix("os."))
    if event == "open" and str(arguments[1] or "").startswith("a"):
        verb = "append"
    name = re.sub(r"\d+|(?<=listing-).*", "#", "/".join(Path(path).parts[-2:]))
    return f"{verb} {name}"


def read_moments(log: Path) -> list[Moment]:
    seen: Counter[str] = Counter()
    found = []
    for name in log.read_text().splitlines():
        found.append(Moment(name, seen[name]))
        seen[name] += 1
    return found


def kill(event: str, path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tear(event: str, path: Path) -> None:
    """Leave files as a kill within a write does: halve a file about to be renamed, append half a row to others."""
    if event == "os.rename" and path.is_file() and path.stat().st_nlink == 1:
        os.truncate(path, path.stat().st_size // 2)
    elif event == "open" and path.suffix == ".csv" and path.is_file():
        with path.open("a") as file:
            file.write("1,0.2")
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full(event: str, path: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
